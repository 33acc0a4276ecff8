//! Money: whole minor units of an ISO 4217 currency.

use std::cmp::Ordering;
use std::fmt;

const NANOS_PER_UNIT: i32 = 1_000_000_000;

/// The most digits that `nanos` can tell apart, and so the largest exponent of a currency.
const NANO_DIGITS: u32 = 9;

/// Why an amount of money was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMoney {
    /// The code is not upper-case ISO 4217, or its currency has no minor unit (`XXX`, `XAU`).
    #[error("must have the code of an ISO 4217 currency, such as RUB")]
    Currency,
    /// `units` and `nanos` have opposite signs.
    #[error("must have units and nanos of the same sign")]
    Signs,
    /// `nanos` is a whole unit or more.
    #[error("must have nanos between -999999999 and 999999999")]
    Nanos,
    /// The amount has a fraction of the currency's minor unit.
    #[error("must have no more than {exponent} digits after the point in {currency}")]
    TooFine {
        /// The currency of the amount.
        currency: Currency,
        /// The digits that the currency has.
        exponent: u32,
    },
    /// The amount, or one on the way to it, is too large to be counted.
    #[error("is too large")]
    Overflow,
    /// Two amounts of different currencies were to be combined.
    #[error("must be in {expected}, not in {found}")]
    Currencies {
        /// The currency of the first amount.
        expected: Currency,
        /// The currency of the other one.
        found: Currency,
    },
}

/// A currency of ISO 4217 that has a minor unit. Currencies are ordered by code, as PostgreSQL orders them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency {
    iso: iso_currency::Currency,
    /// At most [`NANO_DIGITS`].
    exponent: u32,
}

impl Currency {
    /// The Russian ruble.
    pub const RUB: Self = Self { iso: iso_currency::Currency::RUB, exponent: 2 };

    /// Finds a currency by its upper-case code, such as `RUB`.
    ///
    /// Codes without a minor unit (`XXX`, `XTS`, `XAU` and other special ones) are refused: nothing is sold for them
    /// and there is no unit to round to.
    pub fn from_code(code: &str) -> Result<Self, BadMoney> {
        let iso = iso_currency::Currency::from_code(code).ok_or(BadMoney::Currency)?;
        let exponent = iso.exponent().map(u32::from).filter(|digits| *digits <= NANO_DIGITS);
        Ok(Self { iso, exponent: exponent.ok_or(BadMoney::Currency)? })
    }

    /// The code of three upper-case letters.
    pub fn code(self) -> &'static str {
        self.iso.code()
    }

    /// How many decimal digits the minor unit is below the unit: 2 for RUB, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        self.exponent
    }

    /// How many minor units make one unit.
    fn minor_per_unit(self) -> i64 {
        10_i64.pow(self.exponent)
    }

    /// How many nanos make one minor unit.
    fn nanos_per_minor(self) -> i32 {
        10_i32.pow(NANO_DIGITS - self.exponent)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl Ord for Currency {
    fn cmp(&self, other: &Self) -> Ordering {
        self.code().cmp(other.code())
    }
}

impl PartialOrd for Currency {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// An exact amount of money. Amounts of different currencies never mix: to combine them is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Money {
    /// The amount in minor units: kopecks of RUB, yen of JPY.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// Nothing, in a currency.
    pub fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// Adds an amount of the same currency.
    pub fn checked_add(self, other: Self) -> Result<Self, BadMoney> {
        self.combine(other, i64::checked_add)
    }

    /// Subtracts an amount of the same currency. The difference may be negative.
    pub fn checked_sub(self, other: Self) -> Result<Self, BadMoney> {
        self.combine(other, i64::checked_sub)
    }

    /// Turns a debt into a credit and back.
    pub fn checked_neg(self) -> Result<Self, BadMoney> {
        let minor = self.minor.checked_neg().ok_or(BadMoney::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// Whether the amount is below zero.
    pub fn is_negative(self) -> bool {
        self.minor < 0
    }

    fn combine(self, other: Self, operation: fn(i64, i64) -> Option<i64>) -> Result<Self, BadMoney> {
        if self.currency != other.currency {
            return Err(BadMoney::Currencies { expected: self.currency, found: other.currency });
        }
        let minor = operation(self.minor, other.minor).ok_or(BadMoney::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// Reads an amount written as `google.type.Money`: whole units and billionths of a unit, both of one sign.
    ///
    /// Nanos finer than the currency's minor unit are refused and not rounded: a caller who sends them means something
    /// that cannot be paid.
    pub fn from_units_nanos(currency_code: &str, units: i64, nanos: i32) -> Result<Self, BadMoney> {
        let currency = Currency::from_code(currency_code)?;
        if nanos <= -NANOS_PER_UNIT || nanos >= NANOS_PER_UNIT {
            return Err(BadMoney::Nanos);
        }
        if units.signum() * i64::from(nanos.signum()) < 0 {
            return Err(BadMoney::Signs);
        }
        let step = currency.nanos_per_minor();
        if nanos % step != 0 {
            return Err(BadMoney::TooFine { currency, exponent: currency.exponent });
        }
        // Wide, because units alone may overflow where units and nanos together do not.
        let minor = i128::from(units) * i128::from(currency.minor_per_unit()) + i128::from(nanos / step);
        let minor = i64::try_from(minor).map_err(|_| BadMoney::Overflow)?;
        Ok(Self { minor, currency })
    }

    /// Writes the amount as `google.type.Money` does: whole units and billionths of a unit, both of one sign.
    pub fn units_nanos(&self) -> (i64, i32) {
        let per_unit = self.currency.minor_per_unit();
        let nanos = self.minor % per_unit * i64::from(self.currency.nanos_per_minor());
        // What is left of a unit is less than 10^9 nanos, so it always fits.
        (self.minor / per_unit, i32::try_from(nanos).unwrap_or_default())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_unit = self.currency.minor_per_unit().unsigned_abs();
        let sign = if self.is_negative() { "-" } else { "" };
        let minor = self.minor.unsigned_abs();
        write!(f, "{sign}{}", minor / per_unit)?;
        if self.currency.exponent > 0 {
            let width = self.currency.exponent as usize;
            write!(f, ".{:0width$}", minor % per_unit)?;
        }
        write!(f, " {}", self.currency)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CODES: [&str; 5] = ["RUB", "JPY", "KWD", "CLF", "USD"];

    fn currency() -> impl Strategy<Value = Currency> {
        prop::sample::select(CODES.to_vec()).prop_map(|code| Currency::from_code(code).expect(code))
    }

    fn amount() -> impl Strategy<Value = i64> {
        prop_oneof![
            prop::sample::select(vec![0, 1, -1, 2, i64::MAX, i64::MIN, i64::MIN + 1]),
            -10_000_i64..10_000,
            any::<i64>(),
        ]
    }

    fn rub(minor: i64) -> Money {
        Money { minor, currency: Currency::RUB }
    }

    #[test]
    fn only_upper_case_codes_with_a_minor_unit_are_currencies() {
        assert_eq!(Currency::from_code("RUB"), Ok(Currency::RUB));
        for (code, exponent) in [("RUB", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4)] {
            let currency = Currency::from_code(code).expect(code);
            assert_eq!((currency.code(), currency.exponent()), (code, exponent));
        }
        for code in ["", "rub", "Rub", " RUB", "RUB ", "RUBL", "RU", "AAA", "643", "XXX", "XAU", "XTS", "XDR", "РУБ"]
        {
            assert_eq!(Currency::from_code(code), Err(BadMoney::Currency), "{code}");
        }
    }

    #[test]
    fn currencies_are_ordered_by_code() {
        let mut codes = CODES;
        codes.sort_unstable();
        let mut currencies = CODES.map(|code| Currency::from_code(code).expect(code));
        currencies.sort_unstable();
        assert_eq!(currencies.map(Currency::code), codes);
    }

    #[test]
    fn amounts_are_written_with_the_digits_of_their_currency() {
        let cases = [("RUB", 123_450, "1234.50 RUB"), ("RUB", -5, "-0.05 RUB"), ("RUB", 0, "0.00 RUB")];
        let others = [("JPY", -7, "-7 JPY"), ("KWD", 1, "0.001 KWD"), ("RUB", i64::MIN, "-92233720368547758.08 RUB")];
        for (code, minor, text) in cases.into_iter().chain(others) {
            let currency = Currency::from_code(code).expect(code);
            assert_eq!(Money { minor, currency }.to_string(), text);
        }
    }

    #[test]
    fn units_and_nanos_are_refused_for_one_reason_each() {
        let rub = |units, nanos| Money::from_units_nanos("RUB", units, nanos);
        assert_eq!(rub(1, -10_000_000), Err(BadMoney::Signs));
        assert_eq!(rub(-1, 10_000_000), Err(BadMoney::Signs));
        assert_eq!(rub(0, 1_000_000_000), Err(BadMoney::Nanos));
        assert_eq!(rub(0, -1_000_000_000), Err(BadMoney::Nanos));
        assert_eq!(rub(0, i32::MIN), Err(BadMoney::Nanos));
        assert_eq!(rub(0, 1_000_000), Err(BadMoney::TooFine { currency: Currency::RUB, exponent: 2 }));
        assert_eq!(rub(i64::MAX / 100, 80_000_000), Err(BadMoney::Overflow));
        assert_eq!(rub(i64::MAX, 0), Err(BadMoney::Overflow));
        assert_eq!(Money::from_units_nanos("XXX", 1, 0), Err(BadMoney::Currency));
        assert_eq!(rub(-1, -10_000_000).map(|money| money.minor), Ok(-101));
    }

    #[test]
    fn errors_follow_the_name_of_a_field() {
        let fine = BadMoney::TooFine { currency: Currency::RUB, exponent: 2 };
        assert_eq!(fine.to_string(), "must have no more than 2 digits after the point in RUB");
    }

    #[test]
    fn different_currencies_do_not_mix() {
        let yen = Money::zero(Currency::from_code("JPY").expect("JPY"));
        let refusal = Err(BadMoney::Currencies { expected: Currency::RUB, found: yen.currency });
        assert_eq!(rub(1).checked_add(yen), refusal);
        assert_eq!(rub(1).checked_sub(yen), refusal);
    }

    #[test]
    fn arithmetic_that_does_not_fit_is_an_error() {
        assert_eq!(rub(i64::MAX).checked_add(rub(1)), Err(BadMoney::Overflow));
        assert_eq!(rub(i64::MIN).checked_sub(rub(1)), Err(BadMoney::Overflow));
        assert_eq!(rub(i64::MIN).checked_neg(), Err(BadMoney::Overflow));
    }

    proptest! {
        #[test]
        fn units_and_nanos_read_what_they_wrote(minor in amount(), currency in currency()) {
            let money = Money { minor, currency };
            let (units, nanos) = money.units_nanos();
            prop_assert_eq!(Money::from_units_nanos(currency.code(), units, nanos), Ok(money));
        }

        #[test]
        fn units_and_nanos_are_exact_or_refused(
            currency in currency(),
            units in amount(),
            nanos in prop_oneof![
                any::<i32>(),
                (-99_999..99_999).prop_map(|n| n * 10_000),
                (-99..99).prop_map(|n| n * 10_000_000),
            ],
        ) {
            let exact = i128::from(units) * 1_000_000_000 + i128::from(nanos);
            let step = 10_i128.pow(9 - currency.exponent());
            let signs = (units > 0 && nanos < 0) || (units < 0 && nanos > 0);
            let fits = i64::try_from(exact / step).ok().filter(|_| exact % step == 0);
            let expected = fits.filter(|_| !signs && nanos.unsigned_abs() < 1_000_000_000);
            let read = Money::from_units_nanos(currency.code(), units, nanos);
            prop_assert_eq!(read.ok().map(|money| money.minor), expected);
        }

        #[test]
        fn the_text_has_the_value(minor in amount(), currency in currency()) {
            let text = Money { minor, currency }.to_string();
            let (number, code) = text.split_once(' ').expect("a blank");
            prop_assert_eq!(code, currency.code());
            let digits = number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            prop_assert_eq!(digits, currency.exponent() as usize);
            prop_assert_eq!(number.replace('.', "").parse::<i64>(), Ok(minor));
        }

        #[test]
        fn sums_are_exact_or_refused(a in amount(), b in amount()) {
            let (wide_a, wide_b) = (i128::from(a), i128::from(b));
            let minor = |result: Result<Money, BadMoney>| result.ok().map(|money| money.minor);
            prop_assert_eq!(minor(rub(a).checked_add(rub(b))), i64::try_from(wide_a + wide_b).ok());
            prop_assert_eq!(minor(rub(a).checked_sub(rub(b))), i64::try_from(wide_a - wide_b).ok());
            prop_assert_eq!(minor(rub(a).checked_neg()), i64::try_from(-wide_a).ok());
            prop_assert_eq!(rub(a).is_negative(), a < 0);
        }
    }
}
