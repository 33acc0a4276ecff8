//! Statements about a build of the read model as a whole.

use std::time::Duration;

use sqlx::PgConnection;

/// Lets the statements of this transaction run for so long, whatever the session allows.
pub(crate) async fn allow(db: &mut PgConnection, time: Duration) -> sqlx::Result<()> {
    // 0 would be no limit.
    let millis = time.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
    sqlx::query!("select set_config('statement_timeout', $1, true) as allowed", millis.to_string())
        .fetch_one(db)
        .await?;
    Ok(())
}

/// Computes the SHA-256 of a build in hexadecimal digits: of each table the digests of its rows in the order of their keys, then of those.
///
/// A row is its JSON without the generation, so that a column cannot be forgotten here and no setting of the session
/// changes how a date is written. Rows are digested one by one because a text of them all would pass the gigabyte that
/// PostgreSQL allows long before their digests do.
pub(crate) async fn digest(db: &mut PgConnection, generation: i64) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        r#"select encode(sha256(
               (select sha256(coalesce(string_agg(sha256(convert_to((to_jsonb(l) - 'generation')::text, 'UTF8')), ''
                           order by l.lead_id), ''))
                from reporting.lead l where l.generation = $1)
               || (select sha256(coalesce(string_agg(sha256(convert_to((to_jsonb(d) - 'generation')::text, 'UTF8')), ''
                           order by d.deal_id), ''))
                   from reporting.deal d where d.generation = $1)
               || (select sha256(coalesce(string_agg(sha256(convert_to((to_jsonb(s) - 'generation')::text, 'UTF8')), ''
                           order by s.deal_id, s.stage collate "C"), ''))
                   from reporting.stage_entry s where s.generation = $1)
               || (select sha256(coalesce(string_agg(sha256(convert_to((to_jsonb(i) - 'generation')::text, 'UTF8')), ''
                           order by i.invoice_id), ''))
                   from reporting.invoice i where i.generation = $1)
               || (select sha256(coalesce(string_agg(sha256(convert_to((to_jsonb(a) - 'generation')::text, 'UTF8')), ''
                           order by a.position, a.part), ''))
                   from reporting.allocation a where a.generation = $1)), 'hex') as "digest!""#,
        generation,
    )
    .fetch_one(db)
    .await
}

/// Takes a build away.
pub(crate) async fn discard(db: &mut PgConnection, generation: i64) -> sqlx::Result<()> {
    sqlx::query!("delete from reporting.lead where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.deal where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.stage_entry where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.invoice where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.allocation where generation = $1", generation).execute(db).await?;
    Ok(())
}
