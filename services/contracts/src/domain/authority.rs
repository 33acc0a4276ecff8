//! Who may approve how much.

use chrono::{DateTime, Utc};
use otdel_types::{Money, PersonId};

/// A role that approves contracts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Approver {
    /// The head of a department.
    HeadOfDepartment,
    /// The commercial director.
    CommercialDirector,
}

/// The largest total with VAT that a role may approve in a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The role.
    pub approver: Approver,
    /// The largest total, in the currency that the limit is for.
    pub max_gross: Money,
    /// The version of the limits with which it was set.
    pub version: i64,
    /// When it was set.
    pub set_time: DateTime<Utc>,
}

/// The limit of somebody who holds several roles: the largest. `limits` are those of the contract's currency that hold
/// now. None: these roles approve nothing in it.
pub fn largest(limits: &[Limit], roles: &[Approver]) -> Option<Limit> {
    let own = limits.iter().filter(|limit| roles.contains(&limit.approver));
    own.max_by_key(|limit| limit.max_gross.minor).copied()
}

/// A limit that binds whoever would set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody sets the limit of a role of their own")]
pub struct OwnLimit;

/// Refuses to set the limit of a role that is among the setter's own: a limit that one moves is none.
pub fn refuse_own(approver: Approver, roles: &[Approver]) -> Result<(), OwnLimit> {
    if roles.contains(&approver) { Err(OwnLimit) } else { Ok(()) }
}

/// Who writes or approves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The principal's name.
    pub principal: String,
    /// The person whom the principal stands for. None: a system.
    pub person: Option<PersonId>,
}

impl Actor {
    /// Whether both are one pair of eyes: the same principal, or two principals of the same person.
    pub fn is(&self, other: &Self) -> bool {
        self.principal == other.principal || (self.person.is_some() && self.person == other.person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use otdel_types::Currency;

    fn limit(approver: Approver, minor: i64) -> Limit {
        let max_gross = Money { minor, currency: Currency::RUB };
        Limit { approver, max_gross, version: 1, set_time: DateTime::UNIX_EPOCH }
    }

    #[test]
    fn the_largest_limit_of_the_roles_counts() {
        use Approver::{CommercialDirector, HeadOfDepartment};
        // A director whose limit was set below a head's still approves as much as the head, if both roles are held.
        let limits = [limit(HeadOfDepartment, 100), limit(CommercialDirector, 50)];
        let of = |roles: &[Approver]| largest(&limits, roles).map(|limit| limit.max_gross.minor);
        assert_eq!(of(&[HeadOfDepartment]), Some(100));
        assert_eq!(of(&[CommercialDirector]), Some(50));
        assert_eq!(of(&[HeadOfDepartment, CommercialDirector]), Some(100));
        assert_eq!(of(&[]), None);
        assert_eq!(largest(&[], &[HeadOfDepartment, CommercialDirector]), None);
    }

    #[test]
    fn nobody_sets_the_limit_of_a_role_of_their_own() {
        use Approver::{CommercialDirector, HeadOfDepartment};
        assert_eq!(refuse_own(HeadOfDepartment, &[CommercialDirector]), Ok(()));
        assert_eq!(refuse_own(CommercialDirector, &[]), Ok(()));
        assert_eq!(refuse_own(CommercialDirector, &[CommercialDirector]), Err(OwnLimit));
        assert_eq!(refuse_own(HeadOfDepartment, &[CommercialDirector, HeadOfDepartment]), Err(OwnLimit));
    }

    #[test]
    fn one_person_with_two_principals_is_one_pair_of_eyes() {
        let person = Some(PersonId::new());
        let actor = |principal: &str, person| Actor { principal: principal.into(), person };
        assert!(actor("principals/1", person).is(&actor("principals/2", person)));
        assert!(actor("principals/1", person).is(&actor("principals/1", None)));
        assert!(!actor("principals/1", person).is(&actor("principals/2", Some(PersonId::new()))));
        assert!(!actor("principals/1", None).is(&actor("principals/2", None)));
    }
}
