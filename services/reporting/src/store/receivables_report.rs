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
///
/// Invoices and payments are joined with their deals by themselves: only then can the few of one owner be found by them.
pub(crate) async fn list(
    db: &mut PgConnection,
    generation: i64,
    scope: &Scope,
    client: Option<ClientId>,
    after: Option<&Place>,
    limit: i64,
) -> sqlx::Result<Vec<Debt>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select client_id as "client_id!", currency as "currency!", invoiced as "invoiced!", paid as "paid!",
                  outstanding as "outstanding!"
           from (select client_id, currency, sum(invoiced)::bigint as invoiced, sum(paid)::bigint as paid,
                        sum(invoiced - paid)::bigint as outstanding
                 from (select i.client_id, i.currency, sum(i.gross) as invoiced, 0 as paid
                       from reporting.invoice i
                       left join reporting.deal d on d.generation = $1 and d.deal_id = i.deal_id
                       where i.generation = $1 and ($2 or d.owner_id = $3 or d.team_id = any($4))
                         and ($5::uuid is null or i.client_id = $5)
                       group by i.client_id, i.currency
                       union all
                       select a.client_id, a.currency, 0, sum(a.amount)
                       from reporting.allocation a
                       left join reporting.deal d on d.generation = $1 and d.deal_id = a.deal_id
                       where a.generation = $1 and ($2 or d.owner_id = $3 or d.team_id = any($4))
                         and ($5::uuid is null or a.client_id = $5)
                       group by a.client_id, a.currency) as part
                 group by client_id, currency) as debt
           where $6::bpchar is null or currency > $6
              or (currency = $6 and (outstanding < $7::bigint or (outstanding = $7 and client_id > $8::uuid)))
           order by currency, outstanding desc, client_id
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
    .await?;
    rows.into_iter().map(Debt::try_from).collect()
}
