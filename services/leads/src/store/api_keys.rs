//! Statements about `leads.api_key`.

use chrono::{DateTime, Utc};
use otdel_types::{ApiKeyId, PrincipalId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::api_key::{ApiKey, Terms};

struct Row {
    id: Uuid,
    principal_id: Uuid,
    display_name: String,
    secret_digest: Vec<u8>,
    expire_time: Option<DateTime<Utc>>,
    permissions: Vec<String>,
    read_only: bool,
    revoke_time: Option<DateTime<Utc>>,
    revoke_reason: String,
    version: i64,
    create_time: DateTime<Utc>,
}

impl From<Row> for ApiKey {
    fn from(row: Row) -> Self {
        let terms = Terms {
            display_name: row.display_name,
            expire_time: row.expire_time,
            permissions: row.permissions,
            read_only: row.read_only,
        };
        Self {
            id: ApiKeyId(row.id),
            principal: PrincipalId(row.principal_id),
            secret_digest: row.secret_digest,
            terms,
            revoke_time: row.revoke_time,
            revoke_reason: row.revoke_reason,
            version: row.version,
            create_time: row.create_time,
        }
    }
}

/// Reads a key.
pub(crate) async fn get(db: &mut PgConnection, id: ApiKeyId) -> sqlx::Result<Option<ApiKey>> {
    let row = sqlx::query_as!(
        Row,
        "select id, principal_id, display_name, secret_digest, expire_time, permissions, read_only, revoke_time,
                revoke_reason, version, create_time
         from leads.api_key where id = $1",
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(ApiKey::from))
}

/// Reads a key and holds its row until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, id: ApiKeyId) -> sqlx::Result<Option<ApiKey>> {
    let row = sqlx::query_as!(
        Row,
        "select id, principal_id, display_name, secret_digest, expire_time, permissions, read_only, revoke_time,
                revoke_reason, version, create_time
         from leads.api_key where id = $1 for update",
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(ApiKey::from))
}

/// Lists keys, of a principal or of all, newest first, after the place that `after` names.
pub(crate) async fn list(
    db: &mut PgConnection,
    principal: Option<PrincipalId>,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<ApiKey>> {
    let rows = sqlx::query_as!(
        Row,
        "select id, principal_id, display_name, secret_digest, expire_time, permissions, read_only, revoke_time,
                revoke_reason, version, create_time
         from leads.api_key
         where ($1::uuid is null or principal_id = $1)
           and ($2::timestamptz is null or (create_time, id) < ($2, $3))
         order by create_time desc, id desc
         limit $4",
        principal.map(|principal| principal.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(ApiKey::from).collect())
}

/// Reads every key that was not revoked, for the directory.
pub(crate) async fn live(db: &mut PgConnection) -> sqlx::Result<Vec<ApiKey>> {
    let rows = sqlx::query_as!(
        Row,
        "select id, principal_id, display_name, secret_digest, expire_time, permissions, read_only, revoke_time,
                revoke_reason, version, create_time
         from leads.api_key where revoke_time is null order by id",
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(ApiKey::from).collect())
}

/// Writes a new key and tells whether it did: another key may have its secret.
pub(crate) async fn insert(db: &mut PgConnection, key: &ApiKey) -> sqlx::Result<bool> {
    let terms = &key.terms;
    let done = sqlx::query!(
        "insert into leads.api_key (id, principal_id, display_name, secret_digest, expire_time, permissions, read_only,
             version, create_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict do nothing",
        key.id.0,
        key.principal.0,
        terms.display_name,
        key.secret_digest,
        terms.expire_time,
        &terms.permissions,
        terms.read_only,
        key.version,
        key.create_time,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what may change of a key.
pub(crate) async fn save(db: &mut PgConnection, key: &ApiKey) -> sqlx::Result<()> {
    let terms = &key.terms;
    sqlx::query!(
        "update leads.api_key
         set display_name = $2, expire_time = $3, permissions = $4, read_only = $5, revoke_time = $6, revoke_reason = $7,
             version = $8
         where id = $1",
        key.id.0,
        terms.display_name,
        terms.expire_time,
        &terms.permissions,
        terms.read_only,
        key.revoke_time,
        key.revoke_reason,
        key.version,
    )
    .execute(db)
    .await?;
    Ok(())
}
