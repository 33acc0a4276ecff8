//! Random stories of invoices and payments: whatever is asked in whatever order, the books agree with the documents.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use otdel_types::{ClientId, Currency, LineSums, Money, VatRate, line_sums};
use proptest::{prelude::*, sample::Index};
use rust_decimal::Decimal;

use super::{
    invoice::{self, Invoice, State},
    ledger::{self, Account, Transaction},
    payment::{self, Part, Payment, Refusal},
};

/// What somebody asks for.
#[derive(Clone, Debug)]
enum Step {
    Issue { client: Index, currency: Index, price: i64, rate: VatRate, included: bool },
    Record { client: Index, currency: Index, amount: i64 },
    Allocate { payment: Index, stale: bool, parts: Vec<(Index, i64)> },
}

fn step() -> impl Strategy<Value = Step> {
    let (client, currency) = (any::<Index>(), any::<Index>());
    let rate = prop::sample::select(VatRate::ALL.to_vec());
    let part = (any::<Index>(), 1..300_i64);
    prop_oneof![
        3 => (client, currency, 0..300_i64, rate, any::<bool>()).prop_map(
            |(client, currency, price, rate, included)| Step::Issue { client, currency, price, rate, included }
        ),
        3 => (any::<Index>(), any::<Index>(), 1..500_i64)
            .prop_map(|(client, currency, amount)| Step::Record { client, currency, amount }),
        6 => (any::<Index>(), prop::bool::weighted(0.1), prop::collection::vec(part, 1..4))
            .prop_map(|(payment, stale, parts)| Step::Allocate { payment, stale, parts }),
    ]
}

/// Everything that there is.
struct Books {
    clients: [ClientId; 2],
    currencies: [Currency; 2],
    invoices: Vec<Invoice>,
    payments: Vec<Payment>,
    ledger: Vec<Transaction>,
    now: i64,
}

impl Books {
    fn empty() -> Self {
        Self {
            clients: [ClientId::new(), ClientId::new()],
            currencies: [Currency::RUB, Currency::from_code("JPY").unwrap()],
            invoices: Vec::new(),
            payments: Vec::new(),
            ledger: Vec::new(),
            now: 0,
        }
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + self.now, 0).unwrap()
    }

    fn follow(&mut self, step: Step) {
        self.now += 1;
        match step {
            Step::Issue { client, currency, price, rate, included } => {
                let currency = *currency.get(&self.currencies);
                let sums = line_sums(Decimal::ONE, Decimal::new(price, currency.exponent()), rate, included, currency)
                    .unwrap();
                self.issue(*client.get(&self.clients), sums);
            }
            Step::Record { client, currency, amount } => {
                let amount = Money { minor: amount, currency: *currency.get(&self.currencies) };
                let value_date = NaiveDate::from_ymd_opt(2027, 1, 15).unwrap();
                let bank_ref = self.now.to_string();
                let receipt = payment::Receipt { client: *client.get(&self.clients), amount, bank_ref, value_date };
                let payment = Payment::record(receipt, self.now());
                self.ledger.push(ledger::pay(&payment).unwrap());
                self.payments.push(payment);
            }
            Step::Allocate { payment, stale, parts } if !self.payments.is_empty() && !self.invoices.is_empty() => {
                self.allocate(payment.index(self.payments.len()), stale, &parts);
            }
            Step::Allocate { .. } => {}
        }
    }

    fn issue(&mut self, client: ClientId, sums: LineSums) {
        let invoice = invoice::tests::invoice(client, sums);
        self.ledger.push(ledger::issue(&invoice).unwrap());
        self.invoices.push(invoice);
    }

    fn allocate(&mut self, of: usize, stale: bool, parts: &[(Index, i64)]) {
        let payment = self.payments[of].clone();
        let currency = payment.receipt.amount.currency;
        let mut asked: Vec<Part> = Vec::new();
        for (invoice, minor) in parts {
            let invoice = invoice.get(&self.invoices).id;
            if asked.iter().all(|part| part.invoice != invoice) {
                asked.push(Part { invoice, amount: Money { minor: *minor, currency } });
            }
        }
        let locked =
            self.invoices.iter().filter(|one| asked.iter().any(|part| part.invoice == one.id)).cloned().collect();
        let seen = Some(payment.version + i64::from(stale));
        let (now, left) = (self.now(), payment.left());
        let done = payment.clone().revise(seen, now).and_then(|payment| payment.allocate(locked, &asked, now));
        match done {
            Ok(done) => {
                assert!(!stale);
                let booked = done.allocations.iter().map(|one| ledger::allocate(&done.payment, one).unwrap());
                self.ledger.extend(booked);
                for paid in done.invoices {
                    let place = self.invoices.iter().position(|one| one.id == paid.id).unwrap();
                    self.invoices[place] = paid;
                }
                self.payments[of] = done.payment;
            }
            Err(refusal) => self.check_refusal(&payment, stale, &asked, left, &refusal),
        }
    }

    /// A refusal says what is true.
    fn check_refusal(&self, payment: &Payment, stale: bool, asked: &[Part], left: Money, refusal: &Refusal) {
        let find = |id| self.invoices.iter().find(|one| one.id == id).unwrap();
        let part = |id| asked.iter().find(|part| part.invoice == id).unwrap();
        match refusal {
            Refusal::Stale { current } => assert!(stale && *current == payment.version),
            Refusal::NoSuchInvoice(id) => panic!("{id} exists"),
            Refusal::NotPayable(id) => {
                let invoice = find(*id);
                assert!(
                    invoice.client != payment.receipt.client || invoice.currency() != payment.receipt.amount.currency
                );
            }
            Refusal::InvoiceExceeded { invoice, lacks } => {
                assert!(*lacks == find(*invoice).lacks() && part(*invoice).amount.minor > lacks.minor);
            }
            Refusal::PaymentExceeded { left: told } => {
                assert!(*told == left && asked.iter().map(|part| part.amount.minor).sum::<i64>() > left.minor);
            }
        }
    }

    fn balance(&self, account: Account, client: ClientId, currency: Currency) -> i64 {
        let of_client = self.ledger.iter().filter(|transaction| transaction.client == client);
        let legs = of_client.flat_map(|transaction| &transaction.legs);
        legs.filter(|leg| leg.account == account && leg.amount.currency == currency).map(|leg| leg.amount.minor).sum()
    }

    fn check(&self) {
        let mut trial: BTreeMap<Currency, i64> = BTreeMap::new();
        for leg in self.ledger.iter().flat_map(|transaction| &transaction.legs) {
            *trial.entry(leg.amount.currency).or_default() += leg.amount.minor;
        }
        assert!(trial.values().all(|sum| *sum == 0), "{trial:?}");
        for (client, currency) in
            self.clients.iter().flat_map(|client| self.currencies.map(|currency| (*client, currency)))
        {
            let invoices = || self.invoices.iter().filter(|one| one.client == client && one.currency() == currency);
            let payments = || {
                let of_client = self.payments.iter().filter(|one| one.receipt.client == client);
                of_client.filter(|one| one.receipt.amount.currency == currency)
            };
            let issued: i64 = invoices().map(|invoice| invoice.sums.gross.minor).sum();
            let received: i64 = payments().map(|payment| payment.receipt.amount.minor).sum();
            let allocated: i64 = payments().map(|payment| payment.allocated.minor).sum();
            assert_eq!(invoices().map(|invoice| invoice.paid.minor).sum::<i64>(), allocated);
            assert_eq!(self.balance(Account::Receivable, client, currency), issued - allocated);
            assert_eq!(-self.balance(Account::Advance, client, currency), received - allocated);
            assert_eq!(self.balance(Account::Bank, client, currency), received);
            let earned =
                -self.balance(Account::Revenue, client, currency) - self.balance(Account::VatPayable, client, currency);
            assert_eq!(earned, issued);
        }
        for payment in &self.payments {
            assert_eq!(payment.parts.iter().map(|part| part.amount.minor).sum::<i64>(), payment.allocated.minor);
            assert!((0..=payment.receipt.amount.minor).contains(&payment.allocated.minor));
        }
        for invoice in &self.invoices {
            assert!((0..=invoice.sums.gross.minor).contains(&invoice.paid.minor));
            assert_eq!(invoice.pay_time.is_some(), invoice.state() == State::Paid);
        }
    }
}

proptest! {
    #[test]
    fn the_books_agree_with_the_documents(steps in prop::collection::vec(step(), 1..50)) {
        let mut books = Books::empty();
        for step in steps {
            books.follow(step);
            books.check();
        }
    }
}
