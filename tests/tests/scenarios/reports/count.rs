//! The reports counted straight from a history: the same rows in the same order, by loops over everything.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use otdel_api::{
    common::{Decimal, Money},
    leads as pb, reporting as rp,
};
use otdel_runtime::convert;
use otdel_types::Currency;

use super::history::{Deal, History};

/// Who reads a report, and what it reaches.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Whether it is everything.
    pub all: bool,
    /// Whose rows; empty for nobody's.
    pub person: String,
    /// Which teams' rows.
    pub teams: Vec<String>,
}

impl Reach {
    fn reaches(&self, owner: &str, team: &str) -> bool {
        self.all
            || (!owner.is_empty() && owner == self.person)
            || self.teams.iter().any(|one| one == team)
            // What no team has is every head's.
            || (team.is_empty() && !self.teams.is_empty())
    }
}

/// One question: what is counted, by what, for whom.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Everything that there is.
    pub history: &'a History,
    /// Who asks.
    pub reach: &'a Reach,
    /// What is counted.
    pub filter: rp::Filter,
    /// By what.
    pub dimensions: Vec<rp::Dimension>,
}

fn month(date: NaiveDate) -> String {
    date.format("%Y-%m").to_string()
}

/// A quotient with so many digits after the point, half away from zero, as a decimal is written.
fn quotient(numerator: i64, denominator: i64, digits: usize) -> Decimal {
    let scale = 10_i64.pow(u32::try_from(digits).unwrap());
    let twice = numerator.abs() * scale * 2 + denominator;
    let scaled = twice / (2 * denominator);
    let sign = if numerator < 0 && scaled > 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:0digits$}", scaled / scale, scaled % scale);
    Decimal { value: text.trim_end_matches('0').trim_end_matches('.').to_owned() }
}

fn money(minor: i64, currency: &str) -> Money {
    convert::money(otdel_types::Money { minor, currency: Currency::from_code(currency).unwrap() })
}

impl Question<'_> {
    fn counts(&self, date: NaiveDate, owner: &str, team: &str) -> bool {
        let (filter, month) = (&self.filter, month(date));
        self.reach.reaches(owner, team)
            && (filter.from_month.is_empty() || month >= filter.from_month)
            && (filter.to_month.is_empty() || month <= filter.to_month)
            && (filter.owner.is_empty() || owner == filter.owner)
            && (filter.team.is_empty() || team == filter.team)
    }

    fn key(&self, date: NaiveDate, lead: usize) -> Vec<String> {
        let lead = &self.history.leads[lead];
        let of = |dimension: &rp::Dimension| match dimension {
            rp::Dimension::Month => month(date),
            rp::Dimension::Origin => lead.origin.clone(),
            rp::Dimension::Channel => lead.channel.as_str_name().trim_start_matches("CHANNEL_").to_owned(),
            rp::Dimension::Unspecified => panic!("no dimension"),
        };
        self.dimensions.iter().map(of).collect()
    }

    fn named(&self, key: &[String], dimension: rp::Dimension) -> String {
        self.dimensions.iter().position(|one| *one == dimension).map(|at| key[at].clone()).unwrap_or_default()
    }

    /// Without dimensions there is one row, of nothing too.
    fn groups<T: Default>(&self) -> BTreeMap<Vec<String>, T> {
        if self.dimensions.is_empty() { BTreeMap::from([(vec![], T::default())]) } else { BTreeMap::new() }
    }

    /// The conversion, which has the lead report's counts in it.
    pub fn conversion(&self) -> Vec<rp::ConversionRow> {
        let mut groups: BTreeMap<Vec<String>, (i64, i64)> = self.groups();
        for (at, lead) in self.history.leads.iter().enumerate() {
            if self.counts(lead.received, &lead.owner, &lead.team) {
                let (leads, won) = groups.entry(self.key(lead.received, at)).or_default();
                *leads += 1;
                *won += i64::from(self.history.deals.iter().any(|deal| deal.lead == at && deal.win.is_some()));
            }
        }
        let row = |(key, (leads, won)): (Vec<String>, (i64, i64))| rp::ConversionRow {
            month: self.named(&key, rp::Dimension::Month),
            origin: self.named(&key, rp::Dimension::Origin),
            channel: self.named(&key, rp::Dimension::Channel),
            leads,
            won,
            rate_percent: (leads > 0).then(|| quotient(won * 100, leads, 4)),
        };
        groups.into_iter().map(row).collect()
    }

    /// The lead report.
    pub fn leads(&self) -> Vec<rp::LeadRow> {
        let row = |row: rp::ConversionRow| rp::LeadRow {
            month: row.month,
            origin: row.origin,
            channel: row.channel,
            leads: row.leads,
        };
        self.conversion().into_iter().map(row).collect()
    }

    /// The won report.
    pub fn won(&self) -> Vec<rp::WonRow> {
        let mut groups: BTreeMap<Vec<String>, Vec<&Deal>> = self.groups();
        for deal in &self.history.deals {
            let Some((date, _)) = deal.win else { continue };
            if self.counts(date, &deal.owner, &deal.team) {
                groups.entry(self.key(date, deal.lead)).or_default().push(deal);
            }
        }
        let row = |(key, deals): (Vec<String>, Vec<&Deal>)| rp::WonRow {
            month: self.named(&key, rp::Dimension::Month),
            origin: self.named(&key, rp::Dimension::Origin),
            channel: self.named(&key, rp::Dimension::Channel),
            won: i64::try_from(deals.len()).unwrap(),
            cycle_days: self.cycle(&deals),
            amounts: worth(&deals),
        };
        groups.into_iter().map(row).collect()
    }

    fn cycle(&self, deals: &[&Deal]) -> Option<rp::CycleDays> {
        let days = |deal: &&Deal| (deal.win.as_ref().unwrap().0 - self.history.leads[deal.lead].received).num_days();
        let mut days: Vec<i64> = deals.iter().map(days).collect();
        days.sort_unstable();
        let (first, last) = (*days.first()?, *days.last()?);
        Some(rp::CycleDays {
            mean: Some(quotient(days.iter().sum(), i64::try_from(days.len()).unwrap(), 4)),
            median: Some(quotient(days[(days.len() - 1) / 2] + days[days.len() / 2], 2, 1)),
            min: i32::try_from(first).unwrap(),
            max: i32::try_from(last).unwrap(),
            negative: i64::try_from(days.iter().filter(|days| **days < 0).count()).unwrap(),
        })
    }

    /// The funnel, of one pipeline version or of all.
    pub fn funnel(&self, pipeline: &str) -> Vec<rp::FunnelRow> {
        // Deals enter stages one after another, so a later stage is reached later. The ends come last.
        let mut groups: BTreeMap<(&str, usize), (&str, i64, i64)> = BTreeMap::new();
        for deal in &self.history.deals {
            let asked = pipeline.is_empty() || deal.pipeline == pipeline;
            if !asked || !self.counts(deal.opened, &deal.owner, &deal.team) {
                continue;
            }
            for (at, stage) in deal.stages.iter().enumerate() {
                let (_, entered, standing) = groups.entry((&deal.pipeline, at)).or_insert((stage, 0, 0));
                *entered += 1;
                let is_last = at + 1 == deal.stages.len();
                *standing += i64::from(is_last && deal.state == pb::deal::State::Open);
            }
            let end = match deal.state {
                pb::deal::State::Won => (usize::MAX - 1, "(won)"),
                pb::deal::State::Lost => (usize::MAX, "(lost)"),
                _ => continue,
            };
            let (_, entered, standing) = groups.entry((&deal.pipeline, end.0)).or_insert((end.1, 0, 0));
            *entered += 1;
            *standing += 1;
        }
        let row = |((pipeline, _), (stage, entered, standing)): ((&str, usize), (&str, i64, i64))| rp::FunnelRow {
            pipeline: pipeline.to_owned(),
            stage: stage.to_owned(),
            entered,
            standing,
        };
        groups.into_iter().map(row).collect()
    }

    /// The revenue.
    pub fn revenue(&self) -> Vec<rp::RevenueRow> {
        let mut groups: BTreeMap<(String, &str), (i64, [i64; 4])> = BTreeMap::new();
        for invoice in &self.history.invoices {
            let deal = &self.history.deals[invoice.deal];
            if self.counts(invoice.issued, &deal.owner, &deal.team) {
                let (count, sums) = groups.entry((month(invoice.issued), &invoice.currency)).or_default();
                *count += 1;
                for (sum, more) in sums.iter_mut().zip(invoice.sums) {
                    *sum += more;
                }
            }
        }
        for part in &self.history.parts {
            let invoice = &self.history.invoices[part.invoice];
            let deal = &self.history.deals[invoice.deal];
            if self.counts(part.allocated, &deal.owner, &deal.team) {
                groups.entry((month(part.allocated), &invoice.currency)).or_default().1[3] += part.amount;
            }
        }
        let row = |((month, currency), (invoices, [net, vat, gross, paid])): ((String, &str), (i64, [i64; 4]))| {
            let [net, vat, gross, paid] = [net, vat, gross, paid].map(|sum| Some(money(sum, currency)));
            rp::RevenueRow { month, invoices, net, vat, gross, paid }
        };
        groups.into_iter().map(row).collect()
    }

    /// What clients owe, one of them or all.
    pub fn receivables(&self, client: &str) -> Vec<rp::ReceivablesRow> {
        let mut groups: BTreeMap<(&str, &str), [i64; 2]> = BTreeMap::new();
        let paid = |at: usize| self.history.parts.iter().filter(move |part| part.invoice == at).map(|part| part.amount);
        for (at, invoice) in self.history.invoices.iter().enumerate() {
            let deal = &self.history.deals[invoice.deal];
            let asked = client.is_empty() || deal.client == client;
            if asked && self.reach.reaches(&deal.owner, &deal.team) {
                let sums = groups.entry((&deal.client, &invoice.currency)).or_default();
                sums[0] += invoice.sums[2];
                sums[1] += paid(at).sum::<i64>();
            }
        }
        let mut rows: Vec<_> = groups.into_iter().collect();
        rows.sort_by_key(|((client, currency), [invoiced, paid])| {
            (*currency, std::cmp::Reverse(invoiced - paid), *client)
        });
        let row = |((client, currency), [invoiced, paid]): ((&str, &str), [i64; 2])| rp::ReceivablesRow {
            client: client.to_owned(),
            invoiced: Some(money(invoiced, currency)),
            paid: Some(money(paid, currency)),
            outstanding: Some(money(invoiced - paid, currency)),
        };
        rows.into_iter().map(row).collect()
    }
}

/// What deals are worth, by currency. Some are worth nothing known.
fn worth(deals: &[&Deal]) -> Vec<Money> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for amount in deals.iter().filter_map(|deal| deal.win.as_ref().unwrap().1.as_ref()) {
        *sums.entry(&amount.currency_code).or_default() += otdel_tests::papers::minor(Some(amount));
    }
    sums.into_iter().map(|(currency, sum)| money(sum, currency)).collect()
}
