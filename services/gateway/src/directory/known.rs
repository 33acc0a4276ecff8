//! A version of the directory, ready to look keys and logins up in.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use otdel_api::leads as pb;
use otdel_runtime::{
    auth::{Identity, PERMISSIONS, Principal, only_reads},
    violations::Violations,
};
use otdel_types::PrincipalId;
use ring::digest::SHA256_OUTPUT_LEN;
use uuid::Uuid;

/// Everybody who may call, by their keys and by their logins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The directory's version.
    pub(crate) version: i64,
    keys: HashMap<Uuid, KnownKey>,
    logins: HashMap<String, Pass>,
}

/// A key that was not revoked, of a principal that is not disabled.
#[derive(Clone, Debug)]
pub(crate) struct KnownKey {
    /// The SHA-256 of its secret.
    pub(crate) digest: [u8; SHA256_OUTPUT_LEN],
    /// When it ends. None: never.
    pub(crate) expires: Option<DateTime<Utc>>,
    /// What it opens.
    pub(crate) pass: Pass,
}

/// What a key or a login opens: a principal, or some of what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    /// The principal, with what it may do this way.
    pub(crate) principal: Arc<Principal>,
    holder: Arc<Holder>,
    /// No more than these permissions. None: all that the principal has.
    only: Option<Vec<String>>,
}

/// A principal with what the gateway knows beside it.
#[derive(Debug)]
struct Holder {
    principal: Principal,
    /// The permissions that it holds beside its roles'.
    permissions: Vec<String>,
    subject: String,
    calls_per_second: Option<u32>,
}

impl Known {
    /// A key by its public id.
    pub(crate) fn key(&self, id: &Uuid) -> Option<&KnownKey> {
        self.keys.get(id)
    }

    /// What a login opens, by `{issuer}|{subject}`.
    pub(crate) fn login(&self, subject: &str) -> Option<&Pass> {
        self.logins.get(subject)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl Pass {
    fn new(holder: &Arc<Holder>, only: Option<Vec<String>>) -> Self {
        let whole = holder.principal.clone();
        let principal = Arc::new(if let Some(only) = &only { whole.narrowed(only) } else { whole });
        Self { principal, holder: holder.clone(), only }
    }

    /// The internal token that speaks for the principal this way.
    pub(crate) fn mint(&self, identity: &Identity, version: i64) -> String {
        identity.token_for(&self.holder.principal, &self.holder.permissions, self.only.as_deref(), version)
    }

    /// How many calls a second the principal has of its own; 0: as many as come. None: as many as everybody.
    pub(crate) fn calls_per_second(&self) -> Option<u32> {
        self.holder.calls_per_second
    }
}

impl From<pb::WatchDirectoryResponse> for Known {
    /// Entries that cannot be read let nobody in and are logged: one of them must not shut everybody out.
    fn from(sent: pb::WatchDirectoryResponse) -> Self {
        let mut holders = HashMap::new();
        for principal in sent.principals.into_iter().filter(|principal| principal.active) {
            let name = principal.name.clone();
            match Holder::try_from(principal) {
                Ok(holder) => drop(holders.insert(name, Arc::new(holder))),
                Err(wrong) => tracing::warn!(principal = name, %wrong, "principal cannot be read"),
            }
        }
        let by_login = holders.values().filter(|holder| !holder.subject.is_empty());
        let logins = by_login.map(|holder| (holder.subject.clone(), Pass::new(holder, None))).collect();
        let mut keys = HashMap::new();
        for key in sent.keys {
            // A disabled principal's keys are sent too.
            let Some(holder) = holders.get(&key.principal) else { continue };
            let id = key.id.clone();
            match read_key(key, holder) {
                Ok((id, key)) => drop(keys.insert(id, key)),
                Err(wrong) => tracing::warn!(key.id = id, %wrong, "key cannot be read"),
            }
        }
        Self { version: sent.version, keys, logins }
    }
}

impl TryFrom<pb::DirectoryPrincipal> for Holder {
    type Error = Violations;

    fn try_from(sent: pb::DirectoryPrincipal) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let _: Option<PrincipalId> = wrong.name("name", &sent.name);
        let person = wrong.optional_name("person", &sent.person).flatten();
        let teams = sent.teams.iter().filter_map(|team| wrong.name("teams", team)).collect();
        wrong.into_result()?;
        // A role that this build does not know grants nothing.
        let roles = sent.roles().collect();
        Ok(Self {
            principal: Principal::new(sent.name, person, roles, &sent.permissions, teams),
            permissions: sent.permissions,
            subject: sent.subject,
            // Less than none is as little as there is.
            calls_per_second: sent.calls_per_second.map(|calls| u32::try_from(calls).unwrap_or(1)),
        })
    }
}

fn read_key(sent: pb::DirectoryKey, holder: &Arc<Holder>) -> Result<(Uuid, KnownKey), Violations> {
    let mut wrong = Violations::default();
    let only = narrowed_to(sent.permissions, sent.read_only);
    let id = wrong.take("id", Uuid::try_parse(&sent.id));
    let digest = wrong.take("secret_digest", sent.secret_digest.try_into().map_err(|_| "must have 32 bytes"));
    let expires = wrong.optional_instant("expire_time", sent.expire_time.as_ref());
    match (id, digest, expires) {
        (Some(id), Some(digest), Some(expires)) => {
            Ok((id, KnownKey { digest, expires, pass: Pass::new(holder, only) }))
        }
        _ => Err(wrong),
    }
}

/// What a key is narrowed to: what it names, of that what only reads if it is read-only. None: it is not narrowed.
fn narrowed_to(permissions: Vec<String>, read_only: bool) -> Option<Vec<String>> {
    let named = if permissions.is_empty() && read_only {
        PERMISSIONS.iter().map(|permission| (*permission).to_owned()).collect()
    } else {
        permissions
    };
    let only = || named.iter().filter(|permission| !read_only || only_reads(permission)).cloned().collect();
    (!named.is_empty()).then(only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_narrowed_to_what_it_names_and_to_reading() {
        let to =
            |named: &[&str], read_only| narrowed_to(named.iter().map(|one| (*one).to_owned()).collect(), read_only);
        assert_eq!(to(&[], false), None);
        assert_eq!(to(&["leads.submit", "leads.read"], false).unwrap(), ["leads.submit", "leads.read"]);
        assert_eq!(to(&["leads.submit", "leads.read"], true).unwrap(), ["leads.read"]);
        assert_eq!(to(&["leads.submit"], true).unwrap(), [""; 0], "nothing is left, which is not everything");
        let reading = to(&[], true).unwrap();
        assert!(
            reading.contains(&"reports.finance".into()) && !reading.contains(&"leads.submit".into()),
            "{reading:?}"
        );
    }
}
