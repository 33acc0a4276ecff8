//! From domain values to messages. None of it can fail.

use otdel_api::contracts as pb;
use otdel_runtime::{
    convert::{decimal, money, timestamp},
    outbox::Fact,
};
use otdel_types::VatRate;

use crate::domain::{
    authority::{Approver, Limit},
    contract::{self, Contract},
    line::Line,
    order::{self, Order},
};

pub(super) fn contract(contract: &Contract) -> pb::Contract {
    let (content, total) = (&contract.content, contract.content.lines.total);
    let approval = contract.approval.as_ref();
    pb::Contract {
        name: contract.id.to_string(),
        number: contract.number.to_string(),
        deal: content.deal.to_string(),
        client: content.client.to_string(),
        currency_code: content.lines.currency.code().to_owned(),
        lines: content.lines.all.iter().map(line).collect(),
        net: Some(money(total.net)),
        vat: Some(money(total.vat)),
        gross: Some(money(total.gross)),
        state: contract_state(contract.state).into(),
        document_hash: contract.document_hash.to_string(),
        author: contract.author.principal.clone(),
        approver: approval.map(|approval| approval.approver.principal.clone()).unwrap_or_default(),
        approve_time: approval.map(|approval| timestamp(approval.approve_time)),
        sign_time: contract.sign_time.map(timestamp),
        create_time: Some(timestamp(contract.create_time)),
        update_time: Some(timestamp(contract.update_time)),
        etag: contract.version.to_string(),
    }
}

pub(super) fn order(order: &Order) -> pb::Order {
    let total = order.lines.total;
    pb::Order {
        name: order.id.to_string(),
        contract: order.contract.to_string(),
        deal: order.deal.to_string(),
        client: order.client.to_string(),
        currency_code: order.lines.currency.code().to_owned(),
        lines: order.lines.all.iter().map(line).collect(),
        net: Some(money(total.net)),
        vat: Some(money(total.vat)),
        gross: Some(money(total.gross)),
        state: order_state(order.state).into(),
        confirm_time: order.confirm_time.map(timestamp),
        create_time: Some(timestamp(order.create_time)),
        update_time: Some(timestamp(order.update_time)),
        etag: order.version.to_string(),
    }
}

fn line(line: &Line) -> pb::Line {
    let (offer, sums) = (&line.offer, line.sums);
    pb::Line {
        id: line.id.to_string(),
        display_name: offer.display_name.clone(),
        quantity: Some(decimal(&offer.quantity)),
        unit_code: offer.unit_code.clone(),
        unit_price: Some(decimal(&offer.unit_price)),
        vat_rate: vat_rate(offer.vat_rate).into(),
        vat_included: offer.vat_included,
        net: Some(money(sums.net)),
        vat: Some(money(sums.vat)),
        gross: Some(money(sums.gross)),
    }
}

pub(super) fn confirmed_line(line: &Line) -> pb::ConfirmedLine {
    let (offer, sums) = (&line.offer, line.sums);
    pb::ConfirmedLine {
        id: line.id.to_string(),
        quantity: Some(decimal(&offer.quantity)),
        unit_code: offer.unit_code.clone(),
        unit_price: Some(decimal(&offer.unit_price)),
        vat_rate: vat_rate(offer.vat_rate).into(),
        vat_included: offer.vat_included,
        net: Some(money(sums.net)),
        vat: Some(money(sums.vat)),
        gross: Some(money(sums.gross)),
    }
}

pub(super) fn limit(limit: &Limit) -> pb::ApprovalLimit {
    pb::ApprovalLimit {
        approver: approver(limit.approver).into(),
        max_gross: Some(money(limit.max_gross)),
        set_time: Some(timestamp(limit.set_time)),
    }
}

/// A fact about a contract, on its deal's timeline.
pub(super) fn about_contract(contract: &Contract, fact: impl Into<pb::ContractEvent>) -> Fact<pb::ContractEvent> {
    Fact::about(contract.id, fact).of_deal(contract.content.deal).touches(contract.content.client)
}

/// A fact about an order, on its deal's timeline.
pub(super) fn about_order(order: &Order, fact: impl Into<pb::ContractEvent>) -> Fact<pb::ContractEvent> {
    Fact::about(order.id, fact).of_deal(order.deal).touches(order.client).touches(order.contract)
}

/// How events name a version of the limits.
pub(super) fn limits_version(version: i64) -> String {
    format!("approvalLimits/{version}")
}

pub(super) fn approver(approver: Approver) -> pb::Approver {
    match approver {
        Approver::HeadOfDepartment => pb::Approver::HeadOfDepartment,
        Approver::CommercialDirector => pb::Approver::CommercialDirector,
    }
}

pub(crate) fn contract_state(state: contract::State) -> pb::contract::State {
    match state {
        contract::State::Draft => pb::contract::State::Draft,
        contract::State::Review => pb::contract::State::Review,
        contract::State::Approved => pb::contract::State::Approved,
        contract::State::Signed => pb::contract::State::Signed,
    }
}

pub(crate) fn order_state(state: order::State) -> pb::order::State {
    match state {
        order::State::New => pb::order::State::New,
        order::State::Confirmed => pb::order::State::Confirmed,
        order::State::Cancelled => pb::order::State::Cancelled,
    }
}

fn vat_rate(rate: VatRate) -> pb::VatRate {
    match rate {
        VatRate::None => pb::VatRate::None,
        VatRate::Zero => pb::VatRate::VatRate0,
        VatRate::Five => pb::VatRate::VatRate5,
        VatRate::Seven => pb::VatRate::VatRate7,
        VatRate::Ten => pb::VatRate::VatRate10,
        VatRate::Twenty => pb::VatRate::VatRate20,
        VatRate::TwentyTwo => pb::VatRate::VatRate22,
    }
}
