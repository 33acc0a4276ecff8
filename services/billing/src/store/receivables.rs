//! The statement about what a client owes.

use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, Money};
use sqlx::PgConnection;

use super::Sums;

/// What a client owes in a currency.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Receivable {
    /// The sum of the issued invoices.
    pub(crate) invoiced: Money,
    /// How much of them is paid.
    pub(crate) paid: Money,
    /// How much of them is not paid.
    pub(crate) outstanding: Money,
    /// What was paid without an invoice to pay.
    pub(crate) advance: Money,
}

/// Sums up what a client owes, by currency: the invoices whose deal `scope` reaches, and the advance where it reaches the
/// client. A client's deals may be several owners', so that who reaches the client does not reach all its invoices.
///
/// The invoices are those that a list shows, with those of nothing, which the ledger does not have. What is paid of them
/// is what the ledger allocates to them.
pub(crate) async fn of_client(db: &mut PgConnection, scope: &Scope, client: ClientId) -> sqlx::Result<Vec<Receivable>> {
    let rows = sqlx::query!(
        r#"select currency as "currency!", coalesce(i.invoiced, 0) as "invoiced!", coalesce(i.paid, 0) as "paid!",
                  coalesce(i.outstanding, 0) as "outstanding!", coalesce(e.advance, 0) as "advance!"
           from (select i.currency, sum(i.gross)::bigint as invoiced, sum(i.paid)::bigint as paid,
                        sum(i.gross - i.paid)::bigint as outstanding
                 from billing.invoice i
                 where i.client_id = $1
                   and ($2 or exists (
                       select from billing.live_access a
                       where a.kind = 'deal' and a.resource_id = i.deal_id
                         and (a.owner_id = $3 or a.team_id = any($4))))
                 group by i.currency) i
           full join (select e.currency, -sum(e.amount)::bigint as advance
                      from billing.ledger_entry e
                      where e.client_id = $1 and e.account = 'advance'
                        and ($2 or exists (
                            select from billing.live_access a
                            where a.kind = 'client' and a.resource_id = $1
                              and (a.owner_id = $3 or a.team_id = any($4))))
                      group by e.currency) e using (currency)
           order by currency"#,
        client.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let sums = Sums::of(&row.currency)?;
            Ok(Receivable {
                invoiced: sums.money(row.invoiced),
                paid: sums.money(row.paid),
                outstanding: sums.money(row.outstanding),
                advance: sums.money(row.advance),
            })
        })
        .collect()
}
