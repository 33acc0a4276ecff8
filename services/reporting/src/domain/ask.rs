//! What a report is asked for: which leads and deals it counts, and by what.

use std::cmp::Ordering;

use otdel_types::{Month, PersonId, TeamId};

use super::change::Channel;

/// Which leads and deals a report counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The first month.
    pub from: Option<Month>,
    /// The last month; not before the first.
    pub to: Option<Month>,
    /// Only what this manager answers for.
    pub owner: Option<PersonId>,
    /// Only what this team answers for.
    pub team: Option<TeamId>,
}

/// What leads and deals can be counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The month.
    Month,
    /// The origin.
    Origin,
    /// The channel.
    Channel,
}

/// What a report counts by, in the order that was asked for: its rows are in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dimensions(Vec<Dimension>);

impl Dimensions {
    /// Adds a dimension, unless it is there already; then it tells so.
    pub fn add(&mut self, dimension: Dimension) -> bool {
        let is_new = !self.has(dimension);
        if is_new {
            self.0.push(dimension);
        }
        is_new
    }

    /// Whether the report counts by this dimension.
    pub fn has(&self, dimension: Dimension) -> bool {
        self.0.contains(&dimension)
    }

    /// Whether the report has one row for all.
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The order of two rows.
    pub fn compare(&self, one: &Key, other: &Key) -> Ordering {
        let by = |dimension: &Dimension| match dimension {
            Dimension::Month => one.month.cmp(&other.month),
            Dimension::Origin => one.origin.cmp(&other.origin),
            Dimension::Channel => one.channel.map(Channel::name).cmp(&other.channel.map(Channel::name)),
        };
        self.0.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }
}

/// What the rows of a report differ in. A dimension that was not asked for is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// The month.
    pub month: Option<Month>,
    /// The origin.
    pub origin: Option<String>,
    /// The channel.
    pub channel: Option<Channel>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dimension() -> impl Strategy<Value = Dimension> {
        prop::sample::select(vec![Dimension::Month, Dimension::Origin, Dimension::Channel])
    }

    fn key() -> impl Strategy<Value = Key> {
        let channel =
            prop::sample::select(vec![Channel::Phone, Channel::Email, Channel::Social, Channel::Site, Channel::WalkIn]);
        (2025..2027_i32, 1..=12_u32, "[a-c]{1,2}", channel).prop_map(|(year, month, origin, channel)| Key {
            month: Some(Month { year, month }),
            origin: Some(origin),
            channel: Some(channel),
        })
    }

    fn of(dimensions: &[Dimension]) -> Dimensions {
        let mut all = Dimensions::default();
        for dimension in dimensions {
            all.add(*dimension);
        }
        all
    }

    #[test]
    fn a_dimension_is_counted_by_once() {
        let mut dimensions = Dimensions::default();
        assert!(dimensions.are_none());
        assert!(dimensions.add(Dimension::Origin));
        assert!(!dimensions.add(Dimension::Origin));
        assert!(dimensions.has(Dimension::Origin) && !dimensions.has(Dimension::Month));
    }

    #[test]
    fn rows_are_in_the_order_that_was_asked_for() {
        let january = Key { month: Some(Month { year: 2026, month: 1 }), origin: Some("z".into()), channel: None };
        let february = Key { month: Some(Month { year: 2026, month: 2 }), origin: Some("a".into()), channel: None };
        let by = |dimensions: &[Dimension]| of(dimensions).compare(&january, &february);
        assert_eq!(by(&[Dimension::Month, Dimension::Origin]), Ordering::Less);
        assert_eq!(by(&[Dimension::Origin, Dimension::Month]), Ordering::Greater);
        assert_eq!(by(&[]), Ordering::Equal);
    }

    #[test]
    fn channels_are_ordered_by_their_names() {
        let of_channel = |channel| Key { channel: Some(channel), ..Key::default() };
        let order = of(&[Dimension::Channel]).compare(&of_channel(Channel::Phone), &of_channel(Channel::Email));
        assert_eq!(order, Ordering::Greater);
    }

    proptest! {
        #[test]
        fn the_order_is_total(
            dimensions in prop::collection::vec(dimension(), 0..4), one in key(), two in key(), three in key(),
        ) {
            let dimensions = of(&dimensions);
            prop_assert_eq!(dimensions.compare(&one, &two), dimensions.compare(&two, &one).reverse());
            prop_assert_eq!(dimensions.compare(&one, &one), Ordering::Equal);
            if dimensions.compare(&one, &two).is_le() && dimensions.compare(&two, &three).is_le() {
                prop_assert!(dimensions.compare(&one, &three).is_le());
            }
        }
    }
}
