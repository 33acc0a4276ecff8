//! Statements about `leads.directory`.

use sqlx::PgConnection;

/// Lets transactions that may change principals or keys come one after another. The first lock of every such transaction.
pub(crate) async fn lock(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select version from leads.directory for update").fetch_one(db).await
}

/// Notes that principals or keys change, and locks as [`lock`] does.
pub(crate) async fn bump(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("update leads.directory set version = version + 1 returning version").fetch_one(db).await
}

/// Tells the version.
pub(crate) async fn version(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("select version from leads.directory").fetch_one(db).await
}
