//! Every SQL statement of billing. Functions take a connection and never begin or commit.
//!
//! Lock order: payment, then invoices by id, then counter. Whoever locks several locks them in this order. A new
//! payment is inserted before its invoices are locked, because its bank reference is what a second recording waits for.
//! An invoice is issued without a lock on any other row but its number's counter, which is the last to be locked.
//!
//! Scope: an invoice, and so what a client owes, is reached by whoever answers for its deal, a payment and a client's
//! advance by whoever answers for the client. Scoped queries read who that is from `billing.live_access`.

pub(crate) mod access;
pub(crate) mod invoices;
pub(crate) mod ledger;
pub(crate) mod payments;
pub(crate) mod receivables;

use otdel_types::{BadMoney, Currency, Money};

/// Sums of one row, which share its currency.
#[derive(Clone, Copy, Debug)]
struct Sums(Currency);

impl Sums {
    fn of(code: &str) -> sqlx::Result<Self> {
        Currency::from_code(code).map(Self).map_err(unreadable)
    }

    fn money(self, minor: i64) -> Money {
        Money { minor, currency: self.0 }
    }
}

/// A row that this binary cannot have written.
fn unreadable(error: BadMoney) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}
