//! Invoices: issued once for a confirmed order, then paid in parts (B1, B3).

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use otdel_types::{
    BadMoney, ClientId, ContractId, Currency, DealId, InvoiceId, LineSums, Money, OrderId, VatRate, line_sums, total,
};
use rust_decimal::Decimal;
use uuid::Uuid;

/// The series of the numbers of ordinary invoices.
pub const SERIES: &str = "INV";

/// A confirmed order: all that an invoice is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The order.
    pub id: OrderId,
    /// The contract.
    pub contract: ContractId,
    /// The deal.
    pub deal: DealId,
    /// Who owes.
    pub client: ClientId,
    /// What is ordered.
    pub lines: Vec<Line>,
    /// The sums of the lines together.
    pub sums: LineSums,
}

/// A line of an order and of its invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The id of the order's line.
    pub order_line: Uuid,
    /// How much.
    pub quantity: Decimal,
    /// The unit of the quantity.
    pub unit_code: String,
    /// The price of one unit.
    pub unit_price: Decimal,
    /// The rate of VAT.
    pub vat_rate: VatRate,
    /// Whether the price includes VAT.
    pub vat_included: bool,
    /// The line's sums.
    pub sums: LineSums,
}

/// An invoice's number, such as `INV-2026-000042`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Which numbers it is one of.
    pub series: String,
    /// The year of the issue date.
    pub year: i32,
    /// Its place: 1 for the first of the series and year, without gaps.
    pub place: i64,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:06}", self.series, self.year, self.place)
    }
}

/// Whether an invoice is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum State {
    /// Nothing is paid.
    Issued,
    /// A part is paid.
    PartlyPaid,
    /// All is paid.
    Paid,
}

/// What a client owes for an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Its number.
    pub number: Number,
    /// The order.
    pub order: OrderId,
    /// The contract.
    pub contract: ContractId,
    /// The deal.
    pub deal: DealId,
    /// Who owes.
    pub client: ClientId,
    /// The sums of the lines together.
    pub sums: LineSums,
    /// How much of it is paid.
    pub paid: Money,
    /// Its date in the business zone.
    pub issue_date: NaiveDate,
    /// When it was issued.
    pub issue_time: DateTime<Utc>,
    /// When it became paid in full.
    pub pay_time: Option<DateTime<Utc>>,
    /// Grows with every change.
    pub version: i64,
}

/// Why an order gets no invoice. It is a mistake of whoever confirmed the order: a confirmed order's sums are right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing to pay for.
    #[error("the order has no lines")]
    NoLines,
    /// A line's quantity is not above 0, or its price is negative.
    #[error("line {line} has a quantity or a price that cannot be sold")]
    Unsellable {
        /// Which line, from 0.
        line: usize,
    },
    /// A line's sums are not what its quantity, price and VAT come to.
    #[error("the sums of line {line} are not what its quantity, price and rate of VAT come to")]
    LineSums {
        /// Which line, from 0.
        line: usize,
    },
    /// The order's sums are not those of its lines.
    #[error("the sums of the order are not those of its lines")]
    Sums,
    /// A sum cannot be counted.
    #[error(transparent)]
    Money(#[from] BadMoney),
}

impl Order {
    /// Whether the sums, which are taken over as they are, are what they must be.
    pub fn check(&self) -> Result<(), Refusal> {
        let currency = self.sums.gross.currency;
        let mut sums = Vec::with_capacity(self.lines.len());
        for (place, line) in self.lines.iter().enumerate() {
            if line.quantity <= Decimal::ZERO || line.unit_price < Decimal::ZERO {
                return Err(Refusal::Unsellable { line: place });
            }
            if line.sums != line_sums(line.quantity, line.unit_price, line.vat_rate, line.vat_included, currency)? {
                return Err(Refusal::LineSums { line: place });
            }
            sums.push(line.sums);
        }
        match total(&sums, currency)? {
            _ if sums.is_empty() => Err(Refusal::NoLines),
            total if total == self.sums => Ok(()),
            _ => Err(Refusal::Sums),
        }
    }
}

impl Invoice {
    /// The invoice for an order, with the place 0 until its insertion draws one: a number that is drawn earlier would
    /// be lost with a later refusal. Where nothing is to be paid, it is paid at once.
    pub fn issue(order: &Order, issue_date: NaiveDate, now: DateTime<Utc>) -> Result<Self, Refusal> {
        order.check()?;
        let paid = Money::zero(order.sums.gross.currency);
        Ok(Self {
            id: InvoiceId::new(),
            number: Number { series: SERIES.to_owned(), year: issue_date.year(), place: 0 },
            order: order.id,
            contract: order.contract,
            deal: order.deal,
            client: order.client,
            sums: order.sums,
            paid,
            issue_date,
            issue_time: now,
            pay_time: (paid == order.sums.gross).then_some(now),
            version: 1,
        })
    }

    /// The currency of all its sums.
    pub fn currency(&self) -> Currency {
        self.sums.gross.currency
    }

    /// Whether it is paid.
    pub fn state(&self) -> State {
        if self.paid == self.sums.gross {
            State::Paid
        } else if self.paid.minor == 0 {
            State::Issued
        } else {
            State::PartlyPaid
        }
    }

    /// How much of it is not paid.
    pub fn lacks(&self) -> Money {
        // What is paid is of the same currency and never more than there is to pay.
        Money { minor: self.sums.gross.minor - self.paid.minor, ..self.paid }
    }

    /// Takes a part of a payment. None where it lacks less, or another currency.
    pub fn take(&self, amount: Money, now: DateTime<Utc>) -> Option<Self> {
        let paid = self.paid.checked_add(amount).ok().filter(|paid| paid.minor <= self.sums.gross.minor)?;
        let pay_time = (paid == self.sums.gross).then_some(now);
        Some(Self { paid, pay_time, version: self.version + 1, ..self.clone() })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn rub(minor: i64) -> Money {
        Money { minor, currency: Currency::RUB }
    }

    fn day() -> NaiveDate {
        NaiveDate::from_ymd_opt(2027, 1, 15).unwrap()
    }

    /// An invoice over these sums, whatever its lines.
    pub(in crate::domain) fn invoice(client: ClientId, sums: LineSums) -> Invoice {
        let paid = Money::zero(sums.gross.currency);
        let order = order(vec![line("1", "1.00", VatRate::None, false)]);
        let pay_time = (paid == sums.gross).then_some(at(0));
        Invoice { client, sums, paid, pay_time, ..Invoice::issue(&order, day(), at(0)).unwrap() }
    }

    fn line(quantity: &str, price: &str, vat_rate: VatRate, vat_included: bool) -> Line {
        let (quantity, unit_price) = (quantity.parse().unwrap(), price.parse().unwrap());
        Line {
            order_line: Uuid::now_v7(),
            quantity,
            unit_code: "pcs".into(),
            unit_price,
            vat_rate,
            vat_included,
            sums: line_sums(quantity, unit_price, vat_rate, vat_included, Currency::RUB).unwrap(),
        }
    }

    fn order(lines: Vec<Line>) -> Order {
        let sums: Vec<_> = lines.iter().map(|line| line.sums).collect();
        Order {
            id: OrderId::new(),
            contract: ContractId::new(),
            deal: DealId::new(),
            client: ClientId::new(),
            sums: total(&sums, Currency::RUB).unwrap(),
            lines,
        }
    }

    fn three_lines() -> Order {
        order(vec![line("1", "10.03", VatRate::TwentyTwo, false); 3])
    }

    #[test]
    fn an_invoice_takes_over_the_sums_that_are_rounded_on_each_line() {
        let order = three_lines();
        let invoice = Invoice::issue(&order, day(), at(0)).unwrap();
        assert_eq!((invoice.sums.net, invoice.sums.vat, invoice.sums.gross), (rub(30_09), rub(6_63), rub(36_72)));
        assert_eq!((invoice.state(), invoice.paid, invoice.pay_time), (State::Issued, rub(0), None));
        assert_eq!(
            (invoice.order, invoice.contract, invoice.deal, invoice.client),
            (order.id, order.contract, order.deal, order.client)
        );
        assert_eq!((invoice.issue_date, invoice.number.year, invoice.version), (day(), 2027, 1));
    }

    #[test]
    fn wrong_sums_are_refused() {
        let mut order = three_lines();
        order.sums.vat = rub(6_62);
        assert_eq!(order.check(), Err(Refusal::Sums));
        let mut order = three_lines();
        order.lines[1].sums.gross = rub(12_25);
        assert_eq!(order.check(), Err(Refusal::LineSums { line: 1 }));
        let mut order = three_lines();
        order.lines[2].vat_rate = VatRate::Twenty;
        assert_eq!(order.check(), Err(Refusal::LineSums { line: 2 }));
    }

    #[test]
    fn lines_of_another_currency_are_refused() {
        let mut order = three_lines();
        let dollars = Currency::from_code("USD").unwrap();
        order.sums = LineSums { net: Money { minor: 30_09, currency: dollars }, ..order.sums };
        assert_eq!(order.check(), Err(Refusal::Sums));
        let mut order = three_lines();
        order.lines[0].sums = line_sums(1.into(), 1.into(), VatRate::None, false, dollars).unwrap();
        assert_eq!(order.check(), Err(Refusal::LineSums { line: 0 }));
    }

    #[test]
    fn what_cannot_be_sold_is_refused() {
        assert_eq!(order(vec![line("0", "1", VatRate::None, false)]).check(), Err(Refusal::Unsellable { line: 0 }));
        assert_eq!(order(vec![line("-1", "-1", VatRate::None, false)]).check(), Err(Refusal::Unsellable { line: 0 }));
        assert_eq!(order(vec![line("1", "-1", VatRate::None, false)]).check(), Err(Refusal::Unsellable { line: 0 }));
        assert_eq!(order(vec![]).check(), Err(Refusal::NoLines));
    }

    #[test]
    fn sums_that_cannot_be_counted_are_refused() {
        let mut order = three_lines();
        order.lines[0].quantity = Decimal::MAX;
        assert_eq!(order.check(), Err(Refusal::Money(BadMoney::Overflow)));
    }

    #[test]
    fn nothing_to_pay_is_paid_at_once() {
        let invoice = Invoice::issue(&order(vec![line("1", "0", VatRate::TwentyTwo, false)]), day(), at(0)).unwrap();
        assert_eq!((invoice.state(), invoice.pay_time), (State::Paid, Some(at(0))));
    }

    #[test]
    fn numbers_are_written_with_six_digits_or_more() {
        let number = |place| Number { series: SERIES.into(), year: 2026, place }.to_string();
        assert_eq!(number(42), "INV-2026-000042");
        assert_eq!(number(1_234_567), "INV-2026-1234567");
    }

    #[test]
    fn parts_add_up_to_paid() {
        let invoice = Invoice::issue(&three_lines(), day(), at(0)).unwrap();
        let partly = invoice.take(rub(36_71), at(1)).unwrap();
        assert_eq!((partly.state(), partly.pay_time, partly.lacks()), (State::PartlyPaid, None, rub(1)));
        assert_eq!(partly.take(rub(2), at(2)), None);
        let paid = partly.take(rub(1), at(2)).unwrap();
        assert_eq!((paid.state(), paid.pay_time, paid.version), (State::Paid, Some(at(2)), 3));
        assert_eq!(paid.take(rub(1), at(3)), None);
        assert_eq!(invoice.take(rub(i64::MAX), at(1)), None);
    }

    fn lines() -> impl Strategy<Value = Vec<Line>> {
        let rate = prop::sample::select(VatRate::ALL.to_vec());
        let line = (1..1_000_000_i64, 0..100_000_000_i64, 0..7_u32, rate, any::<bool>()).prop_map(
            |(thousandths, price, scale, rate, included)| {
                let (quantity, price) = (Decimal::new(thousandths, 3), Decimal::new(price, scale));
                line(&quantity.to_string(), &price.to_string(), rate, included)
            },
        );
        prop::collection::vec(line, 1..20)
    }

    proptest! {
        #[test]
        fn an_order_is_invoiced_as_its_lines_come_to(lines in lines()) {
            let order = order(lines);
            let invoice = Invoice::issue(&order, day(), at(0)).unwrap();
            let sum = |of: fn(&LineSums) -> Money| order.lines.iter().map(|line| of(&line.sums).minor).sum::<i64>();
            prop_assert_eq!(sum(|sums| sums.net), invoice.sums.net.minor);
            prop_assert_eq!(sum(|sums| sums.vat), invoice.sums.vat.minor);
            prop_assert_eq!(sum(|sums| sums.gross), invoice.sums.gross.minor);
            prop_assert_eq!(invoice.sums.net.minor + invoice.sums.vat.minor, invoice.sums.gross.minor);
        }

        #[test]
        fn an_order_with_any_sum_changed_is_refused(
            lines in lines(),
            of_line in any::<prop::sample::Index>(),
            which in 0..6,
            by in prop_oneof![-3..0_i64, 1..4_i64],
        ) {
            let mut order = order(lines);
            let place = of_line.index(order.lines.len());
            let sums = if which < 3 { &mut order.sums } else { &mut order.lines[place].sums };
            let sum = match which % 3 { 0 => &mut sums.net, 1 => &mut sums.vat, _ => &mut sums.gross };
            sum.minor += by;
            prop_assert!(order.check().is_err());
        }
    }
}
