use std::collections::BTreeMap;

use otdel_api::leads::Role;
use otdel_types::{PersonId, TeamId};

use super::roles;
use crate::scope::{Reach, Scope};

/// The services, which are also principals of their own: `service:billing`.
pub const SERVICES: [&str; 5] = ["leads", "contracts", "billing", "reporting", "gateway"];

/// Who calls, and what the caller may do.
#[derive(Clone, Debug)]
pub struct Principal {
    /// `principals/{uuid}`, or `service:{name}` for a service acting as itself.
    pub name: String,
    /// The person it stands for.
    pub person: Option<PersonId>,
    /// Its roles, for limits of authority.
    pub roles: Vec<Role>,
    /// The teams it heads.
    pub teams: Vec<TeamId>,
    grants: BTreeMap<String, Reach>,
}

impl Principal {
    /// A person or a system with its roles, permissions of its own and the teams it heads. Where several roles grant a
    /// permission, the widest reach counts.
    pub fn new(
        name: String,
        person: Option<PersonId>,
        roles: Vec<Role>,
        permissions: &[String],
        teams: Vec<TeamId>,
    ) -> Self {
        let mut grants: BTreeMap<String, Reach> = BTreeMap::new();
        let of_roles = roles.iter().flat_map(|role| roles::grants_of_role(*role).iter().copied());
        let own = permissions.iter().map(|permission| (permission.as_str(), Reach::All));
        for (permission, reach) in of_roles.chain(own) {
            let widest = grants.entry(permission.to_owned()).or_insert(reach);
            *widest = (*widest).max(reach);
        }
        Self { name, person, roles, teams, grants }
    }

    /// A service acting as itself.
    pub fn service(service: &str) -> Self {
        let grants = roles::grants_of_service(service).iter().map(|name| ((*name).to_owned(), Reach::All)).collect();
        Self { name: format!("service:{service}"), person: None, roles: Vec::new(), teams: Vec::new(), grants }
    }

    /// The same caller with no more than these permissions of those it has, as a key of it that is scoped grants. What
    /// every caller may, stays.
    #[must_use]
    pub fn narrowed(mut self, to: &[String]) -> Self {
        self.grants.retain(|permission, _| permission == roles::OF_EVERYBODY || to.contains(permission));
        self
    }

    /// The service that acts as itself, if it is one.
    pub fn as_service(&self) -> Option<&str> {
        self.name.strip_prefix("service:")
    }

    /// Whether a permission is granted, whatever its reach.
    pub fn may(&self, permission: &str) -> bool {
        self.grants.contains_key(permission)
    }

    /// How far a permission reaches, if it is granted.
    pub fn reach(&self, permission: &str) -> Option<Reach> {
        self.grants.get(permission).copied()
    }

    /// The rows that a permission reaches; none where it is not granted.
    pub fn scope(&self, permission: &str) -> Scope {
        self.reach(permission).map_or_else(Scope::nothing, |reach| Scope::of(reach, self.person, &self.teams))
    }

    /// The permissions, in alphabetical order.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        self.grants.keys().map(String::as_str)
    }
}
