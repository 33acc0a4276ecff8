//! Statements that write what the facts of leads change: the tables `lead`, `deal` and `stage_entry`.
//!
//! Each tells how many rows it wrote: a fact about a lead or deal that is not there writes none, and the caller refuses
//! it.

use chrono::NaiveDate;
use otdel_types::{DealId, LeadId, Money, PersonId, TeamId};
use sqlx::PgConnection;

use crate::domain::change::{Channel, LeadChange, OpenedDeal, ReceivedLead};

/// Writes what the fact at `position` of the feed changes in a build, and tells how many rows that are.
pub(crate) async fn apply(
    db: &mut PgConnection,
    generation: i64,
    position: i64,
    change: &LeadChange,
) -> sqlx::Result<u64> {
    match change {
        LeadChange::Received(lead) => receive(db, generation, lead).await,
        LeadChange::Given { lead, owner, team } => give(db, generation, *lead, *owner, *team).await,
        LeadChange::Pooled { lead } => pool(db, generation, *lead).await,
        LeadChange::Opened(deal) => open(db, generation, position, deal).await,
        LeadChange::StageEntered { deal, stage } => enter(db, generation, position, *deal, stage).await,
        LeadChange::Won { deal, date, amount } => win(db, generation, *deal, *date, *amount).await,
        LeadChange::Lost { deal } => lose(db, generation, *deal).await,
    }
}

async fn receive(db: &mut PgConnection, generation: i64, lead: &ReceivedLead) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "insert into reporting.lead (generation, lead_id, receive_date, channel, origin, owner_id, team_id)
         values ($1, $2, $3, $4, $5, $6, $7)",
        generation,
        lead.lead.0,
        lead.date,
        lead.channel as Channel,
        lead.origin,
        lead.owner.map(|owner| owner.0),
        lead.team.map(|team| team.0),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

async fn give(
    db: &mut PgConnection,
    generation: i64,
    lead: LeadId,
    owner: PersonId,
    team: TeamId,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update reporting.lead set owner_id = $3, team_id = $4 where generation = $1 and lead_id = $2",
        generation,
        lead.0,
        owner.0,
        team.0,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

async fn pool(db: &mut PgConnection, generation: i64, lead: LeadId) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update reporting.lead set owner_id = null where generation = $1 and lead_id = $2",
        generation,
        lead.0,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// The deal takes from its lead what reports count it by: those never change.
async fn open(db: &mut PgConnection, generation: i64, position: i64, deal: &OpenedDeal) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "with opened as (
             insert into reporting.deal (generation, deal_id, lead_id, owner_id, team_id, pipeline_id, stage, state,
                 open_date, receive_date, channel, origin)
             select $1, $2, lead_id, $4, $5, $6, $7, 'open', $8, receive_date, channel, origin
             from reporting.lead
             where generation = $1 and lead_id = $3
             returning deal_id, pipeline_id, stage)
         insert into reporting.stage_entry (generation, deal_id, pipeline_id, stage, position)
         select $1, deal_id, pipeline_id, stage, $9 from opened",
        generation,
        deal.deal.0,
        deal.lead.0,
        deal.owner.0,
        deal.team.0,
        deal.pipeline.0,
        deal.stage,
        deal.date,
        position,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A stage that the deal had entered before keeps its first entry, whose row counts as written.
async fn enter(db: &mut PgConnection, generation: i64, position: i64, deal: DealId, stage: &str) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "with moved as (
             update reporting.deal set stage = $3 where generation = $1 and deal_id = $2
             returning deal_id, pipeline_id)
         insert into reporting.stage_entry as entry (generation, deal_id, pipeline_id, stage, position)
         select $1, deal_id, pipeline_id, $3, $4 from moved
         on conflict (generation, deal_id, stage) do update set position = entry.position",
        generation,
        deal.0,
        stage,
        position,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

async fn win(
    db: &mut PgConnection,
    generation: i64,
    deal: DealId,
    date: NaiveDate,
    amount: Option<Money>,
) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "with won as (
             update reporting.deal set state = 'won', win_date = $3, amount = $4, currency = $5
             where generation = $1 and deal_id = $2
             returning lead_id)
         update reporting.lead set won = true
         where generation = $1 and lead_id in (select lead_id from won)",
        generation,
        deal.0,
        date,
        amount.map(|amount| amount.minor),
        amount.map(|amount| amount.currency.code()),
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

async fn lose(db: &mut PgConnection, generation: i64, deal: DealId) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "update reporting.deal set state = 'lost' where generation = $1 and deal_id = $2",
        generation,
        deal.0,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
