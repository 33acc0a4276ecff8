//! Statements about `leads.principal`.

use chrono::{DateTime, Utc};
use otdel_types::{PersonId, PrincipalId, TeamId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::principal::{Draft, Principal, Role};

/// The permission to change principals and keys, which administrators have.
const ADMINISTER: &str = "principals.write";

struct Row {
    id: Uuid,
    display_name: String,
    person_id: Option<Uuid>,
    roles: Vec<Role>,
    permissions: Vec<String>,
    teams: Vec<Uuid>,
    subject: Option<String>,
    calls_per_second: Option<i32>,
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
            subject: row.subject,
            calls_per_second: row.calls_per_second,
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
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, subject,
                  calls_per_second, active, version, create_time, update_time
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
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, subject,
                  calls_per_second, active, version, create_time, update_time
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
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, subject,
                  calls_per_second, active, version, create_time, update_time
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
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, subject,
                  calls_per_second, active, version, create_time, update_time
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
        r#"select id, display_name, person_id, roles as "roles: Vec<Role>", permissions, teams, subject,
                  calls_per_second, active, version, create_time, update_time
           from leads.principal order by id"#,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Principal::from).collect())
}

/// Whether somebody is let in who may change principals and keys: by a key that does so and has not ended by `now`, or by a
/// login, whose issuer is a URL.
pub(crate) async fn are_administered(db: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
             select from leads.principal
             where active and ($1 = any(roles) or $2 = any(permissions))
               and (subject like '%://%|%' or exists (
                 select from leads.api_key
                 where principal_id = principal.id and revoke_time is null and not read_only
                   and (expire_time is null or expire_time > $3)
                   and (api_key.permissions = '{}' or $2 = any(api_key.permissions))))) as "are!""#,
        Role::Administrator as Role,
        ADMINISTER,
        now,
    )
    .fetch_one(db)
    .await
}

/// Writes a new principal.
pub(crate) async fn insert(db: &mut PgConnection, principal: &Principal) -> sqlx::Result<()> {
    let draft = &principal.draft;
    let teams: Vec<Uuid> = draft.teams.iter().map(|team| team.0).collect();
    sqlx::query!(
        "insert into leads.principal (id, subject, display_name, person_id, roles, permissions, teams, calls_per_second,
             active, version, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        principal.id.0,
        draft.subject,
        draft.display_name,
        draft.person.map(|person| person.0),
        &draft.roles as &[Role],
        &draft.permissions,
        &teams,
        draft.calls_per_second,
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
    let draft = &principal.draft;
    let teams: Vec<Uuid> = draft.teams.iter().map(|team| team.0).collect();
    sqlx::query!(
        "update leads.principal
         set display_name = $2, roles = $3, permissions = $4, teams = $5, subject = $6, calls_per_second = $7,
             active = $8, version = $9, update_time = $10
         where id = $1",
        principal.id.0,
        draft.display_name,
        &draft.roles as &[Role],
        &draft.permissions,
        &teams,
        draft.subject,
        draft.calls_per_second,
        principal.active,
        principal.version,
        principal.update_time,
    )
    .execute(db)
    .await?;
    Ok(())
}
