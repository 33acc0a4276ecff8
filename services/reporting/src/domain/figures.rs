//! The figures of reports that are not plain counts and sums. None of them is a float.

use otdel_types::{mean, percent};
use rust_decimal::Decimal;

/// The digits after the point of rates and means.
const DIGITS: u32 = 4;

/// How many of a number of leads became won deals, in percent. None of no leads.
pub fn rate_percent(won: i64, leads: i64) -> Option<Decimal> {
    percent(won, leads, DIGITS)
}

/// How many days a number of deals took from request to win. Never of no deals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The number of deals.
    pub deals: i64,
    /// Their days together.
    pub sum: i64,
    /// The least.
    pub min: i32,
    /// The most.
    pub max: i32,
    /// The middle one in ascending order; of an even number, the first of the middle two.
    pub lower_middle: i32,
    /// The middle one; of an even number, the second of the middle two.
    pub upper_middle: i32,
    /// How many deals were won before their request was received.
    pub negative: i64,
}

impl Cycle {
    /// The mean, with four digits after the point, half rounded away from zero.
    pub fn mean(&self) -> Option<Decimal> {
        mean(self.sum, self.deals, DIGITS)
    }

    /// The median, which is the mean of the middle two of an even number.
    pub fn median(&self) -> Option<Decimal> {
        mean(i64::from(self.lower_middle) + i64::from(self.upper_middle), 2, 1)
    }
}

#[cfg(test)]
mod tests {
    use otdel_types::decimal_text;
    use proptest::prelude::*;

    use super::*;

    /// The figures of the days, in the way of the store's statement.
    fn cycle(days: &[i32]) -> Cycle {
        let mut days = days.to_vec();
        days.sort_unstable();
        Cycle {
            deals: i64::try_from(days.len()).unwrap(),
            sum: days.iter().copied().map(i64::from).sum(),
            min: days[0],
            max: days[days.len() - 1],
            lower_middle: days[(days.len() - 1) / 2],
            upper_middle: days[days.len() / 2],
            negative: i64::try_from(days.iter().filter(|days| **days < 0).count()).unwrap(),
        }
    }

    fn text(figure: Option<Decimal>) -> String {
        figure.map(|figure| decimal_text(&figure)).unwrap_or_default()
    }

    #[test]
    fn a_rate_has_four_digits_and_no_leads_have_none() {
        assert_eq!(text(rate_percent(842, 8000)), "10.525");
        assert_eq!(text(rate_percent(14, 60)), "23.3333");
        assert_eq!(text(rate_percent(1, 1)), "100");
        assert_eq!(rate_percent(0, 0), None);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(text(cycle(&[3, 1, 2]).median()), "2");
        assert_eq!(text(cycle(&[4, 1, 2, 9]).median()), "3");
        assert_eq!(text(cycle(&[1, 2]).median()), "1.5");
        assert_eq!(text(cycle(&[-2, -1]).median()), "-1.5");
        assert_eq!(text(cycle(&[7]).median()), "7");
    }

    #[test]
    fn means_round_halves_away_from_zero() {
        let days: Vec<i32> = std::iter::once(1).chain(std::iter::repeat_n(0, 31)).collect();
        assert_eq!(text(cycle(&days).mean()), "0.0313");
        assert_eq!(text(cycle(&days.iter().map(|days| -days).collect::<Vec<_>>()).mean()), "-0.0313");
    }

    proptest! {
        #[test]
        fn mean_and_median_lie_between_least_and_most(days in prop::collection::vec(-4_000..4_000_i32, 1..50)) {
            let cycle = cycle(&days);
            let (min, max) = (Decimal::from(cycle.min), Decimal::from(cycle.max));
            for figure in [cycle.mean(), cycle.median()] {
                prop_assert!(figure.is_some_and(|figure| min <= figure && figure <= max));
            }
        }
    }
}
