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

/// Why a key does not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A revoked key is over for good.
    #[error("the key is revoked already")]
    Revoked,
    /// Nobody gives themselves more than they have: what a key of theirs was made for is somebody else's decision.
    #[error("nobody lets a key of their own do more, or for longer")]
    Wider,
}

impl Terms {
    /// Whether they go no further than others: in what may be done, and for how long.
    pub fn are_within(&self, others: &Self) -> bool {
        let all = |terms: &Self| terms.permissions.is_empty();
        let permissions = all(others)
            || (!all(self) && self.permissions.iter().all(|permission| others.permissions.contains(permission)));
        let end = others.expire_time.is_none_or(|end| self.expire_time.is_some_and(|own| own <= end));
        permissions && end && (self.read_only || !others.read_only)
    }
}

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

    /// Changes what the edit names and tells which fields are other than before. Nothing changed: the same version. A key of
    /// `by`, whose edit it is, goes no further after.
    pub fn edit(mut self, edit: Edit, by: &str) -> Result<(Self, Vec<&'static str>), Refusal> {
        if self.revoke_time.is_some() {
            return Err(Refusal::Revoked);
        }
        let (before, mut changed) = (self.terms.clone(), Vec::new());
        put(&mut changed, "display_name", &mut self.terms.display_name, edit.display_name);
        put(&mut changed, "expire_time", &mut self.terms.expire_time, edit.expire_time);
        put(&mut changed, "permissions", &mut self.terms.permissions, edit.permissions);
        put(&mut changed, "read_only", &mut self.terms.read_only, edit.read_only);
        if self.principal.to_string() == by && !self.terms.are_within(&before) {
            return Err(Refusal::Wider);
        }
        self.version += i64::from(!changed.is_empty());
        Ok((self, changed))
    }

    /// Ends it for good.
    pub fn revoke(self, reason: String, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if self.revoke_time.is_some() {
            return Err(Refusal::Revoked);
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
        assert_eq!(revoked.clone().revoke(String::new(), DateTime::UNIX_EPOCH), Err(Refusal::Revoked));
        assert_eq!(revoked.edit(Edit::default(), ""), Err(Refusal::Revoked));
    }

    #[test]
    fn an_edit_changes_what_it_names_and_nothing_else() {
        let end = DateTime::from_timestamp(1_800_000_000, 0);
        let edit = Edit { expire_time: Some(end), display_name: Some("site".into()), ..Edit::default() };
        let (edited, changed) = key().edit(edit.clone(), "").unwrap();
        assert_eq!((changed, edited.version, edited.terms.expire_time), (vec!["expire_time"], 2, end));
        let (again, changed) = edited.clone().edit(edit, "").unwrap();
        assert_eq!((again, changed), (edited.clone(), vec![]));
        let (endless, changed) = edited.edit(Edit { expire_time: Some(None), ..Edit::default() }, "").unwrap();
        assert_eq!((endless.terms.expire_time, changed), (None, vec!["expire_time"]));
    }

    #[test]
    fn nobody_widens_a_key_of_their_own() {
        let end = |seconds| DateTime::from_timestamp(seconds, 0);
        let to = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let limited = || {
            let terms =
                Terms { expire_time: end(9), permissions: to(&["a", "b"]), read_only: true, ..Terms::default() };
            ApiKey { terms, ..key() }
        };
        let own = limited();
        let edits = [
            (Edit { permissions: Some(to(&["b"])), ..Edit::default() }, true),
            (Edit { permissions: Some(to(&["a", "c"])), ..Edit::default() }, false),
            (Edit { permissions: Some(to(&[])), ..Edit::default() }, false),
            (Edit { expire_time: Some(end(8)), ..Edit::default() }, true),
            (Edit { expire_time: Some(end(10)), ..Edit::default() }, false),
            (Edit { expire_time: Some(None), ..Edit::default() }, false),
            (Edit { read_only: Some(false), ..Edit::default() }, false),
            (Edit { display_name: Some("other".into()), ..Edit::default() }, true),
        ];
        for (edit, narrows) in edits {
            let done = own.clone().edit(edit.clone(), &own.principal.to_string());
            assert_eq!(done.is_ok(), narrows, "{edit:?}");
            assert!(own.clone().edit(edit, &PrincipalId::new().to_string()).is_ok(), "another decides");
        }
        let edit =
            Edit { permissions: Some(to(&["a"])), expire_time: Some(end(9)), read_only: Some(true), ..Edit::default() };
        let whole = key();
        assert!(whole.clone().edit(edit, &whole.principal.to_string()).is_ok(), "what has no limits may get some");
    }
}
