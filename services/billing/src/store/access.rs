//! Statements about `billing.access`: who answers for a client or a deal, and so what a caller reaches. Scoped queries
//! read its live generation as `billing.live_access`.

use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, DealId, PersonId, TeamId};
use sqlx::PgConnection;
use uuid::Uuid;

/// What somebody answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
enum Kind {
    Client,
    Deal,
}

/// Whether there is a client that `scope` reaches.
pub(crate) async fn reaches_client(db: &mut PgConnection, scope: &Scope, client: ClientId) -> sqlx::Result<bool> {
    reaches(db, scope, Kind::Client, client.0).await
}

/// Whether there is a deal that `scope` reaches.
pub(crate) async fn reaches_deal(db: &mut PgConnection, scope: &Scope, deal: DealId) -> sqlx::Result<bool> {
    reaches(db, scope, Kind::Deal, deal.0).await
}

async fn reaches(db: &mut PgConnection, scope: &Scope, kind: Kind, id: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
               select from billing.live_access
               where kind = $1 and resource_id = $2 and ($3 or owner_id = $4 or team_id = any($5))) as "reached!""#,
        kind as Kind,
        id,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_one(db)
    .await
}

/// Notes who answers for a client.
pub(crate) async fn put_client(
    db: &mut PgConnection,
    generation: i64,
    client: ClientId,
    owner: PersonId,
    team: TeamId,
) -> sqlx::Result<()> {
    put(db, generation, Kind::Client, client.0, owner, team).await
}

/// Notes who answers for a deal.
pub(crate) async fn put_deal(
    db: &mut PgConnection,
    generation: i64,
    deal: DealId,
    owner: PersonId,
    team: TeamId,
) -> sqlx::Result<()> {
    put(db, generation, Kind::Deal, deal.0, owner, team).await
}

async fn put(
    db: &mut PgConnection,
    generation: i64,
    kind: Kind,
    id: Uuid,
    owner: PersonId,
    team: TeamId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into billing.access (generation, kind, resource_id, owner_id, team_id) values ($1, $2, $3, $4, $5)
         on conflict (generation, kind, resource_id) do update
         set owner_id = excluded.owner_id, team_id = excluded.team_id",
        generation,
        kind as Kind,
        id,
        owner.0,
        team.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// SHA-256 over a generation without its number, in hexadecimal digits: equal where two say the same.
pub(crate) async fn digest(db: &mut PgConnection, generation: i64) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        r#"select encode(sha256(convert_to(coalesce(string_agg(
               concat_ws(' ', kind, resource_id, owner_id, team_id), e'\n' order by kind, resource_id), ''), 'UTF8')),
               'hex') as "digest!"
           from billing.access
           where generation = $1"#,
        generation,
    )
    .fetch_one(db)
    .await
}

/// Removes a generation.
pub(crate) async fn discard(db: &mut PgConnection, generation: i64) -> sqlx::Result<()> {
    sqlx::query!("delete from billing.access where generation = $1", generation).execute(db).await?;
    Ok(())
}
