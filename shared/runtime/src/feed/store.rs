//! Every statement about the numbered outbox.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::filter::Filter;

/// The last link of the chain.
pub(super) struct Head {
    pub(super) position: i64,
    pub(super) hash: Vec<u8>,
}

/// A row that waits for its position.
pub(super) struct Unnumbered {
    pub(super) seq: i64,
    pub(super) payload: Vec<u8>,
    pub(super) occur_time: DateTime<Utc>,
}

/// A numbered row as a subscriber's filter sees it.
pub(super) struct Seen {
    pub(super) position: i64,
    pub(super) hash: Vec<u8>,
    /// None: filtered out.
    pub(super) payload: Option<Vec<u8>>,
}

/// A numbered row with everything that it says about its event.
pub(super) struct Link {
    pub(super) position: i64,
    pub(super) hash: Vec<u8>,
    pub(super) payload: Vec<u8>,
    pub(super) id: Uuid,
    pub(super) kind: String,
    pub(super) subject: String,
    pub(super) related: Vec<String>,
    pub(super) deal: Option<String>,
    pub(super) occur_time: DateTime<Utc>,
}

/// Where the feed ends, and whether anything visible waits for its position.
pub(super) async fn end(db: impl PgExecutor<'_>) -> sqlx::Result<(i64, bool)> {
    let row = sqlx::query!(
        r#"select position, exists (select from outbox where position is null) as "waiting!" from feed_head"#
    )
    .fetch_one(db)
    .await?;
    Ok((row.position, row.waiting))
}

/// Holds the end of the feed until the transaction ends.
pub(super) async fn lock_head(db: &mut PgConnection) -> sqlx::Result<Head> {
    sqlx::query_as!(Head, "select position, hash from feed_head for update").fetch_one(db).await
}

/// What waits for its position, in the order in which it will get it.
pub(super) async fn unnumbered(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Unnumbered>> {
    sqlx::query_as!(
        Unnumbered,
        "select seq, payload, occur_time from outbox where position is null order by seq limit $1",
        limit
    )
    .fetch_all(db)
    .await
}

/// Gives rows their positions and hashes and tells how many there were.
pub(super) async fn number(db: &mut PgConnection, seqs: &[i64], first: i64, hashes: &[Vec<u8>]) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update outbox set position = $2 + link.at - 1, hash = link.hash
         from unnest($1::bigint[], $3::bytea[]) with ordinality as link (seq, hash, at)
         where outbox.seq = link.seq and outbox.position is null",
        seqs,
        first,
        hashes,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Moves the end of the feed.
pub(super) async fn move_head(db: &mut PgConnection, head: &Head) -> sqlx::Result<()> {
    sqlx::query!("update feed_head set position = $1, hash = $2", head.position, head.hash).execute(db).await?;
    Ok(())
}

/// The feed's epoch.
pub(super) async fn epoch(db: impl PgExecutor<'_>) -> sqlx::Result<Uuid> {
    sqlx::query_scalar!("select epoch from deployment").fetch_one(db).await
}

/// The chain's hash at a position. None: the feed does not reach it.
pub(super) async fn hash_at(db: impl PgExecutor<'_>, position: i64) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar!(r#"select hash as "hash!" from outbox where position = $1"#, position).fetch_optional(db).await
}

/// The rows after a position, each with its payload where the filter lets it through.
pub(super) async fn after(
    db: impl PgExecutor<'_>,
    position: i64,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<Seen>> {
    sqlx::query_as!(
        Seen,
        r#"select position as "position!", hash as "hash!",
                  case when (cardinality($2::text[]) = 0 or type = any($2))
                        and (cardinality($3::text[]) = 0 or subject = any($3) or related && $3)
                       then payload end as payload
           from outbox
           where position > $1
           order by position
           limit $4"#,
        position,
        &filter.types,
        &filter.subjects,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The position of an event; the inner None while it waits for one. None: there is no such event.
pub(super) async fn position_of(db: impl PgExecutor<'_>, id: Uuid) -> sqlx::Result<Option<Option<i64>>> {
    sqlx::query_scalar!("select position from outbox where id = $1", id).fetch_optional(db).await
}

/// The numbered events of a deal and those about further resources.
pub(super) async fn of_deal(
    db: &mut PgConnection,
    deal: &str,
    further: &[String],
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<Seen>> {
    sqlx::query_as!(
        Seen,
        r#"select position as "position!", hash as "hash!", payload
           from outbox
           where position > $1 and (deal = $2 or subject = any($3))
           order by position
           limit $4"#,
        after,
        deal,
        further,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The rows after a position with all that a check of the chain compares.
pub(super) async fn links(db: impl PgExecutor<'_>, after: i64, limit: i64) -> sqlx::Result<Vec<Link>> {
    sqlx::query_as!(
        Link,
        r#"select position as "position!", hash as "hash!", payload, id, type as kind, subject, related, deal, occur_time
           from outbox
           where position > $1
           order by position
           limit $2"#,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Where the feed says that it ends, and where its rows end, at one instant.
pub(super) async fn ends(db: impl PgExecutor<'_>) -> sqlx::Result<(Head, i64)> {
    let row = sqlx::query!(
        r#"select position, hash, (select coalesce(max(position), 0) from outbox) as "last!" from feed_head"#
    )
    .fetch_one(db)
    .await?;
    Ok((Head { position: row.position, hash: row.hash }, row.last))
}
