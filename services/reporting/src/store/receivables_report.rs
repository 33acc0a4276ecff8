//! The statement of the receivables report.

use otdel_runtime::scope::Scope;
use otdel_types::ClientId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::debt::{Debt, Place};

struct Row {
    client_id: Uuid,
    currency: String,
    invoiced: i64,
    paid: i64,
    outstanding: i64,
}

impl TryFrom<Row> for Debt {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let of = |minor| super::money(minor, &row.currency);
        Ok(Self {
            client: ClientId(row.client_id),
            invoiced: of(row.invoiced)?,
            paid: of(row.paid)?,
            outstanding: of(row.outstanding)?,
        })
    }
}

/// Sums what clients owe for the deals of a build that `scope` reaches, by currency, largest debt first, after the place
/// that `after` names. What belongs to a deal that is not known yet has no owner, so that only who reaches everything sees it.
pub(crate) async fn list(
    db: &mut PgConnection,
    generation: i64,
    scope: &Scope,
    client: Option<ClientId>,
    after: Option<&Place>,
    limit: i64,
) -> sqlx::Result<Vec<Debt>> {
    let rows = if scope.all {
        whole(db, generation, client, after, limit).await?
    } else {
        reached(db, generation, scope, client, after, limit).await?
    };
    rows.into_iter().map(Debt::try_from).collect()
}

/// The debts over all: one row a client and currency, found in their order.
async fn whole(
    db: &mut PgConnection,
    generation: i64,
    client: Option<ClientId>,
    after: Option<&Place>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select client_id, currency, invoiced::bigint as "invoiced!", paid::bigint as "paid!",
                  (-balance)::bigint as "outstanding!"
           from reporting.debt_sum
           where generation = $1 and whole and (invoices > 0 or parts > 0) and ($2::uuid is null or client_id = $2)
             and ($3::bpchar is null or (currency, balance, client_id) > ($3, -$4::bigint::numeric, $5::uuid))
           order by currency, balance, client_id
           limit $6"#,
        generation,
        client.map(|client| client.0),
        after.map(|place| place.currency.code()),
        after.map(|place| place.outstanding),
        after.map(|place| place.client.0),
        limit,
    )
    .fetch_all(db)
    .await
}

/// The debts for what some people and teams answer for, added up by client.
async fn reached(
    db: &mut PgConnection,
    generation: i64,
    scope: &Scope,
    client: Option<ClientId>,
    after: Option<&Place>,
    limit: i64,
) -> sqlx::Result<Vec<Row>> {
    sqlx::query_as!(
        Row,
        r#"select client_id, currency, invoiced::bigint as "invoiced!", (invoiced + balance)::bigint as "paid!",
                  (-balance)::bigint as "outstanding!"
           from (select client_id, currency, sum(invoiced) as invoiced, sum(balance) as balance
                 from reporting.debt_sum
                 where generation = $1 and not whole and ($2 or owner_id = $3 or team_id = any($4))
                   and ($5::uuid is null or client_id = $5)
                 group by client_id, currency
                 having bool_or(invoices > 0 or parts > 0)) as debt
           where $6::bpchar is null or (currency, balance, client_id) > ($6, -$7::bigint::numeric, $8::uuid)
           order by currency, balance, client_id
           limit $9"#,
        generation,
        scope.all,
        scope.me,
        &scope.teams,
        client.map(|client| client.0),
        after.map(|place| place.currency.code()),
        after.map(|place| place.outstanding),
        after.map(|place| place.client.0),
        limit,
    )
    .fetch_all(db)
    .await
}
