//! What reporting does by itself: it follows the feeds of leads, contracts and billing.

mod billing;
mod leads;
mod reports;

use otdel_api::common;
use otdel_runtime::{convert::money_of, violations::Violations};
use otdel_types::Money;

pub(crate) use reports::{Reports, SOURCES};

/// A sum that a fact says. It may be larger than a request's: it has happened, and to refuse it would stop the reports
/// for ever.
fn money(wrong: &mut Violations, field: &str, value: Option<&common::Money>) -> Option<Money> {
    let value = wrong.message(field, value)?;
    wrong.take(field, money_of(value))
}
