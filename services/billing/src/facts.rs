//! What billing tells the others: its facts and what each of them touches.

use otdel_api::billing::{self as pb, BillingEvent};
use otdel_runtime::{
    convert::{date, money, timestamp},
    outbox::Fact,
};
use otdel_types::{DealId, PaymentId};

use crate::domain::{
    invoice::Invoice,
    payment::{Allocated, Payment},
};

/// An invoice was issued.
pub(crate) fn issued(invoice: &Invoice) -> Fact<BillingEvent> {
    let fact = pb::InvoiceIssued {
        invoice: invoice.id.to_string(),
        number: invoice.number.to_string(),
        order: invoice.order.to_string(),
        contract: invoice.contract.to_string(),
        deal: invoice.deal.to_string(),
        client: invoice.client.to_string(),
        net: Some(money(invoice.sums.net)),
        vat: Some(money(invoice.sums.vat)),
        gross: Some(money(invoice.sums.gross)),
        issue_date: Some(date(invoice.issue_date)),
    };
    of_invoice(invoice, fact)
}

/// An invoice became paid in full, with a payment unless there was nothing to pay.
pub(crate) fn paid(invoice: &Invoice, payment: Option<PaymentId>) -> Fact<BillingEvent> {
    let fact = pb::InvoicePaid {
        invoice: invoice.id.to_string(),
        order: invoice.order.to_string(),
        deal: invoice.deal.to_string(),
        client: invoice.client.to_string(),
        pay_time: invoice.pay_time.map(timestamp),
    };
    let fact = of_invoice(invoice, fact).changed(["paid", "state", "pay_time"]);
    payment.into_iter().fold(fact, Fact::touches)
}

fn of_invoice(invoice: &Invoice, fact: impl Into<BillingEvent>) -> Fact<BillingEvent> {
    let fact = Fact::about(invoice.id, fact).touches(invoice.order).touches(invoice.contract).touches(invoice.client);
    fact.of_deal(invoice.deal)
}

/// A payment was recorded.
pub(crate) fn recorded(payment: &Payment) -> Fact<BillingEvent> {
    let receipt = &payment.receipt;
    let fact = pb::PaymentRecorded {
        payment: payment.id.to_string(),
        client: receipt.client.to_string(),
        amount: Some(money(receipt.amount)),
        value_date: Some(date(receipt.value_date)),
    };
    Fact::about(payment.id, fact).touches(receipt.client)
}

/// Invoices of one deal were paid with a payment.
pub(crate) fn allocated(done: &Allocated, deal: DealId) -> Fact<BillingEvent> {
    let (payment, client) = (done.payment.id, done.payment.receipt.client);
    let of_deal = || done.invoices.iter().zip(&done.allocations).filter(|(invoice, _)| invoice.deal == deal);
    let parts = of_deal().map(|(invoice, allocation)| pb::AllocatedPart {
        invoice: invoice.id.to_string(),
        deal: deal.to_string(),
        amount: Some(money(allocation.part.amount)),
    });
    let fact =
        pb::PaymentAllocated { payment: payment.to_string(), client: client.to_string(), parts: parts.collect() };
    let fact = Fact::about(payment, fact).touches(client).of_deal(deal).changed(["allocated", "allocations"]);
    of_deal().fold(fact, |fact, (invoice, _)| fact.touches(invoice.id))
}
