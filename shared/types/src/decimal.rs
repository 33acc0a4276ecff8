//! Quantities, prices and percentages: exact decimal numbers of at most 28 digits.

use rust_decimal::Decimal;

use crate::round::div_half_away;

/// Why a text is not an acceptable decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDecimal {
    /// The text is not a number, or it is written with an exponent, blanks or separators.
    #[error("must be a decimal number such as 12.5")]
    Grammar,
    /// There are too many digits before the point.
    #[error("must have at most {0} digits before the point")]
    TooLarge(u32),
    /// There are too many digits after the point.
    #[error("must have at most {0} digits after the point")]
    TooFine(u32),
    /// There are more digits in all than are computed with.
    #[error("must have at most 28 digits")]
    TooLong,
}

/// Parses a number in the grammar of `google.type.Decimal`, without its exponent.
///
/// That is an optional `+` or `-`, then digits with at most one point among them: `12.5`, `+3`, `.5`, `7.` The empty
/// text, which that type reads as zero, is refused: here it is a value that was forgotten. Digits are counted without
/// leading zeros before the point and trailing zeros after it, because they do not change the value.
pub fn parse_decimal(text: &str, max_integer_digits: u32, max_scale: u32) -> Result<Decimal, BadDecimal> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (integer, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut digits = integer.bytes().chain(fraction.bytes());
    if (integer.is_empty() && fraction.is_empty()) || !digits.all(|digit| digit.is_ascii_digit()) {
        return Err(BadDecimal::Grammar);
    }
    let (integer, fraction) = (integer.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if length(integer) > max_integer_digits {
        return Err(BadDecimal::TooLarge(max_integer_digits));
    }
    if length(fraction) > max_scale {
        return Err(BadDecimal::TooFine(max_scale));
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let mut mantissa = 0_i128;
    for digit in integer.bytes().chain(fraction.bytes()) {
        let shifted = mantissa.checked_mul(10).and_then(|tens| tens.checked_add(sign * i128::from(digit - b'0')));
        mantissa = shifted.ok_or(BadDecimal::TooLong)?;
    }
    Decimal::try_from_i128_with_scale(mantissa, length(fraction)).map_err(|_| BadDecimal::TooLong)
}

fn length(digits: &str) -> u32 {
    u32::try_from(digits.len()).unwrap_or(u32::MAX)
}

/// Writes a number in its shortest form: no exponent, no trailing zeros, `0` for zero.
pub fn decimal_text(number: &Decimal) -> String {
    number.normalize().to_string()
}

/// Computes `100 * part / whole`, rounded half away from zero to `digits` after the point.
///
/// None if the whole is zero, or if the result has more digits than a [`Decimal`] holds, which takes more than seven of
/// them after the point.
pub fn percent(part: i64, whole: i64, digits: u32) -> Option<Decimal> {
    ratio(i128::from(part).checked_mul(100)?, whole, digits)
}

/// Computes the mean of `count` values from their sum, rounded half away from zero to `digits` after the point.
///
/// None if there are no values, or if the result has more digits than a [`Decimal`] holds, which takes more than nine
/// of them after the point.
pub fn mean(sum: i64, count: i64, digits: u32) -> Option<Decimal> {
    ratio(i128::from(sum), count, digits)
}

fn ratio(numerator: i128, denominator: i64, digits: u32) -> Option<Decimal> {
    let scaled = numerator.checked_mul(10_i128.checked_pow(digits)?)?;
    let rounded = div_half_away(scaled, i128::from(denominator))?;
    Decimal::try_from_i128_with_scale(rounded, digits).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<String, BadDecimal> {
        parse_decimal(text, 9, 3).map(|number| decimal_text(&number))
    }

    #[test]
    fn the_grammar_is_that_of_google_type_decimal_without_exponent() {
        let cases = [
            ("12.5", "12.5"),
            ("+3", "3"),
            ("-3.250", "-3.25"),
            (".5", "0.5"),
            ("7.", "7"),
            ("-0", "0"),
            ("-.0", "0"),
            ("000000000001.5000000000", "1.5"),
            ("999999999.999", "999999999.999"),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let exotic = ["1e3", "1E3", "NaN", "inf", "0x1", "1_000", "1,5", "1 000", "١", "−1", "1/2", "1\0", "½"];
        for text in
            ["", " ", ".", "+", "-", "+-1", "--1", "1.2.3", " 1", "1 ", "1.-5", "+.", "1.+5"].iter().chain(&exotic)
        {
            assert_eq!(parsed(text), Err(BadDecimal::Grammar), "{text}");
        }
    }

    #[test]
    fn too_many_digits_are_refused() {
        assert_eq!(parsed("1000000000"), Err(BadDecimal::TooLarge(9)));
        assert_eq!(parsed("0.0001"), Err(BadDecimal::TooFine(3)));
        let digits = "9".repeat(29);
        assert_eq!(parse_decimal(&digits, 40, 0), Err(BadDecimal::TooLong));
        assert_eq!(parse_decimal(&format!("0.{digits}"), 0, 40), Err(BadDecimal::TooLong));
        assert_eq!(parse_decimal(&"9".repeat(100), u32::MAX, 0), Err(BadDecimal::TooLong));
        assert!(parse_decimal(&"9".repeat(28), 28, 0).is_ok());
    }

    #[test]
    fn percentages_round_halves_away_from_zero() {
        let text = |part, whole, digits| percent(part, whole, digits).map(|number| number.to_string());
        assert_eq!(text(1, 3, 4).as_deref(), Some("33.3333"));
        assert_eq!(text(2, 3, 4).as_deref(), Some("66.6667"));
        assert_eq!(text(1, 8, 2).as_deref(), Some("12.50"));
        assert_eq!(text(1, 16, 1).as_deref(), Some("6.3"));
        assert_eq!(text(-1, 16, 1).as_deref(), Some("-6.3"));
        assert_eq!(text(1, 0, 4), None);
        assert_eq!(text(i64::MIN, 1, 7).as_deref(), Some("-922337203685477580800.0000000"));
        assert_eq!(text(i64::MAX, 1, 8), None);
        assert_eq!(text(1, 3, u32::MAX), None);
        assert_eq!(mean(7, 2, 0).map(|number| decimal_text(&number)).as_deref(), Some("4"));
        assert_eq!(mean(7, 0, 0), None);
        assert!(mean(i64::MIN, 1, 9).is_some());
    }

    proptest! {
        #[test]
        fn texts_are_read_as_they_were_written(mantissa in -(10_i128.pow(28))..10_i128.pow(28), scale in 0..=28_u32) {
            let number = Decimal::from_i128_with_scale(mantissa, scale);
            let text = decimal_text(&number);
            prop_assert_eq!(parse_decimal(&text, 28, 28), Ok(number));
            prop_assert!(!text.contains('.') || !text.ends_with('0'));
            prop_assert!(!text.contains(['e', 'E', '+']) && text != "-0" && !text.ends_with('.'));
        }

        #[test]
        fn digits_without_value_change_nothing(
            sign in "[+-]?",
            zeros in "0{0,40}",
            integer in "[1-9][0-9]{0,8}",
            fraction in "[0-9]{0,2}[1-9]",
            tail in "0{0,40}",
        ) {
            let plain = format!("{}{integer}.{fraction}", sign.replace('+', ""));
            prop_assert_eq!(parsed(&format!("{sign}{zeros}{integer}.{fraction}{tail}")), Ok(plain));
        }

        #[test]
        fn only_the_grammar_is_accepted(text in "[+-]{0,2}[0-9]{0,3}[.,e ]{0,2}[0-9]{0,3}|\\PC{0,8}") {
            let unsigned = text.strip_prefix(['+', '-']).unwrap_or(&text);
            let points = unsigned.chars().filter(|c| *c == '.').count();
            let digits = unsigned.chars().filter(char::is_ascii_digit).count();
            let grammar = points <= 1 && digits >= 1 && points + digits == unsigned.chars().count();
            prop_assert_eq!(parse_decimal(&text, 28, 28).is_ok(), grammar, "{}", text);
        }

        #[test]
        fn limits_are_exact(
            integer in "[1-9][0-9]{0,9}", fraction in "[0-9]{0,9}[1-9]", max in 1..=10_u32, scale in 1..=10_u32,
        ) {
            let fits = integer.len() <= max as usize && fraction.len() <= scale as usize;
            prop_assert_eq!(parse_decimal(&format!("{integer}.{fraction}"), max, scale).is_ok(), fits);
        }

        #[test]
        fn percentages_are_the_nearest(part in any::<i64>(), whole in any::<i64>(), digits in 0..=7_u32) {
            prop_assume!(whole != 0);
            let rounded = percent(part, whole, digits).expect("fits");
            prop_assert_eq!(rounded.scale(), digits);
            // |100 * part / whole - rounded| <= half of the last digit, without dividing.
            let scaled = 100 * i128::from(part) * 10_i128.pow(digits);
            let off = (scaled - rounded.mantissa() * i128::from(whole)).abs();
            prop_assert!(2 * off <= i128::from(whole).abs());
        }
    }
}
