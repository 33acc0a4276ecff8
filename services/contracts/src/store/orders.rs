//! Statements about `contracts.order`.

use chrono::{DateTime, Utc};
use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, ContractId, DealId, OrderId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    currency,
    lines::{self, Batch},
    sums,
};
use crate::domain::{
    line::{Line, Lines},
    order::{Order, State},
};

/// A stored order without its lines.
#[derive(Debug)]
pub(crate) struct Head {
    /// Its id.
    pub(crate) id: Uuid,
    /// When it was made.
    pub(crate) create_time: DateTime<Utc>,
    contract_id: Uuid,
    deal_id: Uuid,
    client_id: Uuid,
    currency: String,
    net: i64,
    vat: i64,
    gross: i64,
    state: State,
    confirm_time: Option<DateTime<Utc>>,
    version: i64,
    update_time: DateTime<Utc>,
}

impl Head {
    fn with(self, lines: Vec<lines::Row>) -> sqlx::Result<Order> {
        let currency = currency(&self.currency)?;
        let all = lines.into_iter().map(|row| row.line(currency)).collect::<sqlx::Result<Vec<Line>>>()?;
        Ok(Order {
            id: OrderId(self.id),
            contract: ContractId(self.contract_id),
            deal: DealId(self.deal_id),
            client: ClientId(self.client_id),
            lines: Lines { all, currency, total: sums(self.net, self.vat, self.gross, currency) },
            state: self.state,
            confirm_time: self.confirm_time,
            version: self.version,
            create_time: self.create_time,
            update_time: self.update_time,
        })
    }
}

/// Reads an order that `scope` reaches.
pub(crate) async fn get(db: &mut PgConnection, scope: &Scope, id: OrderId) -> sqlx::Result<Option<Order>> {
    let head = sqlx::query_as!(
        Head,
        r#"select id, contract_id, deal_id, client_id, currency, net, vat, gross, state as "state: State", confirm_time,
                  version, create_time, update_time
           from contracts.order o
           where id = $1
             and ($2 or exists (
                 select from contracts.live_access a
                 where a.deal_id = o.deal_id and (a.owner_id = $3 or a.team_id = any($4))))"#,
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(&mut *db)
    .await?;
    one(db, head).await
}

/// Reads an order that `scope` reaches and holds its row until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, scope: &Scope, id: OrderId) -> sqlx::Result<Option<Order>> {
    let head = sqlx::query_as!(
        Head,
        r#"select id, contract_id, deal_id, client_id, currency, net, vat, gross, state as "state: State", confirm_time,
                  version, create_time, update_time
           from contracts.order o
           where id = $1
             and ($2 or exists (
                 select from contracts.live_access a
                 where a.deal_id = o.deal_id and (a.owner_id = $3 or a.team_id = any($4))))
           for update of o"#,
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(&mut *db)
    .await?;
    one(db, head).await
}

async fn one(db: &mut PgConnection, head: Option<Head>) -> sqlx::Result<Option<Order>> {
    let Some(head) = head else { return Ok(None) };
    let mut lines = lines::of_orders(db, &[head.id]).await?;
    let own = lines.take(head.id);
    head.with(own).map(Some)
}

/// Which orders a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    /// Only orders in this state.
    pub(crate) state: Option<State>,
    /// Only orders of this deal.
    pub(crate) deal: Option<DealId>,
    /// Only orders of this client.
    pub(crate) client: Option<ClientId>,
}

/// Lists orders that `scope` reaches, newest first, after the place that `after` names.
pub(crate) async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Head>> {
    // Two statements for one predicate: for few reached deals the plan begins with them, for all of them it must not.
    if scope.all {
        list_all(db, filter, after, limit).await
    } else {
        list_reached(db, scope, filter, after, limit).await
    }
}

async fn list_all(
    db: &mut PgConnection,
    filter: &Filter,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Head>> {
    sqlx::query_as!(
        Head,
        r#"select id, contract_id, deal_id, client_id, currency, net, vat, gross, state as "state: State", confirm_time,
                  version, create_time, update_time
           from contracts.order
           where ($1::text is null or state = $1)
             and ($2::uuid is null or deal_id = $2)
             and ($3::uuid is null or client_id = $3)
             and ($4::timestamptz is null or (create_time, id) < ($4, $5))
           order by create_time desc, id desc
           limit $6"#,
        filter.state as Option<State>,
        filter.deal.map(|deal| deal.0),
        filter.client.map(|client| client.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await
}

async fn list_reached(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Head>> {
    sqlx::query_as!(
        Head,
        r#"select id, contract_id, deal_id, client_id, currency, net, vat, gross, state as "state: State", confirm_time,
                  version, create_time, update_time
           from contracts.order
           where deal_id in (
                 select a.deal_id from contracts.live_access a where a.owner_id = $1 or a.team_id = any($2))
             and ($3::text is null or state = $3)
             and ($4::uuid is null or deal_id = $4)
             and ($5::uuid is null or client_id = $5)
             and ($6::timestamptz is null or (create_time, id) < ($6, $7))
           order by create_time desc, id desc
           limit $8"#,
        scope.me,
        &scope.teams,
        filter.state as Option<State>,
        filter.deal.map(|deal| deal.0),
        filter.client.map(|client| client.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await
}

/// Joins heads with their lines.
pub(crate) fn join(heads: Vec<Head>, mut lines: Batch) -> sqlx::Result<Vec<Order>> {
    heads
        .into_iter()
        .map(|head| {
            let own = lines.take(head.id);
            head.with(own)
        })
        .collect()
}

/// What the orders under a contract are worth that were not cancelled. It grows no further while the contract is held.
pub(crate) async fn ordered(db: &mut PgConnection, contract: ContractId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select coalesce(sum(gross), 0)::bigint as "gross!"
           from contracts.order
           where contract_id = $1 and state <> 'cancelled'"#,
        contract.0,
    )
    .fetch_one(db)
    .await
}

/// Writes a new order with its lines.
pub(crate) async fn insert(db: &mut PgConnection, order: &Order) -> sqlx::Result<()> {
    let total = order.lines.total;
    sqlx::query!(
        "insert into contracts.order (id, contract_id, deal_id, client_id, currency, net, vat, gross, state, version,
             create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
        order.id.0,
        order.contract.0,
        order.deal.0,
        order.client.0,
        order.lines.currency.code(),
        total.net.minor,
        total.vat.minor,
        total.gross.minor,
        order.state as State,
        order.version,
        order.create_time,
    )
    .execute(&mut *db)
    .await?;
    lines::add_to_order(db, order.id, &order.lines).await
}

/// Writes what may change of an order.
pub(crate) async fn save(db: &mut PgConnection, order: &Order) -> sqlx::Result<()> {
    sqlx::query!(
        "update contracts.order set state = $2, confirm_time = $3, version = $4, update_time = $5 where id = $1",
        order.id.0,
        order.state as State,
        order.confirm_time,
        order.version,
        order.update_time,
    )
    .execute(db)
    .await?;
    Ok(())
}
