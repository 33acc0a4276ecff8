//! Every SQL statement of reporting. Functions take a connection and never begin or commit.
//!
//! `lead_facts` and `billing_facts` write the read model, each the tables of its own source; `build` proves a build of it
//! and takes it away; each report is one statement over one build.
//!
//! The statements sum narrow, indexed rows of facts. Where a report over all rows becomes too slow, its sums become
//! tables of their own that the same transactions keep: `lead_sum(month, origin, channel, owner, team) → leads, won` for
//! the lead and conversion reports; `won_sum(the same) → won, days, negative, amount by currency` for the won report,
//! with `won_days(the same, days) → won` for its median, least and most; `stage_sum(open month, pipeline, stage, owner,
//! team) → entered, standing` for the funnel; `money_sum(month, currency, owner, team)` for revenue and `debt(client,
//! currency, owner, team)` for receivables. Sums of money need their deal's owner: those of an invoice that comes before
//! its deal wait in a table by deal until the deal is known.

pub(crate) mod billing_facts;
pub(crate) mod build;
pub(crate) mod funnel_report;
pub(crate) mod lead_facts;
pub(crate) mod lead_report;
pub(crate) mod receivables_report;
pub(crate) mod revenue_report;
pub(crate) mod won_report;

use chrono::NaiveDate;
use otdel_types::{Currency, Money, Month};

/// Money of a row. Its currency was read from a fact, so that it is always one.
fn money(minor: i64, currency: &str) -> sqlx::Result<Money> {
    let currency = Currency::from_code(currency).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(Money { minor, currency })
}

/// The first and last month of a filter as rows have them.
fn months(filter: &crate::domain::ask::Filter) -> (Option<NaiveDate>, Option<NaiveDate>) {
    (filter.from.map(Month::first_date), filter.to.map(Month::first_date))
}
