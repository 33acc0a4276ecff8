//! Reads the facts of billing.

use otdel_api::billing::{self as pb, billing_event::Fact};
use otdel_runtime::violations::Violations;
use otdel_types::{BadMoney, Money, Zone};

use super::money;
use crate::domain::change::{Allocation, BillingChange, IssuedInvoice};

/// What an event changes in the read model; none for a fact that no report counts. An event that cannot be read is
/// refused and not skipped, because figures would be wrong from then on.
pub(super) fn change(event: &pb::BillingEvent, zone: Zone) -> Result<Option<BillingChange>, Violations> {
    let mut wrong = Violations::default();
    let change = match event.fact.as_ref() {
        Some(Fact::InvoiceIssued(fact)) => issued(&mut wrong, fact),
        Some(Fact::PaymentAllocated(fact)) => allocated(&mut wrong, fact, event, zone),
        None | Some(Fact::InvoicePaid(_) | Fact::PaymentRecorded(_)) => return Ok(None),
    };
    wrong.into_result().map(|()| change)
}

fn issued(wrong: &mut Violations, fact: &pb::InvoiceIssued) -> Option<BillingChange> {
    let invoice = wrong.name("invoice", &fact.invoice);
    let deal = wrong.name("deal", &fact.deal);
    let client = wrong.name("client", &fact.client);
    let date = wrong.date("issue_date", fact.issue_date.as_ref());
    let net = money(wrong, "net", fact.net.as_ref());
    let vat = money(wrong, "vat", fact.vat.as_ref());
    let gross = money(wrong, "gross", fact.gross.as_ref());
    // A row has one currency.
    let (net, vat, gross) = (net?, vat?, gross?);
    for (field, sum) in [("net", net), ("vat", vat)] {
        wrong.take(field, one_currency(gross, sum));
    }
    Some(BillingChange::Issued(IssuedInvoice {
        invoice: invoice?,
        deal: deal?,
        client: client?,
        date: date?,
        net,
        vat,
        gross,
    }))
}

fn one_currency(expected: Money, sum: Money) -> Result<(), BadMoney> {
    let (expected, found) = (expected.currency, sum.currency);
    if expected == found { Ok(()) } else { Err(BadMoney::Currencies { expected, found }) }
}

fn allocated(
    wrong: &mut Violations,
    fact: &pb::PaymentAllocated,
    event: &pb::BillingEvent,
    zone: Zone,
) -> Option<BillingChange> {
    let client = wrong.name("client", &fact.client);
    let occurred = event.envelope.as_ref().and_then(|envelope| envelope.occur_time.as_ref());
    let allocated = wrong.instant("envelope.occur_time", occurred);
    let mut parts = Vec::with_capacity(fact.parts.len());
    for (index, part) in fact.parts.iter().enumerate() {
        let deal = wrong.name(&format!("parts[{index}].deal"), &part.deal);
        let amount = money(wrong, &format!("parts[{index}].amount"), part.amount.as_ref());
        parts.extend(deal.zip(amount));
    }
    let date = zone.date_of(allocated?);
    Some(BillingChange::Allocated(Allocation { client: client?, date, parts }))
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use otdel_api::{common, event::Envelope};
    use otdel_runtime::convert::timestamp;
    use otdel_types::{ClientId, Currency, DealId, InvoiceId};

    use super::*;

    fn rub(units: i64) -> common::Money {
        common::Money { currency_code: "RUB".into(), units, nanos: 0 }
    }

    fn read(fact: impl Into<pb::BillingEvent>) -> Result<Option<BillingChange>, Violations> {
        let late: DateTime<Utc> = "2025-12-31T23:30:00Z".parse().unwrap();
        let occur_time = Some(timestamp(late));
        let envelope = Some(Envelope { occur_time, ..Envelope::default() });
        change(&pb::BillingEvent { envelope, ..fact.into() }, "Europe/Moscow".parse().unwrap())
    }

    fn fields(fact: impl Into<pb::BillingEvent>) -> Vec<String> {
        let wrong = read(fact).expect_err("cannot be read");
        wrong.0.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn an_invoice_is_of_its_own_date() {
        let (invoice, deal, client) = (InvoiceId::new(), DealId::new(), ClientId::new());
        let fact = pb::InvoiceIssued {
            invoice: invoice.to_string(),
            deal: deal.to_string(),
            client: client.to_string(),
            net: Some(rub(100)),
            vat: Some(rub(22)),
            gross: Some(rub(122)),
            issue_date: Some(common::Date { year: 2025, month: 12, day: 31 }),
            ..Default::default()
        };
        let money = |minor| Money { minor, currency: Currency::RUB };
        let date = "2025-12-31".parse().unwrap();
        let issued =
            IssuedInvoice { invoice, deal, client, date, net: money(10_000), vat: money(2_200), gross: money(12_200) };
        assert_eq!(read(fact.clone()), Ok(Some(BillingChange::Issued(issued))));
        let dollars = Some(common::Money { currency_code: "USD".into(), units: 22, nanos: 0 });
        assert_eq!(fields(pb::InvoiceIssued { vat: dollars, ..fact }), ["vat"]);
        let all = ["invoice", "deal", "client", "issue_date", "net", "vat", "gross"];
        assert_eq!(fields(pb::InvoiceIssued::default()), all);
    }

    #[test]
    fn an_allocation_is_of_the_business_zones_date() {
        let (client, one, two) = (ClientId::new(), DealId::new(), DealId::new());
        let part = |deal: DealId, units| pb::AllocatedPart {
            deal: deal.to_string(),
            amount: Some(rub(units)),
            ..Default::default()
        };
        let fact = pb::PaymentAllocated {
            client: client.to_string(),
            parts: vec![part(one, 1), part(two, 2)],
            ..Default::default()
        };
        let money = |minor| Money { minor, currency: Currency::RUB };
        let date = "2026-01-01".parse().unwrap();
        let parts = vec![(one, money(100)), (two, money(200))];
        assert_eq!(read(fact.clone()), Ok(Some(BillingChange::Allocated(Allocation { client, date, parts }))));
        let bad = vec![part(one, 1), pb::AllocatedPart::default()];
        assert_eq!(fields(pb::PaymentAllocated { parts: bad, ..fact }), ["parts[1].deal", "parts[1].amount"]);
    }

    #[test]
    fn a_sum_larger_than_any_request_may_have_is_read() {
        let units = 90_000_000_000_000_000;
        let part =
            pb::AllocatedPart { deal: DealId::new().to_string(), amount: Some(rub(units)), ..Default::default() };
        let client = ClientId::new().to_string();
        let fact = pb::PaymentAllocated { client, parts: vec![part], ..Default::default() };
        let Ok(Some(BillingChange::Allocated(allocation))) = read(fact) else { panic!("cannot be read") };
        assert_eq!(allocation.parts[0].1.minor, units * 100);
    }

    #[test]
    fn other_facts_change_nothing() {
        assert_eq!(read(pb::PaymentRecorded::default()), Ok(None));
        assert_eq!(read(pb::InvoicePaid::default()), Ok(None));
    }
}
