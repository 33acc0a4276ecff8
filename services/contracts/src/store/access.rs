//! Statements about `contracts.access` and `contracts.answered_access`: who answers for a deal, and so which contracts and
//! orders a caller reaches, and whether the deal was lost. Scoped queries read both as `contracts.live_access`.

use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, DealId, PersonId, TeamId};
use sqlx::PgConnection;

/// Who answers for a deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// The deal.
    pub(crate) deal: DealId,
    /// Who buys.
    pub(crate) client: ClientId,
    /// Who answers for it.
    pub(crate) owner: PersonId,
    /// The owner's team.
    pub(crate) team: TeamId,
}

/// Whether `scope` reaches a deal. A deal that nobody has told of yet is reached by ALL alone.
pub(crate) async fn reaches(db: &mut PgConnection, scope: &Scope, deal: DealId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select $2 or exists (
               select from contracts.live_access a
               where a.deal_id = $1 and (a.owner_id = $3 or a.team_id = any($4))) as "reached!""#,
        deal.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_one(db)
    .await
}

/// Whether a deal was lost, as far as the feed was read.
pub(crate) async fn is_lost(db: &mut PgConnection, deal: DealId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from contracts.live_access a where a.deal_id = $1 and a.lost) as "lost!""#,
        deal.0,
    )
    .fetch_one(db)
    .await
}

/// Notes what leads answered about a deal that the live build does not know yet.
pub(crate) async fn note_answer(db: &mut PgConnection, access: &Access) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into contracts.answered_access (deal_id, client_id, owner_id, team_id)
         select $1, $2, $3, $4
         where not exists (
             select from contracts.access a join contracts.access_build b on a.generation = b.live where a.deal_id = $1)
         on conflict (deal_id) do update
         set client_id = excluded.client_id, owner_id = excluded.owner_id, team_id = excluded.team_id",
        access.deal.0,
        access.client.0,
        access.owner.0,
        access.team.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes what the feed says, in a build. What leads had answered counts no longer once the live build knows better; a
/// build beside it changes nothing that callers see.
pub(crate) async fn note_fact(db: &mut PgConnection, generation: i64, access: &Access) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into contracts.access (generation, deal_id, client_id, owner_id, team_id) values ($1, $2, $3, $4, $5)
         on conflict (generation, deal_id) do update
         set client_id = excluded.client_id, owner_id = excluded.owner_id, team_id = excluded.team_id",
        generation,
        access.deal.0,
        access.client.0,
        access.owner.0,
        access.team.0,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "delete from contracts.answered_access n using contracts.access_build b where n.deal_id = $1 and b.live = $2",
        access.deal.0,
        generation,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes in a build that a deal was lost, which the feed says after it was opened.
pub(crate) async fn note_lost(db: &mut PgConnection, generation: i64, deal: DealId) -> sqlx::Result<()> {
    sqlx::query!("update contracts.access set lost = true where generation = $1 and deal_id = $2", generation, deal.0)
        .execute(db)
        .await?;
    Ok(())
}

/// SHA-256 over a build without its number, in hexadecimal digits: equal builds have equal digests.
pub(crate) async fn digest(db: &mut PgConnection, generation: i64) -> sqlx::Result<String> {
    sqlx::query_scalar!(
        r#"select encode(sha256(convert_to(coalesce(string_agg(
               concat_ws(' ', deal_id, client_id, owner_id, team_id, lost), e'\n' order by deal_id), ''), 'UTF8')), 'hex')
               as "digest!"
           from contracts.access
           where generation = $1"#,
        generation,
    )
    .fetch_one(db)
    .await
}

/// Removes a build.
pub(crate) async fn discard(db: &mut PgConnection, generation: i64) -> sqlx::Result<()> {
    sqlx::query!("delete from contracts.access where generation = $1", generation).execute(db).await?;
    Ok(())
}
