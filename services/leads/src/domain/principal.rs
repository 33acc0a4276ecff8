//! Who may call.

use chrono::{DateTime, Utc};
use otdel_types::{PersonId, PrincipalId, TeamId};

use super::{change::put, pipeline::repeated};

/// The most permissions and the most teams that a principal has, and the most permissions of a key.
pub const MOST_GRANTS: usize = 50;

/// The most calls a second that a principal is promised: more than any gateway takes.
pub const MOST_CALLS: i32 = 1_000_000;

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
    /// How a login or an operator names it, such as `issuer|subject`.
    pub subject: Option<String>,
    /// How many calls a second are taken from it; 0: as many as come; none: as many as from everybody.
    pub calls_per_second: Option<i32>,
}

/// What to change of a principal. None: it stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// What people call it.
    pub display_name: Option<String>,
    /// What it may do, by roles.
    pub roles: Option<Vec<Role>>,
    /// What it may do, permission by permission.
    pub permissions: Option<Vec<String>>,
    /// The teams it heads.
    pub teams: Option<Vec<TeamId>>,
    /// How a login names it, or that none does.
    pub subject: Option<Option<String>>,
    /// How many calls a second are taken from it.
    pub calls_per_second: Option<Option<i32>>,
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

/// The principal is the caller's own. Nobody changes what they may do themselves: whoever administers would lock everybody
/// out by a slip, and a change of rights is always somebody else's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a principal cannot change itself")]
pub struct Own;

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

    /// Takes every right away or gives them back.
    pub fn set_active(self, active: bool, by: &str, now: DateTime<Utc>) -> Result<Self, Own> {
        self.expect_other(by)?;
        Ok(Self { active, version: self.version + 1, update_time: now, ..self })
    }

    /// Changes what the edit names and tells which fields are other than before. Nothing changed: the same version. Whether
    /// the whole is sound, [`Draft::faults`] tells.
    pub fn edit(mut self, edit: Edit, by: &str, now: DateTime<Utc>) -> Result<(Self, Vec<&'static str>), Own> {
        self.expect_other(by)?;
        let (draft, mut changed) = (&mut self.draft, Vec::new());
        put(&mut changed, "display_name", &mut draft.display_name, edit.display_name);
        put(&mut changed, "roles", &mut draft.roles, edit.roles);
        put(&mut changed, "permissions", &mut draft.permissions, edit.permissions);
        put(&mut changed, "teams", &mut draft.teams, edit.teams);
        put(&mut changed, "subject", &mut draft.subject, edit.subject);
        put(&mut changed, "calls_per_second", &mut draft.calls_per_second, edit.calls_per_second);
        if !changed.is_empty() {
            self.version += 1;
            self.update_time = now;
        }
        Ok((self, changed))
    }

    fn expect_other(&self, by: &str) -> Result<(), Own> {
        if self.id.to_string() == by { Err(Own) } else { Ok(()) }
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
    fn nobody_changes_their_own_principal() {
        let principal = Principal::admit(of_person(&[Role::Administrator]), DateTime::UNIX_EPOCH);
        let (own, other) = (principal.id.to_string(), PrincipalId::new().to_string());
        assert_eq!(principal.clone().set_active(false, &own, DateTime::UNIX_EPOCH), Err(Own));
        let edit = Edit { roles: Some(vec![Role::Auditor]), ..Edit::default() };
        assert_eq!(principal.clone().edit(edit.clone(), &own, DateTime::UNIX_EPOCH), Err(Own));
        let (edited, changed) = principal.clone().edit(edit, &other, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!((changed, edited.version), (vec!["roles"], principal.version + 1));
        let disabled = principal.clone().set_active(false, &other, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!((disabled.active, disabled.version), (false, principal.version + 1));
    }
}
