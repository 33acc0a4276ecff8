//! The people of the sales department and their teams.

use chrono::{DateTime, Utc};
use otdel_types::{PersonId, TeamId};

/// The most open leads that a person can be said to hold.
pub const MOST_CAPACITY: i32 = 100_000;

/// A team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// Its id.
    pub id: TeamId,
    /// What people call it.
    pub display_name: String,
    /// The region it works in, or empty.
    pub region_code: String,
    /// When it was made.
    pub create_time: DateTime<Utc>,
}

/// Somebody who works in the sales department.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Its id.
    pub id: PersonId,
    /// The person's name.
    pub display_name: String,
    /// The team.
    pub team: TeamId,
    /// Whether leads are given to the person now.
    pub on_shift: bool,
    /// How many open leads the person can hold.
    pub capacity: i32,
    /// How many the person holds. It moves with the leads, without a new version.
    pub open_leads: i32,
    /// Grows with every change that somebody made to the person.
    pub version: i64,
    /// When the person was recorded.
    pub create_time: DateTime<Utc>,
    /// When the person was changed last.
    pub update_time: DateTime<Utc>,
}

impl Person {
    /// A new person, off shift.
    pub fn join(display_name: String, team: TeamId, now: DateTime<Utc>) -> Self {
        Self {
            id: PersonId::new(),
            display_name,
            team,
            on_shift: false,
            capacity: 0,
            open_leads: 0,
            version: 1,
            create_time: now,
            update_time: now,
        }
    }

    /// Puts the person on or off shift. What the person holds already stays, even above the new capacity: a lead is
    /// taken away by its deadline or by hand only.
    #[must_use]
    pub fn set_shift(self, on_shift: bool, capacity: i32, now: DateTime<Utc>) -> Self {
        Self { on_shift, capacity, version: self.version + 1, update_time: now, ..self }
    }
}

/// Whether a text can be a region's code: empty, or at most 20 upper-case letters, digits and `-`.
pub fn is_region_code(text: &str) -> bool {
    text.len() <= 20
        && text.bytes().all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_person_gets_nothing_until_put_on_shift() {
        let person = Person::join("Ёлкин".into(), TeamId::new(), DateTime::UNIX_EPOCH);
        assert_eq!((person.on_shift, person.capacity, person.open_leads), (false, 0, 0));
        let held = Person { open_leads: 7, ..person };
        let after = held.clone().set_shift(true, 5, DateTime::UNIX_EPOCH);
        assert_eq!((after.on_shift, after.capacity, after.open_leads), (true, 5, 7));
        assert_eq!(after.version, held.version + 1);
    }

    #[test]
    fn regions_are_coded_in_capitals() {
        for code in ["", "RU-MOW", "7", "ABCDEFGHIJKLMNOPQRST"] {
            assert!(is_region_code(code), "{code}");
        }
        for code in ["ru-mow", "RU MOW", "Ё", "ABCDEFGHIJKLMNOPQRSTU"] {
            assert!(!is_region_code(code), "{code}");
        }
    }
}
