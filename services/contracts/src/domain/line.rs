//! What is sold: lines and their sums. VAT is rounded on each line and the total is the sum of the lines.

use otdel_runtime::violations::MOST_MINOR_UNITS;
use otdel_types::{BadMoney, Currency, LineSums, VatRate, line_sums, total};
use rust_decimal::Decimal;
use uuid::Uuid;

/// What is sold, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What.
    pub display_name: String,
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
}

/// What is sold, with its sums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its id.
    pub id: Uuid,
    /// What was asked for.
    pub offer: Offer,
    /// What it is worth.
    pub sums: LineSums,
}

/// The lines of a document in one currency, with their total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// The lines, in their order.
    pub all: Vec<Line>,
    /// The currency of every sum.
    pub currency: Currency,
    /// The sum of the lines.
    pub total: LineSums,
}

/// A line or a total is larger than any sum of a request may be. What follows our facts adds such sums up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sums are larger than can be kept")]
pub struct TooLarge;

impl Offer {
    /// Whether the same is sold at the same price, in whatever quantity.
    pub fn is_priced_as(&self, other: &Self) -> bool {
        let Self { display_name, quantity: _, unit_code, unit_price, vat_rate, vat_included } = self;
        (display_name, unit_code, unit_price, vat_rate, vat_included)
            == (&other.display_name, &other.unit_code, &other.unit_price, &other.vat_rate, &other.vat_included)
    }
}

impl Lines {
    /// Prices what is asked for. Every line gets an id of its own.
    pub fn price(offers: Vec<Offer>, currency: Currency) -> Result<Self, TooLarge> {
        let all = offers.into_iter().map(|offer| Line::price(offer, currency)).collect::<Result<Vec<_>, _>>()?;
        Self::of(all, currency)
    }

    /// The same lines in a document of their own.
    #[must_use]
    pub fn copied(&self) -> Self {
        let all = self.all.iter().map(|line| Line { id: Uuid::now_v7(), ..line.clone() }).collect();
        Self { all, ..self.clone() }
    }

    fn of(all: Vec<Line>, currency: Currency) -> Result<Self, TooLarge> {
        let sums: Vec<LineSums> = all.iter().map(|line| line.sums).collect();
        let total = bounded(total(&sums, currency))?;
        Ok(Self { all, currency, total })
    }
}

impl Line {
    fn price(offer: Offer, currency: Currency) -> Result<Self, TooLarge> {
        let sums = line_sums(offer.quantity, offer.unit_price, offer.vat_rate, offer.vat_included, currency);
        Ok(Self { id: Uuid::now_v7(), sums: bounded(sums)?, offer })
    }
}

/// Sums that can be counted and are not above the most. Neither `net` nor `vat` is above `gross`.
fn bounded(sums: Result<LineSums, BadMoney>) -> Result<LineSums, TooLarge> {
    sums.ok().filter(|sums| sums.gross.minor.unsigned_abs() <= MOST_MINOR_UNITS).ok_or(TooLarge)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use otdel_types::Money;
    use proptest::prelude::*;

    pub(crate) fn offer(quantity: &str, unit_price: &str, vat_rate: VatRate, vat_included: bool) -> Offer {
        Offer {
            display_name: "Окно".into(),
            quantity: quantity.parse().unwrap(),
            unit_code: "pcs".into(),
            unit_price: unit_price.parse().unwrap(),
            vat_rate,
            vat_included,
        }
    }

    /// What an API call may ask for, kept small enough for 40 lines to be counted.
    pub(crate) fn any_offer() -> impl Strategy<Value = Offer> {
        let text = "[a-zа-яё0-9 ]{1,12}";
        let quantity = (1_i64..10_000, 0_u32..=3).prop_map(|(digits, scale)| Decimal::new(digits, scale));
        let price = (0_i64..10_000, 0_u32..=6).prop_map(|(digits, scale)| Decimal::new(digits, scale));
        let rate = prop::sample::select(VatRate::ALL.to_vec());
        (text, quantity, text, price, rate, any::<bool>()).prop_map(
            |(display_name, quantity, unit_code, unit_price, vat_rate, vat_included)| Offer {
                display_name,
                quantity,
                unit_code,
                unit_price,
                vat_rate,
                vat_included,
            },
        )
    }

    pub(crate) fn any_currency() -> impl Strategy<Value = Currency> {
        let codes = vec!["RUB", "EUR", "JPY", "KWD"];
        prop::sample::select(codes).prop_map(|code| Currency::from_code(code).unwrap())
    }

    #[test]
    fn vat_is_rounded_on_each_line_and_then_summed() {
        // 0.05 at 10 % is 0.005, rounded to 0.01 on each line; of the total it would have been 0.01 for both.
        let offers = vec![offer("1", "0.05", VatRate::Ten, false), offer("1", "0.05", VatRate::Ten, false)];
        let lines = Lines::price(offers, Currency::RUB).unwrap();
        let minor = [lines.total.net.minor, lines.total.vat.minor, lines.total.gross.minor];
        assert_eq!(minor, [10, 2, 12]);
    }

    #[test]
    fn included_vat_is_taken_out_of_the_price() {
        let lines = Lines::price(vec![offer("3", "122", VatRate::TwentyTwo, true)], Currency::RUB).unwrap();
        let minor = [lines.total.net.minor, lines.total.vat.minor, lines.total.gross.minor];
        assert_eq!(minor, [30_000, 6_600, 36_600]);
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        let line = |unit_price| offer("1", unit_price, VatRate::None, false);
        let price = |offers| Lines::price(offers, Currency::RUB);
        // One line that is too large for itself, and two that are too large together.
        assert_eq!(price(vec![line("92233720368547758.08")]), Err(TooLarge));
        let most = &Decimal::new(i64::try_from(MOST_MINOR_UNITS).unwrap(), 2).to_string();
        assert!(price(vec![line(most)]).is_ok());
        assert_eq!(price(vec![line(most), line("0.01")]), Err(TooLarge));
        assert_eq!(price(vec![offer("1", most, VatRate::Five, false)]), Err(TooLarge));
    }

    proptest! {
        #[test]
        fn the_total_is_the_sum_of_the_lines(
            offers in prop::collection::vec(any_offer(), 1..40),
            currency in any_currency(),
        ) {
            let count = offers.len();
            let lines = Lines::price(offers, currency).unwrap();
            prop_assert_eq!(lines.all.len(), count);
            let sum = |part: fn(&LineSums) -> Money| lines.all.iter().map(|line| part(&line.sums).minor).sum::<i64>();
            prop_assert_eq!(lines.total.net.minor, sum(|sums| sums.net));
            prop_assert_eq!(lines.total.vat.minor, sum(|sums| sums.vat));
            prop_assert_eq!(lines.total.gross.minor, sum(|sums| sums.gross));
            for sums in lines.all.iter().map(|line| line.sums).chain([lines.total]) {
                prop_assert_eq!(sums.net.minor + sums.vat.minor, sums.gross.minor);
                prop_assert!(sums.net.minor >= 0 && sums.vat.minor >= 0);
                prop_assert_eq!(sums.gross.currency, currency);
            }
        }

        #[test]
        fn whatever_is_priced_can_be_said_in_a_request(
            quantity in 1_i64..1_000_000,
            price in 0_i64..1_000_000_000_000_000,
            currency in any_currency(),
        ) {
            let asked = Offer {
                quantity: Decimal::new(quantity, 3),
                unit_price: Decimal::new(price, 6),
                ..offer("1", "1", VatRate::TwentyTwo, false)
            };
            if let Ok(lines) = Lines::price(vec![asked.clone(), asked], currency) {
                let said = otdel_runtime::convert::money(lines.total.gross);
                let mut wrong = otdel_runtime::violations::Violations::default();
                prop_assert_eq!(wrong.money("gross", Some(&said)), Some(lines.total.gross));
            }
        }

        #[test]
        fn copied_lines_are_the_same_but_for_their_ids(offers in prop::collection::vec(any_offer(), 1..10)) {
            let lines = Lines::price(offers, Currency::RUB).unwrap();
            let copied = lines.copied();
            prop_assert_eq!(copied.total, lines.total);
            for (one, other) in lines.all.iter().zip(&copied.all) {
                prop_assert_eq!((&one.offer, one.sums), (&other.offer, other.sums));
                prop_assert_ne!(one.id, other.id);
            }
        }
    }
}
