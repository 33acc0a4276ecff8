//! Statements about `leads.deal` and the open gates of deals.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, Currency, DealId, LeadId, Money, PersonId, PipelineId, TeamId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{
    deal::{Deal, Loss, LossReason, OpenGate, State},
    pipeline::Gate,
};

struct Row {
    id: Uuid,
    client_id: Uuid,
    lead_id: Uuid,
    owner_id: Uuid,
    team_id: Uuid,
    pipeline_id: Uuid,
    stage: String,
    state: State,
    need: String,
    amount: Option<i64>,
    currency: Option<String>,
    win_time: Option<DateTime<Utc>>,
    lose_time: Option<DateTime<Utc>>,
    loss_reason: Option<LossReason>,
    competitor: String,
    version: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
}

impl Row {
    /// The deal with the gates that are open. The table's constraints keep what cannot be read from being written.
    fn into_deal(self, open_gates: Vec<OpenGate>) -> sqlx::Result<Deal> {
        let currency = self.currency.as_deref().map(Currency::from_code).transpose().map_err(unreadable)?;
        let loss = self.loss_reason.map(|reason| Loss::new(reason, self.competitor)).transpose().map_err(unreadable)?;
        Ok(Deal {
            id: DealId(self.id),
            client: ClientId(self.client_id),
            lead: LeadId(self.lead_id),
            owner: PersonId(self.owner_id),
            team: TeamId(self.team_id),
            pipeline: PipelineId(self.pipeline_id),
            stage: self.stage,
            state: self.state,
            need: self.need,
            amount: self.amount.zip(currency).map(|(minor, currency)| Money { minor, currency }),
            open_gates,
            win_time: self.win_time,
            lose_time: self.lose_time,
            loss,
            version: self.version,
            create_time: self.create_time,
            update_time: self.update_time,
        })
    }
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// Reads a deal that `scope` reaches.
pub(crate) async fn get(db: &mut PgConnection, scope: &Scope, id: DealId) -> sqlx::Result<Option<Deal>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, client_id, lead_id, owner_id, team_id, pipeline_id, stage, state as "state: State", need, amount,
                  currency, win_time, lose_time, loss_reason as "loss_reason: LossReason", competitor, version,
                  create_time, update_time
           from leads.deal
           where id = $1 and ($2 or owner_id = $3 or team_id = any($4))"#,
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(&mut *db)
    .await?;
    with_gates(db, row).await
}

/// Reads a deal that `scope` reaches and holds its row until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, scope: &Scope, id: DealId) -> sqlx::Result<Option<Deal>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, client_id, lead_id, owner_id, team_id, pipeline_id, stage, state as "state: State", need, amount,
                  currency, win_time, lose_time, loss_reason as "loss_reason: LossReason", competitor, version,
                  create_time, update_time
           from leads.deal
           where id = $1 and ($2 or owner_id = $3 or team_id = any($4))
           for update"#,
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(&mut *db)
    .await?;
    with_gates(db, row).await
}

async fn with_gates(db: &mut PgConnection, row: Option<Row>) -> sqlx::Result<Option<Deal>> {
    let Some(row) = row else { return Ok(None) };
    let gates = gates_of(db, &[row.id]).await?.remove(&row.id).unwrap_or_default();
    row.into_deal(gates).map(Some)
}

/// Which deals a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    /// Only deals in this state.
    pub(crate) state: Option<State>,
    /// Only deals of this owner.
    pub(crate) owner: Option<PersonId>,
    /// Only deals of this client.
    pub(crate) client: Option<ClientId>,
}

/// Lists deals that `scope` reaches, newest first, after the place that `after` names.
pub(crate) async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Deal>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, client_id, lead_id, owner_id, team_id, pipeline_id, stage, state as "state: State", need, amount,
                  currency, win_time, lose_time, loss_reason as "loss_reason: LossReason", competitor, version,
                  create_time, update_time
           from leads.deal
           where ($1 or owner_id = $2 or team_id = any($3))
             and ($4::text is null or state = $4)
             and ($5::uuid is null or owner_id = $5)
             and ($6::uuid is null or client_id = $6)
             and ($7::timestamptz is null or (create_time, id) < ($7, $8))
           order by create_time desc, id desc
           limit $9"#,
        scope.all,
        scope.me,
        &scope.teams,
        filter.state as Option<State>,
        filter.owner.map(|owner| owner.0),
        filter.client.map(|client| client.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(&mut *db)
    .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut gates = gates_of(db, &ids).await?;
    rows.into_iter()
        .map(|row| {
            let open = gates.remove(&row.id).unwrap_or_default();
            row.into_deal(open)
        })
        .collect()
}

/// The gates that facts have opened, by deal.
async fn gates_of(db: &mut PgConnection, deals: &[Uuid]) -> sqlx::Result<HashMap<Uuid, Vec<OpenGate>>> {
    let rows = sqlx::query!(
        r#"select deal_id, kind as "kind: Gate", proof, open_time from leads.gate
           where deal_id = any($1)
           order by open_time, kind"#,
        deals,
    )
    .fetch_all(db)
    .await?;
    let mut gates: HashMap<Uuid, Vec<OpenGate>> = HashMap::new();
    for row in rows {
        let open = OpenGate { kind: row.kind, proof: row.proof, open_time: row.open_time };
        gates.entry(row.deal_id).or_default().push(open);
    }
    Ok(gates)
}

/// Writes a new deal.
pub(crate) async fn insert(db: &mut PgConnection, deal: &Deal) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into leads.deal (id, client_id, lead_id, owner_id, team_id, pipeline_id, stage, state, need, competitor,
             version, create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', $10, $11, $11)",
        deal.id.0,
        deal.client.0,
        deal.lead.0,
        deal.owner.0,
        deal.team.0,
        deal.pipeline.0,
        deal.stage,
        deal.state as State,
        deal.need,
        deal.version,
        deal.create_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes what may change of a deal, its gates apart.
pub(crate) async fn save(db: &mut PgConnection, deal: &Deal) -> sqlx::Result<()> {
    sqlx::query!(
        "update leads.deal
         set stage = $2, state = $3, need = $4, amount = $5, currency = $6, win_time = $7, lose_time = $8,
             loss_reason = $9, competitor = $10, version = $11, update_time = $12
         where id = $1",
        deal.id.0,
        deal.stage,
        deal.state as State,
        deal.need,
        deal.amount.map(|amount| amount.minor),
        deal.amount.map(|amount| amount.currency.code()),
        deal.win_time,
        deal.lose_time,
        deal.loss.as_ref().map(Loss::reason) as Option<LossReason>,
        deal.loss.as_ref().map_or("", Loss::competitor),
        deal.version,
        deal.update_time,
    )
    .execute(db)
    .await?;
    Ok(())
}
