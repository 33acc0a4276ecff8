//! Statements about a build of the read model as a whole.

use sqlx::PgConnection;

/// The SHA-256 of what a build holds, in hexadecimal digits, as the database keeps it with every fact: of its tables with
/// their numbers of rows and the digests of those rows.
pub(crate) async fn digest(db: &mut PgConnection, generation: i64) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        r#"select encode(sha256(convert_to(coalesce(string_agg(
                      fact_table || ' ' || facts || ' ' || digest, E'\n' order by fact_table), ''), 'UTF8')), 'hex')
                  as "digest!"
           from reporting.content
           where generation = $1"#,
        generation,
    )
    .fetch_one(db)
    .await
}

/// Computes the same from every row, in seconds over a million of them.
pub(crate) async fn recounted_digest(db: &mut PgConnection, generation: i64) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        r#"select encode(sha256(convert_to(coalesce(string_agg(
                      fact_table || ' ' || facts || ' ' || digest, E'\n' order by fact_table), ''), 'UTF8')), 'hex')
                  as "digest!"
           from reporting.content_recount
           where generation = $1"#,
        generation,
    )
    .fetch_one(db)
    .await
}

/// Tells which tables of sums do not hold what their facts make. Sums of nothing do not count: which of them there are
/// depends on the order in which the facts came.
pub(crate) async fn wrong_sums(db: &mut PgConnection, generation: i64) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"select sum_table as "sum_table!"
           from (select 'lead_sum' as sum_table,
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.lead_sum s
                         where generation = $1 and (leads <> 0 or won <> 0)) as kept,
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.lead_recount s
                         where generation = $1) as recounted
                 union all
                 select 'won_sum',
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.won_sum s
                         where generation = $1 and won <> 0),
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.won_recount s
                         where generation = $1)
                 union all
                 select 'worth_sum',
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.worth_sum s
                         where generation = $1 and (won <> 0 or amount <> 0)),
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.worth_recount s
                         where generation = $1)
                 union all
                 select 'stage_sum',
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.stage_sum s
                         where generation = $1 and (entered <> 0 or standing <> 0)),
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.stage_recount s
                         where generation = $1)
                 union all
                 select 'money_sum',
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.money_sum s
                         where generation = $1 and (invoices, net, vat, gross, parts, paid) <> (0, 0, 0, 0, 0, 0)),
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.money_recount s
                         where generation = $1)
                 union all
                 select 'debt_sum',
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.debt_sum s
                         where generation = $1 and (invoices, invoiced, parts, paid) <> (0, 0, 0, 0)),
                        (select bit_xor(reporting.digest_of(to_jsonb(s))) from reporting.debt_recount s
                         where generation = $1)) as compared
           where kept is distinct from recounted
           order by 1"#,
        generation,
    )
    .fetch_all(db)
    .await
}

/// Takes a build away.
pub(crate) async fn discard(db: &mut PgConnection, generation: i64) -> sqlx::Result<()> {
    sqlx::query!("delete from reporting.lead where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.deal where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.stage_entry where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.invoice where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.allocation where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.lead_sum where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.won_sum where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.worth_sum where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.stage_sum where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.money_sum where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.debt_sum where generation = $1", generation).execute(&mut *db).await?;
    sqlx::query!("delete from reporting.content where generation = $1", generation).execute(db).await?;
    Ok(())
}
