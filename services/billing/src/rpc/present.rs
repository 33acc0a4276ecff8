//! From domain values to messages. None of it can fail.

use otdel_api::billing as pb;
use otdel_runtime::convert::{date, decimal, money, timestamp};

use crate::{
    domain::{
        invoice::{Invoice, Line, State},
        ledger::Account,
        payment::{Part, Payment},
    },
    store::receivables::Receivable,
};

pub(super) fn invoice(invoice: &Invoice, lines: &[Line]) -> pb::Invoice {
    pb::Invoice {
        name: invoice.id.to_string(),
        number: invoice.number.to_string(),
        order: invoice.order.to_string(),
        contract: invoice.contract.to_string(),
        deal: invoice.deal.to_string(),
        client: invoice.client.to_string(),
        lines: lines.iter().map(|one| line(invoice, one)).collect(),
        net: Some(money(invoice.sums.net)),
        vat: Some(money(invoice.sums.vat)),
        gross: Some(money(invoice.sums.gross)),
        paid: Some(money(invoice.paid)),
        state: state(invoice.state()).into(),
        issue_date: Some(date(invoice.issue_date)),
        issue_time: Some(timestamp(invoice.issue_time)),
        pay_time: invoice.pay_time.map(timestamp),
        etag: invoice.version.to_string(),
    }
}

fn line(invoice: &Invoice, line: &Line) -> pb::InvoiceLine {
    pb::InvoiceLine {
        order_line: format!("{}/lines/{}", invoice.order, line.order_line),
        quantity: Some(decimal(&line.quantity)),
        unit_code: line.unit_code.clone(),
        unit_price: Some(decimal(&line.unit_price)),
        vat_rate: line.vat_rate.text().to_owned(),
        net: Some(money(line.sums.net)),
        vat: Some(money(line.sums.vat)),
        gross: Some(money(line.sums.gross)),
    }
}

fn state(state: State) -> pb::invoice::State {
    match state {
        State::Issued => pb::invoice::State::Issued,
        State::PartlyPaid => pb::invoice::State::PartlyPaid,
        State::Paid => pb::invoice::State::Paid,
    }
}

pub(super) fn payment(payment: &Payment) -> pb::Payment {
    let receipt = &payment.receipt;
    pb::Payment {
        name: payment.id.to_string(),
        client: receipt.client.to_string(),
        amount: Some(money(receipt.amount)),
        allocated: Some(money(payment.allocated)),
        bank_ref: receipt.bank_ref.clone(),
        value_date: Some(date(receipt.value_date)),
        allocations: payment.parts.iter().map(allocation).collect(),
        create_time: Some(timestamp(payment.create_time)),
        update_time: Some(timestamp(payment.update_time)),
        etag: payment.version.to_string(),
    }
}

fn allocation(part: &Part) -> pb::Allocation {
    pb::Allocation { invoice: part.invoice.to_string(), amount: Some(money(part.amount)) }
}

pub(super) fn receivable(receivable: &Receivable) -> pb::Receivable {
    pb::Receivable {
        invoiced: Some(money(receivable.invoiced)),
        paid: Some(money(receivable.paid)),
        outstanding: Some(money(receivable.outstanding)),
        advance: Some(money(receivable.advance)),
    }
}

pub(super) fn account(account: Account) -> pb::Account {
    match account {
        Account::Receivable => pb::Account::Receivable,
        Account::Advance => pb::Account::Advance,
        Account::Bank => pb::Account::Bank,
        Account::Revenue => pb::Account::Revenue,
        Account::VatPayable => pb::Account::VatPayable,
    }
}
