//! Who may call, and with which keys.

use chrono::{DateTime, Utc};
use otdel_types::{ApiKeyId, PersonId, PrincipalId, TeamId};

use super::pipeline::repeated;

/// The most permissions and the most teams that a principal has.
pub const MOST_GRANTS: usize = 50;

/// What a principal does in the sales department.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Role {
    /// Works their own leads, clients and deals.
    Manager,
    /// Sees all intake.
    LeadManager,
    /// Answers for the teams they head.
    HeadOfDepartment,
    /// Answers for all sales.
    CommercialDirector,
    /// Records payments.
    Accountant,
    /// Reads everything, writes nothing.
    Auditor,
    /// Makes people, principals and keys.
    Administrator,
    /// A system.
    ServiceAccount,
}

/// What is asked for in a new principal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// What people call it.
    pub display_name: String,
    /// The person it stands for.
    pub person: Option<PersonId>,
    /// What it may do, by roles.
    pub roles: Vec<Role>,
    /// What it may do, permission by permission, over all rows.
    pub permissions: Vec<String>,
    /// The teams it heads.
    pub teams: Vec<TeamId>,
}

/// Who may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its id.
    pub id: PrincipalId,
    /// What it is and what it may do.
    pub draft: Draft,
    /// Whether it may call at all.
    pub active: bool,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub create_time: DateTime<Utc>,
    /// When it changed last.
    pub update_time: DateTime<Utc>,
}

/// A key of a principal. Its secret was never here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public id.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub principal: PrincipalId,
    /// What it is for.
    pub display_name: String,
    /// SHA-256 of the secret.
    pub secret_digest: Vec<u8>,
    /// When it ends.
    pub expire_time: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoke_time: Option<DateTime<Utc>>,
    /// When it was made.
    pub create_time: DateTime<Utc>,
}

/// Why a principal or a key does not do what is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The principal is the caller's own.
    #[error("a principal cannot change its own state")]
    Own,
    /// The key is revoked already.
    #[error("the key is revoked already")]
    Revoked,
}

impl Draft {
    /// What is wrong with it: which field, and why.
    pub fn faults(&self) -> Vec<(&'static str, &'static str)> {
        let is_a = |role| self.roles.contains(&role);
        let rules = [
            (repeated(&self.roles).is_some(), "roles", "must name each role once"),
            (self.person.is_some() && self.roles.is_empty(), "roles", "must name a role of the person"),
            (self.person.is_some() && is_a(Role::ServiceAccount), "roles", "must not make a person a service account"),
            (repeated(&self.permissions).is_some(), "permissions", "must name each permission once"),
            // A person's rights follow from roles, which a table in code explains; a list of their own would be read by
            // nobody.
            (self.person.is_some() && !self.permissions.is_empty(), "permissions", "are for systems, not for persons"),
            (self.permissions.len() > MOST_GRANTS, "permissions", "must not be more than 50"),
            (repeated(&self.teams).is_some(), "teams", "must name each team once"),
            (!self.teams.is_empty() && !is_a(Role::HeadOfDepartment), "teams", "are for a head of department"),
            (self.teams.len() > MOST_GRANTS, "teams", "must not be more than 50"),
        ];
        rules.into_iter().filter(|(broken, ..)| *broken).map(|(_, field, text)| (field, text)).collect()
    }
}

impl Principal {
    /// A new principal, which may call at once.
    pub fn admit(draft: Draft, now: DateTime<Utc>) -> Self {
        Self { id: PrincipalId::new(), draft, active: true, version: 1, create_time: now, update_time: now }
    }

    /// Takes every right away or gives them back. Nobody does so to themselves: whoever administers would lock everybody
    /// out by a slip, and a change of rights is always somebody else's decision.
    pub fn set_active(self, active: bool, by: &str, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if self.id.to_string() == by {
            return Err(Refusal::Own);
        }
        Ok(Self { active, version: self.version + 1, update_time: now, ..self })
    }
}

impl ApiKey {
    /// Ends it for good.
    pub fn revoke(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if self.revoke_time.is_some() {
            return Err(Refusal::Revoked);
        }
        Ok(Self { revoke_time: Some(now), ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_person(roles: &[Role]) -> Draft {
        Draft { person: Some(PersonId::new()), roles: roles.to_vec(), ..Draft::default() }
    }

    fn fields(draft: &Draft) -> Vec<&'static str> {
        draft.faults().into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn persons_have_roles_and_systems_have_permissions() {
        assert_eq!(fields(&of_person(&[Role::Manager, Role::Auditor])), [""; 0]);
        assert_eq!(fields(&of_person(&[])), ["roles"]);
        assert_eq!(fields(&of_person(&[Role::ServiceAccount])), ["roles"]);
        let permissions = vec!["events.read".to_owned()];
        let system = Draft { roles: vec![Role::ServiceAccount], permissions: permissions.clone(), ..Draft::default() };
        assert_eq!(fields(&system), [""; 0]);
        assert_eq!(fields(&Draft { permissions, ..of_person(&[Role::Manager]) }), ["permissions"]);
    }

    #[test]
    fn only_a_head_of_department_heads_teams() {
        let teams = vec![TeamId::new()];
        assert_eq!(fields(&Draft { teams: teams.clone(), ..of_person(&[Role::HeadOfDepartment]) }), [""; 0]);
        assert_eq!(fields(&Draft { teams, ..of_person(&[Role::Manager]) }), ["teams"]);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let team = TeamId::new();
        let draft = Draft {
            permissions: vec!["a".into(), "a".into()],
            teams: vec![team, team],
            ..of_person(&[Role::Manager, Role::Manager])
        };
        assert_eq!(fields(&draft), ["roles", "permissions", "permissions", "teams", "teams"]);
    }

    #[test]
    fn nobody_changes_their_own_state() {
        let principal = Principal::admit(of_person(&[Role::Administrator]), DateTime::UNIX_EPOCH);
        let (own, other) = (principal.id.to_string(), PrincipalId::new().to_string());
        assert_eq!(principal.clone().set_active(false, &own, DateTime::UNIX_EPOCH), Err(Refusal::Own));
        let disabled = principal.clone().set_active(false, &other, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!((disabled.active, disabled.version), (false, principal.version + 1));
    }

    #[test]
    fn a_key_ends_once() {
        let key = ApiKey {
            id: ApiKeyId::new(),
            principal: PrincipalId::new(),
            display_name: "site".into(),
            secret_digest: vec![0; 32],
            expire_time: None,
            revoke_time: None,
            create_time: DateTime::UNIX_EPOCH,
        };
        let revoked = key.revoke(DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(revoked.revoke(DateTime::UNIX_EPOCH), Err(Refusal::Revoked));
    }
}
