//! From domain values to messages. None of it can fail.

use otdel_api::reporting as pb;
use otdel_runtime::{
    convert::{decimal, money},
    follow::Reached,
};

use crate::{
    domain::{
        ask::Key,
        change::Channel,
        debt::Debt,
        figures::{self, Cycle},
    },
    store::{funnel_report::StageCount, lead_report::LeadCount, revenue_report::Revenue},
};

fn month(key: &Key) -> String {
    key.month.map(|month| month.to_string()).unwrap_or_default()
}

fn origin(key: &Key) -> String {
    key.origin.clone().unwrap_or_default()
}

fn channel(key: &Key) -> String {
    key.channel.map(Channel::name).unwrap_or_default().to_owned()
}

pub(super) fn leads(count: &LeadCount) -> pb::LeadRow {
    let key = &count.key;
    pb::LeadRow { month: month(key), origin: origin(key), channel: channel(key), leads: count.leads }
}

pub(super) fn conversion(count: &LeadCount) -> pb::ConversionRow {
    let key = &count.key;
    pb::ConversionRow {
        month: month(key),
        origin: origin(key),
        channel: channel(key),
        leads: count.leads,
        won: count.won,
        rate_percent: figures::rate_percent(count.won, count.leads).as_ref().map(decimal),
    }
}

pub(super) fn won(row: &super::get_won_report::Row) -> pb::WonRow {
    let key = &row.key;
    pb::WonRow {
        month: month(key),
        origin: origin(key),
        channel: channel(key),
        won: row.cycle.map_or(0, |cycle| cycle.deals),
        cycle_days: row.cycle.as_ref().map(cycle_days),
        amounts: row.worth.iter().copied().map(money).collect(),
    }
}

fn cycle_days(cycle: &Cycle) -> pb::CycleDays {
    pb::CycleDays {
        mean: cycle.mean().as_ref().map(decimal),
        median: cycle.median().as_ref().map(decimal),
        min: cycle.min,
        max: cycle.max,
        negative: cycle.negative,
    }
}

pub(super) fn stage(count: &StageCount) -> pb::FunnelRow {
    pb::FunnelRow {
        pipeline: count.pipeline.to_string(),
        stage: count.stage.clone(),
        entered: count.entered,
        standing: count.standing,
    }
}

pub(super) fn revenue(revenue: &Revenue) -> pb::RevenueRow {
    pb::RevenueRow {
        month: revenue.month.to_string(),
        invoices: revenue.invoices,
        net: Some(money(revenue.net)),
        vat: Some(money(revenue.vat)),
        gross: Some(money(revenue.gross)),
        paid: Some(money(revenue.paid)),
    }
}

pub(super) fn debt(debt: &Debt) -> pb::ReceivablesRow {
    pb::ReceivablesRow {
        client: debt.client.to_string(),
        invoiced: Some(money(debt.invoiced)),
        paid: Some(money(debt.paid)),
        outstanding: Some(money(debt.outstanding)),
    }
}

pub(super) fn projection(generation: i64, reached: &[Reached], digest: String) -> pb::Projection {
    let position = |reached: &Reached| pb::SourcePosition {
        service: reached.source.name().to_owned(),
        position: reached.position,
    };
    pb::Projection { generation, positions: reached.iter().map(position).collect(), digest }
}
