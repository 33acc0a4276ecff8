//! Every statement about projections and cursors.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::{Reached, Source, Standing};

/// Where a build of a read model stands in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) position: i64,
    pub(super) token: String,
}

/// Where a batch ends.
pub(super) struct Step<'a> {
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) token: &'a str,
    pub(super) occur_time: Option<DateTime<Utc>>,
}

/// Makes the rows of a follower where they are not there yet, and tells which build is live.
pub(super) async fn prepare(db: &mut PgConnection, name: &str, sources: &[Source]) -> sqlx::Result<i64> {
    sqlx::query!("insert into projection (name, live) values ($1, 1) on conflict do nothing", name)
        .execute(&mut *db)
        .await?;
    let live = live(&mut *db, name).await?.unwrap_or(1);
    begin(db, name, live, sources).await?;
    Ok(live)
}

/// Makes the cursors of a build, each before the first event.
pub(super) async fn begin(db: &mut PgConnection, name: &str, generation: i64, sources: &[Source]) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into cursor (projection, generation, source, position, token)
         select $1, $2, source, 0, '' from unnest($3::text[]) as source
         on conflict do nothing",
        name,
        generation,
        &names(sources),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Which build is live. None before the follower has run for the first time.
pub(super) async fn live(db: impl PgExecutor<'_>, name: &str) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("select live from projection where name = $1", name).fetch_optional(db).await
}

/// The same, and keeps it so until the transaction ends. Batches of one read model wait for each other here.
pub(super) async fn lock_live(db: &mut PgConnection, name: &str) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar!("select live from projection where name = $1 for update", name).fetch_optional(db).await
}

/// Makes a build the live one.
pub(super) async fn switch(db: &mut PgConnection, name: &str, generation: i64) -> sqlx::Result<()> {
    sqlx::query!("update projection set live = $2 where name = $1", name, generation).execute(db).await?;
    Ok(())
}

/// Where a build stands in a source.
pub(super) async fn at(db: impl PgExecutor<'_>, name: &str, generation: i64, source: Source) -> sqlx::Result<At> {
    sqlx::query_as!(
        At,
        "select position, token from cursor where projection = $1 and generation = $2 and source = $3",
        name,
        generation,
        source.name(),
    )
    .fetch_one(db)
    .await
}

/// Moves a build's cursor if it still stands where the step begins, and tells whether it does.
pub(super) async fn advance(
    db: &mut PgConnection,
    name: &str,
    generation: i64,
    source: Source,
    step: &Step<'_>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update cursor set position = $5, token = $6, occur_time = coalesce($7, occur_time)
         where projection = $1 and generation = $2 and source = $3 and position = $4",
        name,
        generation,
        source.name(),
        step.from,
        step.to,
        step.token,
        step.occur_time,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How far the live build has read these sources.
pub(super) async fn reached(db: impl PgExecutor<'_>, name: &str, sources: &[Source]) -> sqlx::Result<Vec<Reached>> {
    let rows = sqlx::query!(
        "select generation, source, position, occur_time
         from cursor join projection on name = projection and live = generation
         where name = $1 and source = any($2)
         order by source",
        name,
        &names(sources),
    )
    .fetch_all(db)
    .await?;
    let reached = rows.into_iter().filter_map(|row| {
        let source = Source::named(&row.source)?;
        Some(Reached { generation: row.generation, source, position: row.position, occur_time: row.occur_time })
    });
    Ok(reached.collect())
}

/// The source's cursor that the live build has read to. Empty: it has read nothing.
pub(super) async fn read_to(db: impl PgExecutor<'_>, name: &str, source: Source) -> sqlx::Result<String> {
    let token = sqlx::query_scalar!(
        "select token from cursor join projection on name = projection and live = generation
         where name = $1 and source = $2",
        name,
        source.name(),
    )
    .fetch_optional(db)
    .await?;
    Ok(token.unwrap_or_default())
}

/// How far every live build has read each source.
pub(super) async fn standing(db: &mut PgConnection) -> sqlx::Result<Vec<Standing>> {
    sqlx::query_as!(
        Standing,
        r#"select name as follower, generation, source, position, token
           from cursor join projection on name = projection and live = generation
           order by name collate "C", source collate "C""#
    )
    .fetch_all(db)
    .await
}

/// Forgets how far a build had read.
pub(super) async fn forget(db: &mut PgConnection, name: &str, generation: i64) -> sqlx::Result<()> {
    sqlx::query!("delete from cursor where projection = $1 and generation = $2", name, generation).execute(db).await?;
    Ok(())
}

/// Takes a lock that the session holds until it ends, if nobody else holds it.
pub(super) async fn elect(db: &mut PgConnection, office: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"select pg_try_advisory_lock(hashtextextended($1, 0)) as "won!""#, office).fetch_one(db).await
}

fn names(sources: &[Source]) -> Vec<String> {
    sources.iter().map(|source| source.name().to_owned()).collect()
}
