//! The one place that rounds.

/// Divides and rounds to the nearest whole number, halves away from zero. None for a zero divisor or an overflow.
pub(crate) fn div_half_away(dividend: i128, divisor: i128) -> Option<i128> {
    let quotient = dividend.checked_div(divisor)?;
    let rest = dividend.checked_rem(divisor)?.unsigned_abs();
    // The rest is compared with what it lacks, because twice the rest may overflow.
    let lack = divisor.unsigned_abs().checked_sub(rest)?;
    if rest < lack {
        return Some(quotient);
    }
    quotient.checked_add(if (dividend < 0) == (divisor < 0) { 1 } else { -1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::div_half_away;

    #[test]
    fn halves_go_away_from_zero() {
        let cases = [(1, 2, 1), (-1, 2, -1), (1, -2, -1), (3, 2, 2), (5, 2, 3), (-5, -2, 3), (1, 3, 0), (-2, 3, -1)];
        for (dividend, divisor, rounded) in cases {
            assert_eq!(div_half_away(dividend, divisor), Some(rounded), "{dividend} / {divisor}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_none() {
        assert_eq!(div_half_away(1, 0), None);
        assert_eq!(div_half_away(i128::MIN, -1), None);
        assert_eq!(div_half_away(i128::MAX, i128::MIN), Some(-1));
        assert_eq!(div_half_away(i128::MIN, 1), Some(i128::MIN));
    }

    proptest! {
        #[test]
        fn the_nearest_is_taken(dividend in any::<i64>(), divisor in prop_oneof![-20_i64..0, 1..20_i64, any::<i64>()]) {
            prop_assume!(divisor != 0);
            let (dividend, divisor) = (i128::from(dividend), i128::from(divisor));
            let product = div_half_away(dividend, divisor).expect("not by zero") * divisor;
            let twice_off = 2 * (dividend - product).abs();
            prop_assert!(twice_off <= divisor.abs());
            prop_assert!(twice_off < divisor.abs() || product.abs() > dividend.abs());
        }

        #[test]
        fn no_operands_panic(dividend in any::<i128>(), divisor in any::<i128>()) {
            let computable = divisor != 0 && (dividend, divisor) != (i128::MIN, -1);
            prop_assert_eq!(div_half_away(dividend, divisor).is_some(), computable);
        }
    }
}
