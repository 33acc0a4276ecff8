//! Value added tax: computed and rounded on each line, then summed.

use rust_decimal::Decimal;

use crate::money::{BadMoney, Currency, Money};
use crate::round::div_half_away;

/// A rate of VAT. Which rate applies on which date is decided by the services; here is only the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum VatRate {
    /// Not subject to VAT.
    None,
    /// 0 %, as for exports: subject to VAT, although none is due.
    Zero,
    /// 5 %.
    Five,
    /// 7 %.
    Seven,
    /// 10 %.
    Ten,
    /// 20 %.
    Twenty,
    /// 22 %.
    TwentyTwo,
}

impl VatRate {
    /// Every rate, the lowest first.
    pub const ALL: [Self; 7] =
        [Self::None, Self::Zero, Self::Five, Self::Seven, Self::Ten, Self::Twenty, Self::TwentyTwo];

    /// The rate in percent. None is not the same as 0: it is not subject to VAT.
    pub fn percent(self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Zero => Some(0),
            Self::Five => Some(5),
            Self::Seven => Some(7),
            Self::Ten => Some(10),
            Self::Twenty => Some(20),
            Self::TwentyTwo => Some(22),
        }
    }

    /// The rate as it is stored: `none`, or the percent.
    pub fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Zero => "0",
            Self::Five => "5",
            Self::Seven => "7",
            Self::Ten => "10",
            Self::Twenty => "20",
            Self::TwentyTwo => "22",
        }
    }

    /// Reads a rate as [`VatRate::text`] writes it. None for anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rate| rate.text() == text)
    }
}

/// The sums of a line or of a whole document; `net + vat = gross` always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LineSums {
    /// The sum without VAT.
    pub net: Money,
    /// The VAT.
    pub vat: Money,
    /// The sum with VAT.
    pub gross: Money,
}

/// Computes the sums of a line, each rounded half away from zero to the minor unit.
///
/// The line's amount is the quantity times the unit price, rounded once. Where VAT comes on top, the amount is `net`
/// and `vat` is `net * rate / 100`; where it is `included`, the amount is `gross` and `vat` is `gross * rate / (100 +
/// rate)`. [`BadMoney::Overflow`] if a sum does not fit, or if quantity and price have more than 38 digits together.
pub fn line_sums(
    quantity: Decimal,
    unit_price: Decimal,
    rate: VatRate,
    included: bool,
    currency: Currency,
) -> Result<LineSums, BadMoney> {
    let amount = Money { minor: product(quantity, unit_price, currency.exponent())?, currency };
    let rate = rate.percent().unwrap_or(0);
    if included {
        let vat = Money { minor: share(amount.minor, rate, 100 + rate)?, currency };
        return Ok(LineSums { net: amount.checked_sub(vat)?, vat, gross: amount });
    }
    let vat = Money { minor: share(amount.minor, rate, 100)?, currency };
    Ok(LineSums { net: amount, vat, gross: amount.checked_add(vat)? })
}

/// Sums up lines of one currency. No lines are worth zero of it.
pub fn total(sums: &[LineSums], currency: Currency) -> Result<LineSums, BadMoney> {
    let zero = Money::zero(currency);
    sums.iter().try_fold(LineSums { net: zero, vat: zero, gross: zero }, |sum, line| {
        Ok(LineSums {
            net: sum.net.checked_add(line.net)?,
            vat: sum.vat.checked_add(line.vat)?,
            gross: sum.gross.checked_add(line.gross)?,
        })
    })
}

/// Multiplies exactly and rounds once; [`Decimal`]'s own product would already be rounded where it has over 28 digits.
fn product(quantity: Decimal, unit_price: Decimal, exponent: u32) -> Result<i64, BadMoney> {
    let (quantity, unit_price) = (quantity.normalize(), unit_price.normalize());
    let exact = quantity.mantissa().checked_mul(unit_price.mantissa()).ok_or(BadMoney::Overflow)?;
    let scale = quantity.scale() + unit_price.scale();
    let minor = if scale <= exponent {
        10_i128.checked_pow(exponent - scale).and_then(|factor| exact.checked_mul(factor))
    } else {
        match 10_i128.checked_pow(scale - exponent) {
            Some(divisor) => div_half_away(exact, divisor),
            // 10^39 and above, of which an i128 is less than the half.
            None => Some(0),
        }
    };
    minor.and_then(|minor| i64::try_from(minor).ok()).ok_or(BadMoney::Overflow)
}

fn share(amount: i64, numerator: u32, denominator: u32) -> Result<i64, BadMoney> {
    let exact = i128::from(amount) * i128::from(numerator);
    let rounded = div_half_away(exact, i128::from(denominator)).ok_or(BadMoney::Overflow)?;
    i64::try_from(rounded).map_err(|_| BadMoney::Overflow)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RUB: Currency = Currency::RUB;

    fn currency() -> impl Strategy<Value = Currency> {
        prop::sample::select(vec!["RUB", "JPY", "KWD", "CLF"])
            .prop_map(|code| Currency::from_code(code).expect("a currency"))
    }

    fn rate() -> impl Strategy<Value = VatRate> {
        prop::sample::select(VatRate::ALL.to_vec())
    }

    /// Quantities and prices as contracts accept them, of either sign.
    fn number(max_mantissa: i64, max_scale: u32) -> impl Strategy<Value = Decimal> {
        (-max_mantissa..=max_mantissa, 0..=max_scale).prop_map(|(mantissa, scale)| Decimal::new(mantissa, scale))
    }

    /// All that a decimal can hold.
    fn any_number() -> impl Strategy<Value = Decimal> {
        (any::<i128>(), 32..128_u32, 0..=28_u32)
            .prop_map(|(bits, shift, scale)| Decimal::from_i128_with_scale(bits >> shift, scale))
    }

    fn line(
        quantity: &str,
        price: &str,
        rate: VatRate,
        included: bool,
        currency: Currency,
    ) -> Result<LineSums, BadMoney> {
        let number = |text: &str| text.parse::<Decimal>().expect("a number");
        line_sums(number(quantity), number(price), rate, included, currency)
    }

    fn minors(sums: &LineSums) -> (i64, i64, i64) {
        (sums.net.minor, sums.vat.minor, sums.gross.minor)
    }

    /// Whether `rounded` is the whole number nearest to `numerator / denominator`, halves away from zero.
    fn is_nearest(rounded: i64, numerator: i128, denominator: i128) -> bool {
        let product = i128::from(rounded) * denominator;
        let twice_off = 2 * (numerator - product).abs();
        twice_off < denominator || (twice_off == denominator && product.abs() > numerator.abs())
    }

    #[test]
    fn tax_is_rounded_on_each_line_and_summed() {
        let sums = line("1", "10.03", VatRate::TwentyTwo, false, RUB).expect("fits");
        assert_eq!(minors(&sums), (1_003, 221, 1_224));
        // 30.09 at once would give 6.62.
        let total = total(&[sums; 3], RUB).expect("fits");
        assert_eq!(minors(&total), (3_009, 663, 3_672));
    }

    #[test]
    fn included_tax_is_taken_out_of_the_amount() {
        let sums = line("1", "100.00", VatRate::TwentyTwo, true, RUB).expect("fits");
        assert_eq!(minors(&sums), (8_197, 1_803, 10_000));
        let sums = line("1", "100.00", VatRate::Twenty, true, RUB).expect("fits");
        assert_eq!(minors(&sums), (8_333, 1_667, 10_000));
    }

    #[test]
    fn the_amount_is_rounded_once_to_the_unit_of_the_currency() {
        let code = |code| Currency::from_code(code).expect("a currency");
        let cases = [
            ("3", "0.335", RUB, 101),
            ("-3", "0.335", RUB, -101),
            ("0.5", "0.01", RUB, 1),
            ("0.333", "0.015", RUB, 0),
            ("1.5", "1", code("JPY"), 2),
            ("1", "0.0005", code("KWD"), 1),
            ("2", "3", code("KWD"), 6_000),
            ("999999999.999", "0.000001", RUB, 100_000),
            ("0.0000000000000000000000000001", "0.0000000000000000000000000001", RUB, 0),
            ("1.0000000000000000000000", "1.0000000000000000000000", RUB, 100),
            ("7922816251426433.7593543950335", "0.0000000001", RUB, 79_228_163),
        ];
        for (quantity, price, currency, minor) in cases {
            let sums = line(quantity, price, VatRate::None, false, currency).expect("fits");
            assert_eq!(minors(&sums), (minor, 0, minor), "{quantity} x {price}");
        }
    }

    #[test]
    fn the_product_is_not_rounded_before_it_is_rounded() {
        // Exactly 0.005 * (1 - 10^-28), which at 28 digits after the point would already be a half.
        let sums = line("0.499999999999995", "0.0100000000000001", VatRate::None, false, RUB).expect("fits");
        assert_eq!(minors(&sums), (0, 0, 0));
    }

    #[test]
    fn sums_that_do_not_fit_are_errors() {
        let huge = i64::MAX.to_string();
        assert_eq!(line(&huge, "1", VatRate::None, false, RUB), Err(BadMoney::Overflow));
        assert_eq!(line(&huge, "0.01", VatRate::Five, false, RUB), Err(BadMoney::Overflow));
        let sums = line(&huge, "0.01", VatRate::Five, true, RUB).expect("fits");
        assert_eq!(sums.gross.minor, i64::MAX);
        assert_eq!(total(&[sums; 2], RUB), Err(BadMoney::Overflow));
        // Their product is 2^128, of which 128 bits would keep a zero.
        let power = 2_i128.pow(64).to_string();
        assert_eq!(line(&power, &power, VatRate::None, false, RUB), Err(BadMoney::Overflow));
    }

    #[test]
    fn totals_are_of_one_currency() {
        assert_eq!(total(&[], RUB).map(|sums| minors(&sums)), Ok((0, 0, 0)));
        let yen = Currency::from_code("JPY").expect("a currency");
        let sums = line("1", "1", VatRate::Ten, false, yen).expect("fits");
        assert_eq!(total(&[sums], RUB), Err(BadMoney::Currencies { expected: RUB, found: yen }));
    }

    #[test]
    fn rates_are_read_as_they_are_written() {
        for rate in VatRate::ALL {
            assert_eq!(VatRate::from_text(rate.text()), Some(rate));
            assert_eq!(rate.percent().map_or("none".to_owned(), |percent| percent.to_string()), rate.text());
        }
        assert_eq!(VatRate::from_text("18"), None);
        assert_eq!(VatRate::from_text(""), None);
    }

    proptest! {
        #[test]
        fn each_sum_is_the_nearest(
            quantity in number(9_999_999, 3),
            price in number(9_999_999, 6),
            rate in rate(),
            included: bool,
            currency in currency(),
        ) {
            let sums = line_sums(quantity, price, rate, included, currency).expect("fits");
            prop_assert_eq!(sums.net.checked_add(sums.vat), Ok(sums.gross));

            let amount = if included { sums.gross } else { sums.net };
            let exact = quantity.mantissa() * price.mantissa() * 10_i128.pow(currency.exponent());
            prop_assert!(is_nearest(amount.minor, exact, 10_i128.pow(quantity.scale() + price.scale())));

            let percent = i128::from(rate.percent().unwrap_or(0));
            let whole = if included { 100 + percent } else { 100 };
            prop_assert!(is_nearest(sums.vat.minor, i128::from(amount.minor) * percent, whole));
        }

        #[test]
        fn any_numbers_give_sums_or_an_error(
            quantity in any_number(), price in any_number(), rate in rate(), included: bool,
        ) {
            if let Ok(sums) = line_sums(quantity, price, rate, included, RUB) {
                prop_assert_eq!(sums.net.checked_add(sums.vat), Ok(sums.gross));
            }
        }

        #[test]
        fn trailing_zeros_and_signs_change_nothing_else(
            quantity in number(999_999, 3), price in number(999_999, 6), rate in rate(), included: bool,
        ) {
            let sums = line_sums(quantity, price, rate, included, RUB).expect("fits");
            let mut padded = price;
            padded.rescale(20);
            prop_assert_eq!(line_sums(quantity, padded, rate, included, RUB), Ok(sums));
            let opposite = line_sums(-quantity, price, rate, included, RUB).expect("fits");
            prop_assert_eq!(opposite.net.checked_neg(), Ok(sums.net));
            prop_assert_eq!(opposite.vat.checked_neg(), Ok(sums.vat));
        }

        #[test]
        fn a_higher_price_never_lowers_a_sum(
            prices in (0..1_000_000_i64, 0..1_000_000_i64), rate in rate(), included: bool,
        ) {
            let (low, high) = (prices.0.min(prices.1), prices.0.max(prices.1));
            let sums = |price| line_sums(Decimal::ONE, Decimal::new(price, 3), rate, included, RUB).expect("fits");
            let ((net, vat, gross), (more_net, more_vat, more_gross)) = (minors(&sums(low)), minors(&sums(high)));
            prop_assert!(net <= more_net && vat <= more_vat && gross <= more_gross);
            prop_assert!(net >= 0 && vat >= 0);
        }

        #[test]
        fn the_order_of_lines_does_not_change_the_total(
            prices in prop::collection::vec(0..1_000_000_i64, 0..20), rate in rate(),
        ) {
            let lines = prices.iter().map(|price| line_sums(Decimal::ONE, Decimal::new(*price, 2), rate, false, RUB));
            let mut lines = lines.collect::<Result<Vec<_>, _>>().expect("fit");
            let forward = total(&lines, RUB).expect("fits");
            prop_assert_eq!(forward.net.minor, prices.iter().sum::<i64>());
            prop_assert_eq!(forward.vat.minor, lines.iter().map(|line| line.vat.minor).sum::<i64>());
            prop_assert_eq!(forward.net.checked_add(forward.vat), Ok(forward.gross));
            lines.reverse();
            prop_assert_eq!(total(&lines, RUB), Ok(forward));
        }
    }
}
