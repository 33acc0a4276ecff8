//! Payments and what they pay (B3).

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use otdel_types::{ClientId, InvoiceId, Money, PaymentId};
use uuid::Uuid;

use super::invoice::{Invoice, State};

/// What a bank tells of a payment. Never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who paid.
    pub client: ClientId,
    /// How much.
    pub amount: Money,
    /// The bank's reference, unique.
    pub bank_ref: String,
    /// The bank's value date.
    pub value_date: NaiveDate,
}

/// A part of a payment that pays a part of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The invoice.
    pub invoice: InvoiceId,
    /// How much.
    pub amount: Money,
}

/// Money that a client paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its id.
    pub id: PaymentId,
    /// What the bank told.
    pub receipt: Receipt,
    /// How much of it pays invoices.
    pub allocated: Money,
    /// What it pays, one part an invoice, in the order in which they were first paid.
    pub parts: Vec<Part>,
    /// Grows with every change.
    pub version: i64,
    /// When it was recorded.
    pub create_time: DateTime<Utc>,
    /// When it changed last.
    pub update_time: DateTime<Utc>,
}

/// A part as it is kept and booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Its id.
    pub id: Uuid,
    /// What pays what.
    pub part: Part,
}

/// What an allocation comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// The payment after it.
    pub payment: Payment,
    /// The new parts, as they were asked for.
    pub allocations: Vec<Allocation>,
    /// The invoices after it, in the order of the new parts.
    pub invoices: Vec<Invoice>,
}

impl Allocated {
    /// The invoices that became paid in full.
    pub fn paid_in_full(&self) -> impl Iterator<Item = &Invoice> {
        self.invoices.iter().filter(|invoice| invoice.state() == State::Paid)
    }
}

/// Why a payment does not do what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller decided on an older version.
    #[error("the payment changed since it was read")]
    Stale {
        /// The current version.
        current: i64,
    },
    /// An invoice does not exist, or the caller does not reach it.
    #[error("there is no such invoice")]
    NoSuchInvoice(InvoiceId),
    /// An invoice is another client's or in another currency.
    #[error("the invoice is another client's or in another currency")]
    NotPayable(InvoiceId),
    /// An invoice lacks less than is to be allocated.
    #[error("the invoice lacks less than is to be allocated")]
    InvoiceExceeded {
        /// The invoice.
        invoice: InvoiceId,
        /// What it lacks.
        lacks: Money,
    },
    /// The payment has less left than is to be allocated.
    #[error("the payment has less left than is to be allocated")]
    PaymentExceeded {
        /// What it has left.
        left: Money,
    },
}

impl Payment {
    /// Money that has come in and pays nothing yet.
    pub fn record(receipt: Receipt, now: DateTime<Utc>) -> Self {
        let allocated = Money::zero(receipt.amount.currency);
        Self {
            id: PaymentId::new(),
            receipt,
            allocated,
            parts: Vec::new(),
            version: 1,
            create_time: now,
            update_time: now,
        }
    }

    /// Whether a receipt that pays `parts` at once is this payment told again. `recorded` are the parts that this one
    /// was recorded with, in whatever order; what it has come to pay since makes no difference.
    pub fn is_repeated(&self, recorded: &[Part], receipt: &Receipt, parts: &[Part]) -> bool {
        let by_invoice =
            |parts: &[Part]| parts.iter().map(|part| (part.invoice, part.amount)).collect::<BTreeMap<_, _>>();
        self.receipt == *receipt && by_invoice(recorded) == by_invoice(parts)
    }

    /// Begins its next version, refusing a decision that was made on an older one.
    pub fn revise(self, seen: Option<i64>, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if seen.is_some_and(|version| version != self.version) {
            return Err(Refusal::Stale { current: self.version });
        }
        Ok(Self { version: self.version + 1, update_time: now, ..self })
    }

    /// How much of it pays nothing yet.
    pub fn left(&self) -> Money {
        // What is allocated is of the same currency and never more than there is.
        Money { minor: self.receipt.amount.minor - self.allocated.minor, ..self.receipt.amount }
    }

    /// Pays parts of invoices, all or none. `invoices` are those that exist and that the caller reaches; the parts are
    /// above 0 and name each invoice once.
    pub fn allocate(self, invoices: Vec<Invoice>, parts: &[Part], now: DateTime<Utc>) -> Result<Allocated, Refusal> {
        let mut found: BTreeMap<InvoiceId, Invoice> =
            invoices.into_iter().map(|invoice| (invoice.id, invoice)).collect();
        let left = self.left();
        let (mut allocated, mut paid) = (self.allocated, Vec::with_capacity(parts.len()));
        for part in parts {
            let invoice = found.remove(&part.invoice).ok_or(Refusal::NoSuchInvoice(part.invoice))?;
            paid.push(self.pay(&invoice, part.amount, now)?);
            let sum = allocated.checked_add(part.amount).ok().filter(|sum| sum.minor <= self.receipt.amount.minor);
            allocated = sum.ok_or(Refusal::PaymentExceeded { left })?;
        }
        Ok(Allocated {
            allocations: parts.iter().map(|part| Allocation { id: Uuid::now_v7(), part: *part }).collect(),
            payment: Self { allocated, parts: merged(self.parts, parts), ..self },
            invoices: paid,
        })
    }

    fn pay(&self, invoice: &Invoice, amount: Money, now: DateTime<Utc>) -> Result<Invoice, Refusal> {
        let currency = self.receipt.amount.currency;
        if invoice.client != self.receipt.client || invoice.currency() != currency || amount.currency != currency {
            return Err(Refusal::NotPayable(invoice.id));
        }
        let exceeded = || Refusal::InvoiceExceeded { invoice: invoice.id, lacks: invoice.lacks() };
        invoice.take(amount, now).ok_or_else(exceeded)
    }
}

/// The parts together, one an invoice.
fn merged(mut parts: Vec<Part>, new: &[Part]) -> Vec<Part> {
    for part in new {
        match parts.iter_mut().find(|before| before.invoice == part.invoice) {
            // No more than the invoice, which was checked.
            Some(before) => before.amount.minor += part.amount.minor,
            None => parts.push(*part),
        }
    }
    parts
}

#[cfg(test)]
pub(super) mod tests {
    use otdel_types::{Currency, LineSums};
    use proptest::prelude::*;

    use super::*;
    use crate::domain::invoice;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn rub(minor: i64) -> Money {
        Money { minor, currency: Currency::RUB }
    }

    fn usd(minor: i64) -> Money {
        Money { minor, currency: Currency::from_code("USD").unwrap() }
    }

    pub(in crate::domain) fn payment(client: ClientId, amount: Money) -> Payment {
        let value_date = NaiveDate::from_ymd_opt(2027, 1, 15).unwrap();
        Payment::record(Receipt { client, amount, bank_ref: "1".into(), value_date }, at(0))
    }

    fn invoice(client: ClientId, gross: Money) -> Invoice {
        let vat = Money { minor: 0, ..gross };
        invoice::tests::invoice(client, LineSums { net: gross, vat, gross })
    }

    fn part(invoice: &Invoice, amount: Money) -> Part {
        Part { invoice: invoice.id, amount }
    }

    #[test]
    fn parts_pay_invoices_and_what_is_left_stays_an_advance() {
        let client = ClientId::new();
        let (one, two) = (invoice(client, rub(100)), invoice(client, rub(50)));
        let parts = [part(&two, rub(50)), part(&one, rub(30))];
        let done = payment(client, rub(100)).allocate(vec![one.clone(), two.clone()], &parts, at(1)).unwrap();
        assert_eq!((done.payment.allocated, done.payment.left(), done.payment.version), (rub(80), rub(20), 1));
        assert_eq!(done.payment.parts, parts);
        assert_eq!(
            done.invoices.iter().map(|invoice| (invoice.id, invoice.paid)).collect::<Vec<_>>(),
            [(two.id, rub(50)), (one.id, rub(30))]
        );
        assert_eq!(done.paid_in_full().map(|invoice| invoice.id).collect::<Vec<_>>(), [two.id]);
        assert_eq!(done.allocations.iter().map(|allocation| allocation.part).collect::<Vec<_>>(), parts);
    }

    #[test]
    fn parts_of_one_invoice_are_told_together() {
        let client = ClientId::new();
        let (one, two) = (invoice(client, rub(100)), invoice(client, rub(50)));
        let first = payment(client, rub(100)).allocate(vec![one.clone()], &[part(&one, rub(10))], at(1)).unwrap();
        let again = [part(&two, rub(5)), part(&one, rub(20))];
        let revised = first.payment.revise(Some(1), at(2)).unwrap();
        let done = revised.allocate(vec![first.invoices[0].clone(), two.clone()], &again, at(2)).unwrap();
        assert_eq!(done.payment.parts, [part(&one, rub(30)), part(&two, rub(5))]);
        assert_eq!((done.payment.allocated, done.payment.version, done.payment.update_time), (rub(35), 2, at(2)));
        assert_eq!(done.invoices[1].paid, rub(30));
    }

    #[test]
    fn a_payment_gives_no_more_than_it_has_left() {
        let client = ClientId::new();
        let (one, two) = (invoice(client, rub(100)), invoice(client, rub(100)));
        let half = payment(client, rub(100)).allocate(vec![one.clone()], &[part(&one, rub(60))], at(1)).unwrap();
        let refused = half.payment.allocate(vec![two.clone()], &[part(&two, rub(41))], at(1));
        assert_eq!(refused, Err(Refusal::PaymentExceeded { left: rub(40) }));
        let most = payment(client, rub(i64::MAX));
        let huge = [invoice(client, rub(i64::MAX)), invoice(client, rub(i64::MAX))];
        let parts = [part(&huge[0], rub(i64::MAX)), part(&huge[1], rub(i64::MAX))];
        assert_eq!(most.allocate(huge.to_vec(), &parts, at(1)), Err(Refusal::PaymentExceeded { left: rub(i64::MAX) }));
    }

    #[test]
    fn an_invoice_takes_no_more_than_it_lacks() {
        let client = ClientId::new();
        let one = invoice(client, rub(100)).take(rub(70), at(0)).unwrap();
        let refused = payment(client, rub(500)).allocate(vec![one.clone()], &[part(&one, rub(31))], at(1));
        assert_eq!(refused, Err(Refusal::InvoiceExceeded { invoice: one.id, lacks: rub(30) }));
    }

    #[test]
    fn another_clients_invoice_or_another_currency_is_not_paid() {
        let (client, yen) = (ClientId::new(), Money { minor: 10, currency: Currency::from_code("JPY").unwrap() });
        for (invoice, amount) in [
            (invoice(ClientId::new(), rub(10)), rub(1)),
            (invoice(client, usd(10)), usd(1)),
            (invoice(client, usd(10)), rub(1)),
            (invoice(client, yen), rub(1)),
            (invoice(client, rub(10)), usd(1)),
        ] {
            let refused = payment(client, rub(100)).allocate(vec![invoice.clone()], &[part(&invoice, amount)], at(1));
            assert_eq!(refused, Err(Refusal::NotPayable(invoice.id)));
        }
    }

    #[test]
    fn an_unknown_invoice_and_one_named_twice_are_refused() {
        let client = ClientId::new();
        let (one, absent) = (invoice(client, rub(10)), invoice(client, rub(10)));
        let twice = [part(&one, rub(1)), part(&one, rub(1))];
        assert_eq!(
            payment(client, rub(9)).allocate(vec![one.clone()], &twice, at(1)),
            Err(Refusal::NoSuchInvoice(one.id))
        );
        let refused = payment(client, rub(9)).allocate(vec![one], &[part(&absent, rub(1))], at(1));
        assert_eq!(refused, Err(Refusal::NoSuchInvoice(absent.id)));
    }

    #[test]
    fn a_payment_told_again_is_recognised_by_all_of_its_content() {
        let client = ClientId::new();
        let parts = [part(&invoice(client, rub(5)), rub(1)), part(&invoice(client, rub(5)), rub(2))];
        let turned = [parts[1], parts[0]];
        let first = payment(client, rub(9));
        let again = first.receipt.clone();
        assert!(first.is_repeated(&parts, &again, &turned) && first.is_repeated(&[], &again, &[]));
        assert!(!first.is_repeated(&parts, &again, &parts[..1]) && !first.is_repeated(&[], &again, &parts));
        let more = Part { amount: rub(3), ..parts[0] };
        assert!(!first.is_repeated(&parts, &again, &[more, parts[1]]));
        assert!(!first.is_repeated(&[], &Receipt { amount: rub(8), ..again.clone() }, &[]));
        assert!(!first.is_repeated(&[], &Receipt { client: ClientId::new(), ..again }, &[]));
    }

    #[test]
    fn a_stale_decision_is_refused() {
        let payment = payment(ClientId::new(), rub(1));
        assert_eq!(payment.clone().revise(Some(2), at(1)), Err(Refusal::Stale { current: 1 }));
        assert_eq!(payment.clone().revise(Some(1), at(1)).unwrap().version, 2);
        assert_eq!(payment.revise(None, at(1)).unwrap().version, 2);
    }

    proptest! {
        #[test]
        fn nothing_is_paid_that_was_not_received(
            amount in 1..1_000_i64,
            owed in prop::collection::vec((1..400_i64, 1..400_i64), 1..8),
        ) {
            let client = ClientId::new();
            let invoices: Vec<_> = owed.iter().map(|(gross, _)| invoice(client, rub(*gross))).collect();
            let asked_of = |(invoice, (_, minor)): (&Invoice, &(i64, i64))| part(invoice, rub(*minor));
            let parts: Vec<_> = invoices.iter().zip(&owed).map(asked_of).collect();
            let asked: i64 = owed.iter().map(|(_, part)| part).sum();
            let fits = asked <= amount && owed.iter().all(|(gross, part)| part <= gross);
            let done = payment(client, rub(amount)).allocate(invoices.clone(), &parts, at(1));
            prop_assert_eq!(done.is_ok(), fits);
            if let Ok(done) = done {
                prop_assert_eq!(done.payment.allocated, rub(asked));
                prop_assert_eq!(done.payment.left(), rub(amount - asked));
                prop_assert_eq!(done.invoices.iter().map(|invoice| invoice.paid.minor).sum::<i64>(), asked);
                let lacking_nothing = done.invoices.iter().filter(|invoice| invoice.lacks().minor == 0);
                prop_assert_eq!(lacking_nothing.count(), done.paid_in_full().count());
            }
        }

        #[test]
        fn the_order_of_the_invoices_does_not_matter(
            amounts in prop::collection::vec(1..50_i64, 2..6),
            turn in 0..6_usize,
        ) {
            let client = ClientId::new();
            let invoices: Vec<_> = amounts.iter().map(|amount| invoice(client, rub(amount * 2))).collect();
            let asked_of = |(invoice, minor): (&Invoice, &i64)| part(invoice, rub(*minor));
            let parts: Vec<_> = invoices.iter().zip(&amounts).map(asked_of).collect();
            let mut turned = invoices.clone();
            turned.rotate_left(turn % amounts.len());
            let paid = payment(client, rub(1_000));
            let one = paid.clone().allocate(invoices, &parts, at(1)).unwrap();
            let two = paid.allocate(turned, &parts, at(1)).unwrap();
            prop_assert_eq!((one.payment, one.invoices), (two.payment, two.invoices));
        }
    }
}
