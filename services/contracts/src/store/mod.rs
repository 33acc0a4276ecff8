//! Every SQL statement of contracts. Functions take a connection and never begin or commit.
//!
//! Lock order: contract, then order, then authority, then answered access, then counter. Whoever locks several locks them
//! in this order. The counter of a year comes last because everybody who drafts waits for it until the commit.

pub(crate) mod access;
pub(crate) mod approvals;
pub(crate) mod contracts;
pub(crate) mod lines;
pub(crate) mod orders;

use otdel_types::{Currency, LineSums, Money};

/// What is stored and cannot be: the constraints keep it out, so it is an error of ours and not of the caller.
fn undecodable(what: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(what))
}

fn currency(code: &str) -> sqlx::Result<Currency> {
    Currency::from_code(code).map_err(undecodable)
}

fn sums(net: i64, vat: i64, gross: i64, currency: Currency) -> LineSums {
    let money = |minor| Money { minor, currency };
    LineSums { net: money(net), vat: money(vat), gross: money(gross) }
}
