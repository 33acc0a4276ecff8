//! Every SQL statement of reporting. Functions take a connection and never begin or commit.
//!
//! `lead_facts` and `billing_facts` write the read model, each the tables of its own source; the database keeps the sums of
//! the facts beside them, in the statements that write those (see `migrations/0003_sums.sql`); `build` proves a build and
//! takes it away; each report is one statement over the sums of one build.

pub(crate) mod billing_facts;
pub(crate) mod build;
pub(crate) mod funnel_report;
pub(crate) mod lead_facts;
pub(crate) mod lead_report;
pub(crate) mod receivables_report;
pub(crate) mod revenue_report;
pub(crate) mod won_report;

use chrono::NaiveDate;
use otdel_runtime::scope::Scope;
use otdel_types::{Currency, Money, Month};

use crate::domain::ask::Filter;

/// Money of a row. Its currency was read from a fact, so that it is always one.
fn money(minor: i64, currency: &str) -> sqlx::Result<Money> {
    let currency = Currency::from_code(currency).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Money { minor, currency })
}

/// The first and last month of a filter as rows have them.
fn months(filter: &Filter) -> (Option<NaiveDate>, Option<NaiveDate>) {
    (filter.from.map(Month::first_date), filter.to.map(Month::first_date))
}

/// Whether a report is about everything, whoever answers for it: then it reads the sums over all.
fn is_whole(scope: &Scope, filter: &Filter) -> bool {
    scope.all && filter.owner.is_none() && filter.team.is_none()
}
