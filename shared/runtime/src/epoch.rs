//! The epoch of a schema: renewed when its database was restored to an earlier state, so that every older cursor of its
//! feed gets `DATA_LOSS` and whoever follows reads again, instead of going on over events that were lost.
//!
//! The chain alone would tell a lost future from what was written instead of it. The epoch also reaches a reader whose
//! cursor lies before the place at which the histories part, and one that comes back before anything new was written.

use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

/// An epoch that was renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// The epoch whose cursors are refused now.
    pub before: Uuid,
    /// The epoch since.
    pub after: Uuid,
}

/// Whether an epoch is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Whatever was before.
    Always,
    /// Where the database is not the one that the epoch was given to: it is a restored copy. A second time changes nothing.
    Restored,
}

/// Gives the schema on the search path a new epoch. None: it needs none. Streams that are open keep the old one until they
/// end by themselves, which takes a minute at most; what they gave out meanwhile is refused as all older cursors are.
pub async fn renew(db: &mut PgConnection, when: When) -> sqlx::Result<Option<Renewed>> {
    let mut tx = db.begin().await?;
    let here = home(&mut tx).await?;
    let found = sqlx::query!("select epoch, epoch_home from deployment for update").fetch_one(&mut *tx).await?;
    if when == When::Restored && found.epoch_home.as_ref() == Some(&here) {
        return Ok(None);
    }
    let renewed = Renewed { before: found.epoch, after: Uuid::now_v7() };
    sqlx::query!("update deployment set epoch = $1, epoch_home = $2", renewed.after, here).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(Some(renewed))
}

/// What tells this database from a restored copy of it: the cluster, its timeline, the database and the table in it. A
/// copy of the server's files that was put back is not told apart.
pub(crate) async fn home(db: &mut PgConnection) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        r#"select concat_ws('/', (select system_identifier from pg_control_system()),
                            left(pg_walfile_name(pg_current_wal_lsn()), 8),
                            (select oid from pg_database where datname = current_database()),
                            'deployment'::regclass::oid) as "home!""#
    )
    .fetch_one(db)
    .await
}
