//! Somebody who buys or may buy (K1, K3).

use chrono::{DateTime, Utc};
use otdel_types::{ClientId, PersonId, TeamId};

use super::lead::{Holder, Intake};

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its id.
    pub id: ClientId,
    /// The client's name.
    pub display_name: String,
    /// `+` and digits, or empty.
    pub phone: String,
    /// The e-mail address, or empty.
    pub email: String,
    /// Who answers for the client.
    pub owner: PersonId,
    /// The owner's team.
    pub team: TeamId,
    /// Grows with every change.
    pub version: i64,
    /// When it was recorded.
    pub create_time: DateTime<Utc>,
    /// When it changed last.
    pub update_time: DateTime<Utc>,
}

/// What to change of a client. None: it stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// The client's name.
    pub display_name: Option<String>,
    /// The phone, normalised; empty takes it away.
    pub phone: Option<String>,
    /// The e-mail address; empty takes it away.
    pub email: Option<String>,
}

/// A field's old and new value, for the field history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The field's name in the API.
    pub field: &'static str,
    /// What it was.
    pub old: String,
    /// What it is.
    pub new: String,
}

/// A client is reached by phone, by e-mail or by both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have a phone or an e-mail")]
pub struct Unreachable;

impl Client {
    /// The client that a lead's requester becomes.
    pub fn from_requester(intake: &Intake, owner: Holder, now: DateTime<Utc>) -> Self {
        Self {
            id: ClientId::new(),
            display_name: intake.display_name.clone(),
            phone: intake.phone.clone(),
            email: intake.email.clone(),
            owner: owner.person,
            team: owner.team,
            version: 1,
            create_time: now,
            update_time: now,
        }
    }

    /// Changes what the edit names and tells which fields are other than before. Nothing changed: the same version.
    pub fn edit(mut self, edit: Edit, now: DateTime<Utc>) -> Result<(Self, Vec<Changed>), Unreachable> {
        let mut changes = Vec::new();
        let mut put = |field, place: &mut String, value: Option<String>| {
            if let Some(new) = value.filter(|new| new != place) {
                let old = std::mem::replace(place, new.clone());
                changes.push(Changed { field, old, new });
            }
        };
        put("display_name", &mut self.display_name, edit.display_name);
        put("phone", &mut self.phone, edit.phone);
        put("email", &mut self.email, edit.email);
        if self.phone.is_empty() && self.email.is_empty() {
            return Err(Unreachable);
        }
        if !changes.is_empty() {
            self.version += 1;
            self.update_time = now;
        }
        Ok((self, changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn client(phone: &str, email: &str) -> Client {
        Client {
            id: ClientId::new(),
            display_name: "Ёлкин".into(),
            phone: phone.into(),
            email: email.into(),
            owner: PersonId::new(),
            team: TeamId::new(),
            version: 3,
            create_time: at(0),
            update_time: at(0),
        }
    }

    #[test]
    fn only_what_is_other_than_before_counts_as_changed() {
        let before = client("+74951234567", "a@b.org");
        let edit = Edit { display_name: Some("Ёлкина".into()), phone: Some("+74951234567".into()), email: None };
        let (after, changes) = before.clone().edit(edit, at(5)).unwrap();
        let changed = Changed { field: "display_name", old: "Ёлкин".into(), new: "Ёлкина".into() };
        assert_eq!(changes, [changed]);
        assert_eq!((after.version, after.update_time), (4, at(5)));
        assert_eq!((after.phone, after.email), (before.phone, before.email));
    }

    #[test]
    fn an_edit_that_changes_nothing_leaves_the_version() {
        let before = client("+74951234567", "");
        let (after, changes) = before.clone().edit(Edit::default(), at(5)).unwrap();
        assert_eq!((after, changes), (before, vec![]));
    }

    #[test]
    fn the_last_way_to_reach_a_client_stays() {
        let none = || Some(String::new());
        let edit = |phone, email| Edit { phone, email, ..Edit::default() };
        assert_eq!(client("+74951234567", "").edit(edit(none(), None), at(1)), Err(Unreachable));
        assert_eq!(client("+74951234567", "a@b.org").edit(edit(none(), none()), at(1)), Err(Unreachable));
        let (after, _) = client("+74951234567", "").edit(edit(none(), Some("a@b.org".into())), at(1)).unwrap();
        assert_eq!((after.phone.as_str(), after.email.as_str()), ("", "a@b.org"));
    }

    proptest! {
        #[test]
        fn the_history_leads_from_the_old_values_to_the_new(
            name in proptest::option::of("[a-c]{0,2}"),
            phone in proptest::option::of("[1-2]{0,1}"),
            email in proptest::option::of("[a-b]{0,1}"),
        ) {
            let before = client("1", "a");
            if let Ok((after, changes)) = before.clone().edit(Edit { display_name: name, phone, email }, at(9)) {
                for (field, old, new) in [
                    ("display_name", &before.display_name, &after.display_name),
                    ("phone", &before.phone, &after.phone),
                    ("email", &before.email, &after.email),
                ] {
                    let of_field: Vec<_> = changes.iter().filter(|change| change.field == field).collect();
                    prop_assert_eq!(of_field.len(), usize::from(old != new));
                    prop_assert!(of_field.iter().all(|change| &change.old == old && &change.new == new));
                }
                prop_assert_eq!(after.version, before.version + i64::from(!changes.is_empty()));
                prop_assert!(!after.phone.is_empty() || !after.email.is_empty());
            }
        }
    }
}
