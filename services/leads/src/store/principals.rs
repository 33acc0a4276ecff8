//! Statements about `leads.principal` and `leads.api_key`.

use chrono::{DateTime, Utc};
use otdel_types::{ApiKeyId, PersonId, PrincipalId, TeamId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::principal::{ApiKey, Draft, Principal, Role};

struct Row {
    id: Uuid,
    display_name: String,
    person_id: Option<Uuid>,
    roles: Vec<Role>,
    permissions: Vec<String>,
    teams: Vec<Uuid>,
    active: bool,
    version: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
}

impl From<Row> for Principal {
    fn from(row: Row) -> Self {
        let draft = Draft {
            display_name: row.display_name,
            person: row.person_id.map(PersonId),
            roles: row.roles,
            permissions: row.permissions,
            teams: row.teams.into_iter().map(TeamId).collect(),
        };
        Self {
            id: PrincipalId(row.id),
            draft,
            active: row.active,
            version: row.version,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

/// Reads a principal.
pub(crate) async fn get(db: &mut PgConnection, id: PrincipalId) -> sqlx::Result<Option<Principal>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, active, version,
                  create_time, update_time
           from leads.principal where id = $1"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Principal::from))
}

/// Reads a principal and holds its row until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, id: PrincipalId) -> sqlx::Result<Option<Principal>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, active, version,
                  create_time, update_time
           from leads.principal where id = $1 for update"#,
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Principal::from))
}

/// Reads the principal that a login or an operator calls by this subject, and holds its row.
pub(crate) async fn lock_by_subject(db: &mut PgConnection, subject: &str) -> sqlx::Result<Option<Principal>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, active, version,
                  create_time, update_time
           from leads.principal where subject = $1 for update"#,
        subject,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Principal::from))
}

/// Lists principals, newest first, after the place that `after` names.
pub(crate) async fn list(db: &mut PgConnection, after: Option<&Token>, limit: i64) -> sqlx::Result<Vec<Principal>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, active, version,
                  create_time, update_time
           from leads.principal
           where $1::timestamptz is null or (create_time, id) < ($1, $2)
           order by create_time desc, id desc
           limit $3"#,
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Principal::from).collect())
}

/// Reads every principal, for the directory.
pub(crate) async fn all(db: &mut PgConnection) -> sqlx::Result<Vec<Principal>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, active, version,
                  create_time, update_time
           from leads.principal order by id"#,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Principal::from).collect())
}

/// Whether an active principal is an administrator.
pub(crate) async fn has_administrator(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from leads.principal where active and $1 = any(roles)) as "has!""#,
        Role::Administrator as Role,
    )
    .fetch_one(db)
    .await
}

/// Writes a new principal, with the subject that names it outside, if one does.
pub(crate) async fn insert(db: &mut PgConnection, principal: &Principal, subject: Option<&str>) -> sqlx::Result<()> {
    let draft = &principal.draft;
    let teams: Vec<Uuid> = draft.teams.iter().map(|team| team.0).collect();
    sqlx::query!(
        "insert into leads.principal (id, subject, display_name, person_id, roles, permissions, teams, active, version,
             create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        principal.id.0,
        subject,
        draft.display_name,
        draft.person.map(|person| person.0),
        &draft.roles as &[Role],
        &draft.permissions,
        &teams,
        principal.active,
        principal.version,
        principal.create_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes what may change of a principal.
pub(crate) async fn save(db: &mut PgConnection, principal: &Principal) -> sqlx::Result<()> {
    sqlx::query!(
        "update leads.principal
         set roles = $2, permissions = $3, active = $4, version = $5, update_time = $6
         where id = $1",
        principal.id.0,
        &principal.draft.roles as &[Role],
        &principal.draft.permissions,
        principal.active,
        principal.version,
        principal.update_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

struct KeyRow {
    id: Uuid,
    principal_id: Uuid,
    display_name: String,
    secret_digest: Vec<u8>,
    expire_time: Option<DateTime<Utc>>,
    revoke_time: Option<DateTime<Utc>>,
    create_time: DateTime<Utc>,
}

impl From<KeyRow> for ApiKey {
    fn from(row: KeyRow) -> Self {
        Self {
            id: ApiKeyId(row.id),
            principal: PrincipalId(row.principal_id),
            display_name: row.display_name,
            secret_digest: row.secret_digest,
            expire_time: row.expire_time,
            revoke_time: row.revoke_time,
            create_time: row.create_time,
        }
    }
}

/// Reads a key and holds its row until the transaction ends.
pub(crate) async fn lock_key(db: &mut PgConnection, id: ApiKeyId) -> sqlx::Result<Option<ApiKey>> {
    let row = sqlx::query_as!(
        KeyRow,
        "select id, principal_id, display_name, secret_digest, expire_time, revoke_time, create_time
         from leads.api_key where id = $1 for update",
        id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(ApiKey::from))
}

/// Reads every key that was not revoked, for the directory.
pub(crate) async fn live_keys(db: &mut PgConnection) -> sqlx::Result<Vec<ApiKey>> {
    let rows = sqlx::query_as!(
        KeyRow,
        "select id, principal_id, display_name, secret_digest, expire_time, revoke_time, create_time
         from leads.api_key where revoke_time is null order by id",
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(ApiKey::from).collect())
}

/// Writes a new key and tells whether it did: another key may have its secret.
pub(crate) async fn insert_key(db: &mut PgConnection, key: &ApiKey) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into leads.api_key (id, principal_id, display_name, secret_digest, expire_time, create_time)
         values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
        key.id.0,
        key.principal.0,
        key.display_name,
        key.secret_digest,
        key.expire_time,
        key.create_time,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes when a key was revoked.
pub(crate) async fn save_key(db: &mut PgConnection, key: &ApiKey) -> sqlx::Result<()> {
    sqlx::query!("update leads.api_key set revoke_time = $2 where id = $1", key.id.0, key.revoke_time)
        .execute(db)
        .await?;
    Ok(())
}
