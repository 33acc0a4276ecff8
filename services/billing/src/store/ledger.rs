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

/// Transactions whose legs do not sum to zero in every currency: some of them, by their ids.
pub(crate) async fn unbalanced(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar!(
        "select distinct transaction_id from (
             select transaction_id from billing.ledger_entry group by transaction_id, currency having sum(amount) <> 0
         ) as wrong order by transaction_id limit $1",
        limit,
    )
    .fetch_all(db)
    .await
}

/// A balance that is not what the documents ask for, in minor units.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) account: String,
    pub(crate) currency: String,
    pub(crate) ledger: String,
    pub(crate) documents: String,
}

/// The accounts whose balance is not what the documents ask for that they were booked from.
pub(crate) async fn other_than_documents(db: &mut PgConnection) -> sqlx::Result<Vec<Difference>> {
    sqlx::query_as!(
        Difference,
        r#"with documents as (
               select currency, 'receivable' as account, sum(gross - paid) as balance from billing.invoice group by 1
               union all select currency, 'revenue', -sum(net) from billing.invoice group by 1
               union all select currency, 'vat_payable', -sum(vat) from billing.invoice group by 1
               union all select currency, 'bank', sum(amount) from billing.payment group by 1
               union all select currency, 'advance', -sum(amount - allocated) from billing.payment group by 1),
           ledger as (
               select currency, account, sum(amount) as balance from billing.ledger_entry group by 1, 2)
           select currency as "currency!", account as "account!", coalesce(ledger.balance, 0)::text as "ledger!",
                  coalesce(documents.balance, 0)::text as "documents!"
           from ledger full join documents using (currency, account)
           where coalesce(ledger.balance, 0) <> coalesce(documents.balance, 0)
           order by 1, 2"#
    )
    .fetch_all(db)
    .await
}

/// How many invoices are paid, and how many payments allocated, otherwise than their allocations say.
pub(crate) async fn other_than_allocations(db: &mut PgConnection) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query!(
        r#"select (select count(*) from billing.invoice i
                   left join (select invoice_id, sum(amount) as paid from billing.allocation group by 1) a
                        on a.invoice_id = i.id
                   where i.paid <> coalesce(a.paid, 0)) as "invoices!",
                  (select count(*) from billing.payment p
                   left join (select payment_id, sum(amount) as allocated from billing.allocation group by 1) a
                        on a.payment_id = p.id
                   where p.allocated <> coalesce(a.allocated, 0)) as "payments!""#
    )
    .fetch_one(db)
    .await?;
    Ok((row.invoices, row.payments))
}
