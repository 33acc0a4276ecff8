//! Paying invoices with a payment: what recording with allocations and allocating later have in common.

use chrono::{DateTime, Utc};
use otdel_api::billing as pb;
use otdel_runtime::{
    call::Act,
    outbox::{self, Change},
    scope::Scope,
    violations::Violations,
};
use otdel_types::{BadMoney, Currency, DealId, InvoiceId, Money};
use sqlx::PgConnection;

use crate::{
    domain::{
        invoice::Invoice,
        ledger,
        payment::{Allocated, Part, Payment},
    },
    error::Error,
    facts, store,
};

/// The most invoices that one call pays.
const MOST_PARTS: usize = 100;

/// Reads `allocations`: each above 0, each invoice once. `currency` where it is known already.
pub(super) fn parts(wrong: &mut Violations, allocations: &[pb::Allocation], currency: Option<Currency>) -> Vec<Part> {
    if allocations.len() > MOST_PARTS {
        wrong.add("allocations", format_args!("must not have more than {MOST_PARTS} entries"));
        return Vec::new();
    }
    let mut parts: Vec<Part> = Vec::with_capacity(allocations.len());
    for (place, allocation) in allocations.iter().enumerate() {
        let (name, sum) = (format!("allocations[{place}].invoice"), format!("allocations[{place}].amount"));
        let invoice: Option<InvoiceId> = wrong.name(&name, &allocation.invoice);
        let amount = wrong.money(&sum, allocation.amount.as_ref());
        if let Some(amount) = amount {
            check_amount(wrong, &sum, amount, currency);
        }
        if invoice.is_some_and(|invoice| parts.iter().any(|before| before.invoice == invoice)) {
            wrong.add(name, "must not name an invoice again");
        }
        if let (Some(invoice), Some(amount)) = (invoice, amount) {
            parts.push(Part { invoice, amount });
        }
    }
    parts
}

fn check_amount(wrong: &mut Violations, field: &str, amount: Money, currency: Option<Currency>) {
    if amount.minor <= 0 {
        wrong.add(field, "must be above 0");
    }
    if let Some(expected) = currency.filter(|expected| *expected != amount.currency) {
        wrong.add(field, BadMoney::Currencies { expected, found: amount.currency });
    }
}

/// Refuses parts that are not in the payment's currency, all of them at once.
pub(super) fn check_currency(parts: &[Part], currency: Currency) -> Result<(), Violations> {
    let mut wrong = Violations::default();
    for (place, part) in parts.iter().enumerate() {
        check_amount(&mut wrong, &format!("allocations[{place}].amount"), part.amount, Some(currency));
    }
    wrong.into_result()
}

/// Pays parts of invoices that `scope` reaches, all or none, and books nothing yet.
pub(super) async fn settle(
    db: &mut PgConnection,
    scope: &Scope,
    payment: Payment,
    parts: &[Part],
    now: DateTime<Utc>,
) -> Result<Allocated, Error> {
    if parts.is_empty() {
        return Ok(payment.allocate(Vec::new(), parts, now)?);
    }
    let ids: Vec<_> = parts.iter().map(|part| part.invoice).collect();
    let invoices = store::invoices::lock(db, scope, &ids).await?;

    let done = payment.allocate(invoices, parts, now)?;

    store::payments::save(db, &done).await?;
    store::invoices::save(db, &done.invoices).await?;
    Ok(done)
}

/// What the ledger says of it.
pub(super) fn bookings(done: &Allocated) -> Result<Vec<ledger::Transaction>, Error> {
    let booked = done.allocations.iter().map(|one| ledger::allocate(&done.payment, one));
    Ok(booked.collect::<Result<_, _>>()?)
}

/// Tells of the parts, one event a deal so that each deal's timeline is complete, and then of each invoice that became
/// paid in full. The answer is the last event; none where there are no parts.
pub(super) async fn tell(db: &mut PgConnection, act: &Act, done: &Allocated) -> Result<Option<Change>, Error> {
    let mut last = None;
    for deal in deals(&done.invoices) {
        last = Some(outbox::append(db, act, facts::allocated(done, deal)).await?);
    }
    for invoice in done.paid_in_full() {
        last = Some(outbox::append(db, act, facts::paid(invoice, Some(done.payment.id))).await?);
    }
    Ok(last)
}

fn deals(invoices: &[Invoice]) -> Vec<DealId> {
    let mut deals = Vec::new();
    for invoice in invoices {
        if !deals.contains(&invoice.deal) {
            deals.push(invoice.deal);
        }
    }
    deals
}

#[cfg(test)]
mod tests {
    use otdel_api::common;

    use super::*;

    fn allocation(invoice: impl std::fmt::Display, currency_code: &str, units: i64) -> pb::Allocation {
        let amount = Some(common::Money { currency_code: currency_code.into(), units, nanos: 0 });
        pb::Allocation { invoice: invoice.to_string(), amount }
    }

    fn fields(wrong: &Violations) -> Vec<&str> {
        wrong.0.iter().map(|violation| violation.field.as_str()).collect()
    }

    #[test]
    fn parts_are_read_in_their_order() {
        let (one, two) = (InvoiceId::new(), InvoiceId::new());
        let mut wrong = Violations::default();
        let asked = [allocation(two, "RUB", 1), allocation(one, "RUB", 2)];
        let read = parts(&mut wrong, &asked, Some(Currency::RUB));
        let rub = |minor| Money { minor, currency: Currency::RUB };
        assert_eq!(read, [Part { invoice: two, amount: rub(100) }, Part { invoice: one, amount: rub(200) }]);
        assert_eq!(wrong, Violations::default());
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let one = InvoiceId::new();
        let mut wrong = Violations::default();
        let mut asked = vec![allocation(one, "RUB", 0), allocation(one, "USD", 1), allocation("invoices/1", "RUB", 1)];
        asked.push(pb::Allocation { invoice: InvoiceId::new().to_string(), amount: None });
        parts(&mut wrong, &asked, Some(Currency::RUB));
        let (sum, name) =
            (|place| format!("allocations[{place}].amount"), |place| format!("allocations[{place}].invoice"));
        assert_eq!(fields(&wrong), [sum(0), sum(1), name(1), name(2), sum(3)]);
    }

    #[test]
    fn no_more_parts_are_read_than_a_call_may_have() {
        let asked: Vec<_> = (0..=MOST_PARTS).map(|_| allocation(InvoiceId::new(), "RUB", 1)).collect();
        let mut wrong = Violations::default();
        assert_eq!(parts(&mut wrong, &asked[1..], None).len(), MOST_PARTS);
        assert_eq!(fields(&wrong), Vec::<&str>::new());
        assert_eq!(parts(&mut wrong, &asked, None), []);
        assert_eq!(fields(&wrong), ["allocations"]);
    }

    #[test]
    fn every_part_of_another_currency_is_told() {
        let mut wrong = Violations::default();
        let asked = ["USD", "RUB", "JPY"].map(|code| allocation(InvoiceId::new(), code, 1));
        let read = parts(&mut wrong, &asked, None);
        let wrong = check_currency(&read, Currency::RUB).unwrap_err();
        assert_eq!(fields(&wrong), ["allocations[0].amount", "allocations[2].amount"]);
    }
}
