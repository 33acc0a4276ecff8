//! Statements about `billing.ledger_transaction` and `billing.ledger_entry`.

use chrono::{DateTime, Utc};
use otdel_types::Money;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Sums;
use crate::domain::ledger::{Account, Kind, Leg, Transaction};

/// Books transactions. All legs come in one statement, over which the database holds their sums to zero. A transaction
/// without legs, such as an invoice of nothing, is not booked.
pub(crate) async fn book(db: &mut PgConnection, transactions: &[Transaction]) -> sqlx::Result<()> {
    let booked: Vec<&Transaction> = transactions.iter().filter(|one| !one.legs.is_empty()).collect();
    if booked.is_empty() {
        return Ok(());
    }
    let legs: Vec<(&Transaction, i16, &Leg)> =
        booked.iter().flat_map(|one| (1..).zip(&one.legs).map(|(place, leg)| (*one, place, leg))).collect();
    sqlx::query!(
        "with booked as (
             insert into billing.ledger_transaction (id, kind, book_time)
             select * from unnest($1::uuid[], $2::text[], $3::timestamptz[]))
         insert into billing.ledger_entry (transaction_id, client_id, leg, account, currency, amount)
         select * from unnest($4::uuid[], $5::uuid[], $6::smallint[], $7::text[], $8::text[], $9::bigint[])",
        &booked.iter().map(|one| one.id).collect::<Vec<Uuid>>(),
        booked.iter().map(|one| one.kind).collect::<Vec<Kind>>() as Vec<Kind>,
        &booked.iter().map(|one| one.book_time).collect::<Vec<DateTime<Utc>>>(),
        &legs.iter().map(|(one, ..)| one.id).collect::<Vec<Uuid>>(),
        &legs.iter().map(|(one, ..)| one.client.0).collect::<Vec<Uuid>>(),
        &legs.iter().map(|(_, place, _)| *place).collect::<Vec<i16>>(),
        legs.iter().map(|(.., leg)| leg.account).collect::<Vec<Account>>() as Vec<Account>,
        &legs.iter().map(|(.., leg)| leg.amount.currency.code().to_owned()).collect::<Vec<String>>(),
        &legs.iter().map(|(.., leg)| leg.amount.minor).collect::<Vec<i64>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The sums of the whole ledger.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrialBalance {
    /// The balance of each account in each currency; debit is positive.
    pub(crate) balances: Vec<(Account, Money)>,
    /// How many transactions there are.
    pub(crate) transactions: i64,
}

/// Sums up the ledger in one statement, so that the sums are of one moment.
pub(crate) async fn trial_balance(db: &mut PgConnection) -> sqlx::Result<TrialBalance> {
    let rows = sqlx::query!(
        r#"select account as "account: Account", currency, sum(amount)::bigint as "balance!",
                  (select count(*) from billing.ledger_transaction) as "transactions!"
           from billing.ledger_entry
           group by account, currency
           order by currency, account"#
    )
    .fetch_all(db)
    .await?;
    let transactions = rows.first().map_or(0, |row| row.transactions);
    let balances = rows.into_iter().map(|row| Ok((row.account, Sums::of(&row.currency)?.money(row.balance))));
    Ok(TrialBalance { balances: balances.collect::<sqlx::Result<_>>()?, transactions })
}
