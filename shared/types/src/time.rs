//! Dates and months of a time zone. Instants come from the caller: nothing here reads a clock.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// A text that is not the name of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be the IANA name of a time zone, such as Europe/Moscow")]
pub struct BadZone;

/// A text that is not a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a month written as YYYY-MM")]
pub struct BadMonth;

/// A time zone of the IANA database, which decides to which date an instant belongs (A12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Zone(Tz);

impl Zone {
    /// The date on the zone's wall calendar at an instant.
    pub fn date_of(self, instant: DateTime<Utc>) -> NaiveDate {
        let utc = instant.naive_utc();
        let offset = self.0.offset_from_utc_datetime(&utc).fix();
        // Only in the last hours that can be written at all is there no local time.
        utc.checked_add_offset(offset).unwrap_or(utc).date()
    }

    /// The instant at which the zone's clocks show a time; the first of two. None: they never show it, because they go
    /// forward over it.
    pub fn first_instant_of(self, local: NaiveDateTime) -> Option<DateTime<Utc>> {
        self.0.from_local_datetime(&local).earliest().map(|instant| instant.to_utc())
    }
}

impl FromStr for Zone {
    type Err = BadZone;

    fn from_str(name: &str) -> Result<Self, BadZone> {
        name.parse().map(Self).map_err(|_| BadZone)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name())
    }
}

/// A month of a year, written `2026-01`. Months are ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Month {
    /// The year of the common era.
    pub year: i32,
    /// The month of the year, from 1 to 12.
    pub month: u32,
}

impl Month {
    /// The month in which a date lies.
    pub fn of(date: NaiveDate) -> Self {
        Self { year: date.year(), month: date.month() }
    }

    /// The first date of the month; a month that no calendar has gives the last date of all.
    pub fn first_date(self) -> NaiveDate {
        NaiveDate::from_ymd_opt(self.year, self.month, 1).unwrap_or(NaiveDate::MAX)
    }
}

impl FromStr for Month {
    type Err = BadMonth;

    /// Parses `YYYY-MM` of the years 0001 to 9999: four digits, a hyphen, two digits.
    fn from_str(text: &str) -> Result<Self, BadMonth> {
        let (year, month) = text.split_once('-').ok_or(BadMonth)?;
        let digits = year.bytes().chain(month.bytes()).all(|digit| digit.is_ascii_digit());
        if !digits || year.len() != 4 || month.len() != 2 {
            return Err(BadMonth);
        }
        let (year, month) = (year.parse().map_err(|_| BadMonth)?, month.parse().map_err(|_| BadMonth)?);
        if year < 1 || !(1..=12).contains(&month) {
            return Err(BadMonth);
        }
        Ok(Self { year, month })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn zone() -> impl Strategy<Value = Zone> {
        prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()).prop_map(Zone)
    }

    fn named(name: &str) -> Zone {
        name.parse().expect("a zone")
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a date")
    }

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn an_instant_has_the_date_of_the_zone() {
        let late = instant("2025-12-31T21:00:00Z");
        assert_eq!(named("Europe/Moscow").date_of(late), day("2026-01-01"));
        assert_eq!(named("UTC").date_of(late), day("2025-12-31"));
        // Samoa left out 30 December.
        assert_eq!(named("Pacific/Apia").date_of(instant("2011-12-30T09:59:59Z")), day("2011-12-29"));
        assert_eq!(named("Pacific/Apia").date_of(instant("2011-12-30T10:00:00Z")), day("2011-12-31"));
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        for tz in chrono_tz::TZ_VARIANTS {
            let zone = Zone(tz);
            zone.date_of(DateTime::<Utc>::MAX_UTC);
            zone.date_of(DateTime::<Utc>::MIN_UTC);
        }
        for (year, month) in [(i32::MAX, 12), (i32::MIN, 0), (262_143, 12), (2026, 13)] {
            Month { year, month }.first_date();
        }
    }

    #[test]
    fn zones_have_iana_names() {
        assert_eq!(named("Europe/Moscow").to_string(), "Europe/Moscow");
        for name in ["", "MSK", "Moscow", "europe/moscow", "+03:00", "Europe/Moscow ", "../etc/passwd"] {
            assert_eq!(name.parse::<Zone>(), Err(BadZone), "{name}");
        }
    }

    #[test]
    fn months_are_written_in_one_way() {
        assert_eq!("2026-01".parse(), Ok(Month { year: 2026, month: 1 }));
        assert_eq!("0001-12".parse(), Ok(Month { year: 1, month: 12 }));
        let almost = ["2026-1", "2026-13", "2026-00", "0000-01", "26-01", "12026-01", "+026-01", "2026-+1", "-001-01"];
        for text in almost.iter().chain(&["", "-", "2026", "2026-01-01", " 2026-01", "2026-01 ", "2026/01", "٢٠٢٦-01"])
        {
            assert_eq!(text.parse::<Month>(), Err(BadMonth), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_date_is_within_a_day_of_that_of_utc(seconds in -4_000_000_000..8_000_000_000_i64, zone in zone()) {
            let instant = DateTime::from_timestamp(seconds, 0).expect("in range");
            let apart = zone.date_of(instant) - instant.date_naive();
            prop_assert!(apart.num_days().abs() <= 1);
            prop_assert!(zone.date_of(instant + TimeDelta::days(2)) > zone.date_of(instant));
        }

        #[test]
        fn a_month_begins_at_its_first_date(year in 1..=9_999, month in 1..=12_u32) {
            let month = Month { year, month };
            prop_assert_eq!(month.first_date().day(), 1);
            prop_assert_eq!(Month::of(month.first_date()), month);
        }

        #[test]
        fn months_are_read_as_they_were_written(year in 1..=9_999, month in 1..=12_u32) {
            let month = Month { year, month };
            prop_assert_eq!(month.to_string().parse(), Ok(month));
        }

        #[test]
        fn only_months_are_read(text in "[0-9+-]{4}[-/0][0-9+]{1,3}|\\PC{0,8}") {
            if let Ok(month) = text.parse::<Month>() {
                prop_assert_eq!(month.to_string(), text);
            }
        }
    }
}
