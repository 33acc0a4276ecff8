//! Statements about `leads.client` and `leads.field_history`.

use chrono::{DateTime, Utc};
use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, PersonId, TeamId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::client::{Changed, Client};

struct Row {
    id: Uuid,
    display_name: String,
    phone: String,
    email: String,
    owner_id: Uuid,
    team_id: Uuid,
    version: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
}

impl From<Row> for Client {
    fn from(row: Row) -> Self {
        Self {
            id: ClientId(row.id),
            display_name: row.display_name,
            phone: row.phone,
            email: row.email,
            owner: PersonId(row.owner_id),
            team: TeamId(row.team_id),
            version: row.version,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

/// Reads a client that `scope` reaches.
pub(crate) async fn get(db: &mut PgConnection, scope: &Scope, id: ClientId) -> sqlx::Result<Option<Client>> {
    let row = sqlx::query_as!(
        Row,
        "select id, display_name, phone, email, owner_id, team_id, version, create_time, update_time
         from leads.client
         where id = $1 and ($2 or owner_id = $3 or team_id = any($4))",
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Client::from))
}

/// Reads a client that `scope` reaches and holds its row until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, scope: &Scope, id: ClientId) -> sqlx::Result<Option<Client>> {
    let row = sqlx::query_as!(
        Row,
        "select id, display_name, phone, email, owner_id, team_id, version, create_time, update_time
         from leads.client
         where id = $1 and ($2 or owner_id = $3 or team_id = any($4))
         for update",
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Client::from))
}

/// Lists clients that `scope` reaches, newest first, after the place that `after` names.
pub(crate) async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    owner: Option<PersonId>,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Client>> {
    let rows = sqlx::query_as!(
        Row,
        "select id, display_name, phone, email, owner_id, team_id, version, create_time, update_time
         from leads.client
         where ($1 or owner_id = $2 or team_id = any($3))
           and ($4::uuid is null or owner_id = $4)
           and ($5::timestamptz is null or (create_time, id) < ($5, $6))
         order by create_time desc, id desc
         limit $7",
        scope.all,
        scope.me,
        &scope.teams,
        owner.map(|owner| owner.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Client::from).collect())
}

/// Reads the client that has this phone or e-mail, whoever may see it; the oldest where they are two clients'. It decides
/// whether a requester is known.
///
/// Two looks at two unique indexes, because an `or` over them was planned as a walk along the clients by their age, of all of
/// them where the requester is new.
pub(crate) async fn by_contact(db: &mut PgConnection, phone: &str, email: &str) -> sqlx::Result<Option<Client>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id as "id!", display_name as "display_name!", phone as "phone!", email as "email!",
                  owner_id as "owner_id!", team_id as "team_id!", version as "version!", create_time as "create_time!",
                  update_time as "update_time!"
           from (select * from leads.client where phone = $1 and phone <> ''
                 union all
                 select * from leads.client where lower(email) = lower($2) and email <> '') as known
           order by create_time, id
           limit 1"#,
        phone,
        email,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Client::from))
}

/// Writes a new client and tells whether it did: a client with the same phone or e-mail may have come meanwhile, for whose
/// transaction this one waits.
pub(crate) async fn insert(db: &mut PgConnection, client: &Client) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into leads.client (id, display_name, phone, email, owner_id, team_id, version, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $8)
         on conflict do nothing",
        client.id.0,
        client.display_name,
        client.phone,
        client.email,
        client.owner.0,
        client.team.0,
        client.version,
        client.create_time,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes what may change of a client.
pub(crate) async fn save(db: &mut PgConnection, client: &Client) -> sqlx::Result<()> {
    sqlx::query!(
        "update leads.client
         set display_name = $2, phone = $3, email = $4, version = $5, update_time = $6
         where id = $1",
        client.id.0,
        client.display_name,
        client.phone,
        client.email,
        client.version,
        client.update_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps the old and new values of changed fields.
pub(crate) async fn add_history(
    db: &mut PgConnection,
    client: &Client,
    changes: &[Changed],
    actor: &str,
) -> sqlx::Result<()> {
    let column = |value: fn(&Changed) -> &str| changes.iter().map(|one| value(one).to_owned()).collect::<Vec<_>>();
    sqlx::query!(
        "insert into leads.field_history (client_id, field, old_value, new_value, actor, change_time)
         select $1, field, old_value, new_value, $5, $6
         from unnest($2::text[], $3::text[], $4::text[]) as change (field, old_value, new_value)",
        client.id.0,
        &column(|change| change.field),
        &column(|change| &change.old),
        &column(|change| &change.new),
        actor,
        client.update_time,
    )
    .execute(db)
    .await?;
    Ok(())
}
