//! With which keys principals call.

use chrono::{DateTime, Utc};
use otdel_types::{ApiKeyId, PrincipalId};

use super::change::put;

/// What a key is for and how far it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// What it is for.
    pub display_name: String,
    /// When it ends.
    pub expire_time: Option<DateTime<Utc>>,
    /// What may be done with it of what its principal may do. None: all of it.
    pub permissions: Vec<String>,
    /// Whether nothing may be changed with it.
    pub read_only: bool,
}

/// A key of a principal. Its secret was never here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its public id.
    pub id: ApiKeyId,
    /// Whose key it is.
    pub principal: PrincipalId,
    /// SHA-256 of the secret.
    pub secret_digest: Vec<u8>,
    /// What it is for and how far it goes.
    pub terms: Terms,
    /// When it was revoked.
    pub revoke_time: Option<DateTime<Utc>>,
    /// Why it was revoked; empty where nobody said.
    pub revoke_reason: String,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub create_time: DateTime<Utc>,
}

/// What to change of a key. None: it stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// What it is for.
    pub display_name: Option<String>,
    /// When it ends, or that it does not.
    pub expire_time: Option<Option<DateTime<Utc>>>,
    /// What may be done with it.
    pub permissions: Option<Vec<String>>,
    /// Whether nothing may be changed with it.
    pub read_only: Option<bool>,
}

/// A revoked key is over for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is revoked already")]
pub struct Revoked;

impl ApiKey {
    /// A new key, which lets in at once.
    pub fn issue(principal: PrincipalId, secret_digest: Vec<u8>, terms: Terms, now: DateTime<Utc>) -> Self {
        Self {
            id: ApiKeyId::new(),
            principal,
            secret_digest,
            terms,
            revoke_time: None,
            revoke_reason: String::new(),
            version: 1,
            create_time: now,
        }
    }

    /// Changes what the edit names and tells which fields are other than before. Nothing changed: the same version.
    pub fn edit(mut self, edit: Edit) -> Result<(Self, Vec<&'static str>), Revoked> {
        if self.revoke_time.is_some() {
            return Err(Revoked);
        }
        let mut changed = Vec::new();
        put(&mut changed, "display_name", &mut self.terms.display_name, edit.display_name);
        put(&mut changed, "expire_time", &mut self.terms.expire_time, edit.expire_time);
        put(&mut changed, "permissions", &mut self.terms.permissions, edit.permissions);
        put(&mut changed, "read_only", &mut self.terms.read_only, edit.read_only);
        self.version += i64::from(!changed.is_empty());
        Ok((self, changed))
    }

    /// Ends it for good.
    pub fn revoke(self, reason: String, now: DateTime<Utc>) -> Result<Self, Revoked> {
        if self.revoke_time.is_some() {
            return Err(Revoked);
        }
        Ok(Self { revoke_time: Some(now), revoke_reason: reason, version: self.version + 1, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKey {
        let terms = Terms { display_name: "site".into(), ..Terms::default() };
        ApiKey::issue(PrincipalId::new(), vec![0; 32], terms, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn a_key_ends_once_and_never_changes_after() {
        let revoked = key().revoke("lost".into(), DateTime::UNIX_EPOCH).unwrap();
        assert_eq!((revoked.revoke_reason.as_str(), revoked.version), ("lost", 2));
        assert_eq!(revoked.clone().revoke(String::new(), DateTime::UNIX_EPOCH), Err(Revoked));
        assert_eq!(revoked.edit(Edit::default()), Err(Revoked));
    }

    #[test]
    fn an_edit_changes_what_it_names_and_nothing_else() {
        let end = DateTime::from_timestamp(1_800_000_000, 0);
        let edit = Edit { expire_time: Some(end), display_name: Some("site".into()), ..Edit::default() };
        let (edited, changed) = key().edit(edit.clone()).unwrap();
        assert_eq!((changed, edited.version, edited.terms.expire_time), (vec!["expire_time"], 2, end));
        let (again, changed) = edited.clone().edit(edit).unwrap();
        assert_eq!((again, changed), (edited.clone(), vec![]));
        let (endless, changed) = edited.edit(Edit { expire_time: Some(None), ..Edit::default() }).unwrap();
        assert_eq!((endless.terms.expire_time, changed), (None, vec!["expire_time"]));
    }
}
