//! Whether the books are right, for operators.

use otdel_types::Money;
use sqlx::PgConnection;

use crate::{
    domain::ledger::Account,
    store::{self, ledger::Difference},
};

/// What the books say, and what is wrong with them.
#[derive(Clone, Debug)]
pub struct Books {
    /// The balance of each account in each currency, by currency; debit is positive.
    pub balances: Vec<(&'static str, Money)>,
    /// How many transactions are booked.
    pub transactions: i64,
    /// What is wrong. Empty: every transaction balances, and the ledger says what the invoices, payments and allocations
    /// say.
    pub wrong: Vec<String>,
}

/// How many wrong transactions are named.
const NAMED: i64 = 5;

/// Checks the books as a transaction sees them: the sum of every transaction and of each currency, every account against
/// the documents that it was booked from, and what is paid and allocated against the allocations.
pub async fn books(db: &mut PgConnection) -> sqlx::Result<Books> {
    let trial = store::ledger::trial_balance(&mut *db).await?;
    let mut wrong = Vec::new();
    for id in store::ledger::unbalanced(&mut *db, NAMED).await? {
        wrong.push(format!("the transaction {id} does not balance"));
    }
    let mut sums: Vec<Money> = Vec::new();
    for (_, balance) in &trial.balances {
        match sums.iter_mut().find(|sum| sum.currency == balance.currency) {
            // A sum that cannot be counted is not zero either.
            Some(sum) => sum.minor = sum.minor.saturating_add(balance.minor),
            None => sums.push(*balance),
        }
    }
    for sum in sums.iter().filter(|sum| sum.minor != 0) {
        wrong.push(format!("all accounts together have {sum} and not zero"));
    }
    for one in store::ledger::other_than_documents(&mut *db).await? {
        let Difference { account, currency, ledger, documents } = one;
        wrong.push(format!("{account} in {currency} has {ledger} minor units and the documents ask for {documents}"));
    }
    let (invoices, payments) = store::ledger::other_than_allocations(db).await?;
    if invoices > 0 {
        wrong.push(format!("{invoices} invoices are paid otherwise than their allocations say"));
    }
    if payments > 0 {
        wrong.push(format!("{payments} payments are allocated otherwise than their allocations say"));
    }
    let balances = trial.balances.into_iter().map(|(account, balance)| (name(account), balance)).collect();
    Ok(Books { balances, transactions: trial.transactions, wrong })
}

/// The account's name in the database and in logs.
fn name(account: Account) -> &'static str {
    match account {
        Account::Receivable => "receivable",
        Account::Advance => "advance",
        Account::Bank => "bank",
        Account::Revenue => "revenue",
        Account::VatPayable => "vat_payable",
    }
}
