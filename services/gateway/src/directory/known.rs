//! A version of the directory, ready to look keys up in.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, Utc};
use otdel_api::leads as pb;
use otdel_runtime::{
    auth::{Identity, Principal},
    violations::Violations,
};
use otdel_types::PrincipalId;
use ring::digest::SHA256_OUTPUT_LEN;
use uuid::Uuid;

/// Everybody who may call, by their keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The directory's version.
    pub(crate) version: i64,
    keys: HashMap<Uuid, KnownKey>,
}

/// A key that was not revoked, of a principal that is not disabled.
#[derive(Clone, Debug)]
pub(crate) struct KnownKey {
    /// The SHA-256 of its secret.
    pub(crate) digest: [u8; SHA256_OUTPUT_LEN],
    /// When it ends. None: never.
    pub(crate) expires: Option<DateTime<Utc>>,
    /// Whose key it is.
    pub(crate) holder: Arc<Holder>,
}

/// A principal with what its token says beside it.
#[derive(Clone, Debug)]
pub(crate) struct Holder {
    /// The principal.
    pub(crate) principal: Arc<Principal>,
    /// The permissions that it holds beside its roles'.
    permissions: Vec<String>,
}

impl Known {
    /// A key by its public id.
    pub(crate) fn key(&self, id: &Uuid) -> Option<&KnownKey> {
        self.keys.get(id)
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl KnownKey {
    /// The internal token that speaks for the key's holder.
    pub(crate) fn mint(&self, identity: &Identity, version: i64) -> String {
        identity.token_for(&self.holder.principal, &self.holder.permissions, version)
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
        Self { version: sent.version, keys }
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
        let principal = Principal::new(sent.name, person, roles, &sent.permissions, teams);
        Ok(Self { principal: Arc::new(principal), permissions: sent.permissions })
    }
}

fn read_key(sent: pb::DirectoryKey, holder: &Arc<Holder>) -> Result<(Uuid, KnownKey), Violations> {
    let mut wrong = Violations::default();
    let id = wrong.take("id", Uuid::try_parse(&sent.id));
    let digest = wrong.take("secret_digest", sent.secret_digest.try_into().map_err(|_| "must have 32 bytes"));
    let expires = wrong.optional_instant("expire_time", sent.expire_time.as_ref());
    match (id, digest, expires) {
        (Some(id), Some(digest), Some(expires)) => Ok((id, KnownKey { digest, expires, holder: holder.clone() })),
        _ => Err(wrong),
    }
}
