//! The principals that nobody could make by an RPC: the first administrator, and on `otdel up` the development principal.

use chrono::{DateTime, Utc};
use otdel_api::leads as pb;
use otdel_runtime::{
    auth::{PERMISSIONS, grants_of_role},
    call::Act,
    outbox::{self, Fact},
    scope::Reach,
};
use otdel_types::{ApiKeyId, PrincipalId};
use sqlx::{PgConnection, PgPool};

use crate::{
    domain::{
        api_key::{ApiKey, Edit, Terms},
        principal::{Draft, Principal, Role},
    },
    rpc::present,
    store,
};

/// How the development principal is named outside.
const DEVELOPMENT: &str = "development";

/// What the development principal does in the sales department. It lists what its roles do not reach beside them.
const DEVELOPMENT_ROLES: [Role; 4] =
    [Role::Administrator, Role::CommercialDirector, Role::Accountant, Role::LeadManager];

/// The development principal measures and imports as fast as the machine can.
const UNLIMITED: i32 = 0;

/// A key that the operator has made: its public id and the SHA-256 of its secret.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The public id.
    pub id: ApiKeyId,
    /// The SHA-256 of the secret's text.
    pub secret_digest: [u8; 32],
}

impl Key {
    fn is(&self, one: &ApiKey, of: PrincipalId) -> bool {
        (one.id, one.principal) == (self.id, of) && one.secret_digest == self.secret_digest
    }
}

/// Why a principal is not appointed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Whoever administers appoints further administrators.
    #[error("there is an administrator already: further ones are made by CreatePrincipal")]
    AdministratorExists,
    /// Another principal, disabled or without that role, has the subject.
    #[error("another principal has this subject: name another one with --admin")]
    SubjectTaken,
    /// Another key has the id or the secret.
    #[error("another key has this id or this secret: make a new one")]
    KeyTaken,
    /// The key is over for good.
    #[error("the key was revoked: delete its file, so that a new one is made")]
    KeyRevoked,
    /// The database said no.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Makes the first administrator, who is the only one that nobody appointed, and makes it anew where nobody can change
/// principals and keys any more, such as after the last key's end. Refused where somebody can, unless that is this very one
/// with this very key. `subject` is how a login calls it, such as `issuer|subject`; with `key` it may call at once.
pub async fn appoint_administrator(
    db: &PgPool,
    subject: &str,
    display_name: &str,
    key: Option<Key>,
    now: DateTime<Utc>,
) -> Result<PrincipalId, Refusal> {
    let act = act_of("otdel init", now);
    let mut tx = db.begin().await?;
    store::directory::bump(&mut tx).await?;
    let found = store::principals::lock_by_subject(&mut tx, subject).await?;
    let appointed = found.as_ref().filter(|one| one.active && one.draft.roles.contains(&Role::Administrator));
    if store::principals::are_administered(&mut tx, now).await? {
        return match appointed {
            Some(principal) if holds(&mut tx, principal.id, key, now).await? => Ok(principal.id),
            _ => Err(Refusal::AdministratorExists),
        };
    }
    let principal = match (appointed, &found) {
        (Some(principal), _) => principal.id,
        (None, Some(_)) => return Err(Refusal::SubjectTaken),
        (None, None) => {
            let draft = Draft {
                display_name: display_name.into(),
                roles: vec![Role::Administrator],
                subject: Some(subject.into()),
                ..Draft::default()
            };
            admit(&mut tx, &act, draft).await?
        }
    };
    if let Some(key) = key {
        give_key(&mut tx, &act, principal, key).await?;
    }
    tx.commit().await?;
    Ok(principal)
}

/// Whether a principal is let in by this key to do all that it may; where none is asked for, it logs in.
async fn holds(
    db: &mut PgConnection,
    principal: PrincipalId,
    key: Option<Key>,
    now: DateTime<Utc>,
) -> sqlx::Result<bool> {
    let Some(key) = key else { return Ok(true) };
    let live = store::api_keys::live(db).await?;
    let whole = Terms { expire_time: Some(now), ..Terms::default() };
    Ok(live.iter().any(|one| key.is(one, principal) && whole.are_within(&one.terms)))
}

/// Sees to it that the development principal exists, may do everything, and all of it with this key and no other: the key
/// in the data folder is the only one, and an older copy of it ends. For `otdel up` alone, whose data are nobody's business.
/// Where all is so already, nothing is written.
pub async fn ensure_development_principal(db: &PgPool, key: Key, now: DateTime<Utc>) -> Result<PrincipalId, Refusal> {
    let act = act_of("otdel up", now);
    let mut tx = db.begin().await?;
    store::directory::bump(&mut tx).await?;
    let (roles, permissions) = (DEVELOPMENT_ROLES.to_vec(), further_permissions());
    let found = store::principals::lock_by_subject(&mut tx, DEVELOPMENT).await?;
    let is_so = found.as_ref().is_some_and(|one| {
        let draft = &one.draft;
        one.active
            && (&draft.roles, &draft.permissions, draft.calls_per_second) == (&roles, &permissions, Some(UNLIMITED))
    });
    let principal = match found {
        Some(found) if is_so => found.id,
        Some(found) => renew(&mut tx, &act, found, roles, permissions).await?,
        None => {
            let draft = Draft {
                display_name: "Development".into(),
                roles,
                permissions,
                subject: Some(DEVELOPMENT.into()),
                calls_per_second: Some(UNLIMITED),
                ..Draft::default()
            };
            admit(&mut tx, &act, draft).await?
        }
    };
    let has_key = only_key(&mut tx, &act, principal, key).await?;
    if is_so && has_key {
        return Ok(principal);
    }
    tx.commit().await?;
    Ok(principal)
}

fn act_of(command: &str, now: DateTime<Utc>) -> Act {
    Act {
        now,
        due_time: None,
        actor: "operator".into(),
        method: command.into(),
        request_id: String::new(),
        causation: String::new(),
        policy_version: String::new(),
        traceparent: String::new(),
    }
}

/// The permissions that the development principal's roles do not give it over all rows.
fn further_permissions() -> Vec<String> {
    let of_roles = |permission: &str| {
        let grants = DEVELOPMENT_ROLES.iter().flat_map(|role| grants_of_role(present::role(*role)));
        grants.into_iter().any(|(granted, reach)| *granted == permission && *reach == Reach::All)
    };
    PERMISSIONS.iter().filter(|permission| !of_roles(permission)).map(|one| (*one).to_owned()).collect()
}

async fn admit(db: &mut PgConnection, act: &Act, draft: Draft) -> sqlx::Result<PrincipalId> {
    let principal = Principal::admit(draft, act.now);
    store::principals::insert(db, &principal).await?;
    let fact = pb::PrincipalCreated { principal: principal.id.to_string(), person: String::new() };
    outbox::append(db, act, Fact::<pb::LeadEvent>::about(principal.id, fact)).await?;
    Ok(principal.id)
}

/// Gives the development principal what this build says that it has.
async fn renew(
    db: &mut PgConnection,
    act: &Act,
    found: Principal,
    roles: Vec<Role>,
    permissions: Vec<String>,
) -> sqlx::Result<PrincipalId> {
    let found_active = found.active;
    let principal = Principal {
        draft: Draft { roles, permissions, calls_per_second: Some(UNLIMITED), ..found.draft },
        active: true,
        version: found.version + 1,
        update_time: act.now,
        ..found
    };
    store::principals::save(db, &principal).await?;
    let name = principal.id.to_string();
    let fact = pb::PrincipalUpdated { principal: name.clone() };
    let fact = Fact::<pb::LeadEvent>::about(principal.id, fact).changed(["roles", "permissions", "calls_per_second"]);
    outbox::append(db, act, fact).await?;
    if !found_active {
        let fact = pb::PrincipalStateSet { principal: name, active: true };
        outbox::append(db, act, Fact::<pb::LeadEvent>::about(principal.id, fact).changed(["state"])).await?;
    }
    Ok(principal.id)
}

/// Gives a principal this key, with which it may do all that it may, and tells whether it had it already.
async fn give_key(db: &mut PgConnection, act: &Act, principal: PrincipalId, key: Key) -> Result<bool, Refusal> {
    let found = store::api_keys::lock(db, key.id).await?.filter(|one| key.is(one, principal));
    let Some(found) = found else {
        let terms = Terms { display_name: act.method.clone(), ..Terms::default() };
        let key = ApiKey { id: key.id, ..ApiKey::issue(principal, key.secret_digest.to_vec(), terms, act.now) };
        if !store::api_keys::insert(db, &key).await? {
            return Err(Refusal::KeyTaken);
        }
        let fact = pb::ApiKeyCreated { api_key: key.id.to_string(), principal: principal.to_string() };
        outbox::append(db, act, Fact::<pb::LeadEvent>::about(key.id, fact).touches(principal)).await?;
        return Ok(false);
    };
    let whole =
        Edit { expire_time: Some(None), permissions: Some(Vec::new()), read_only: Some(false), ..Edit::default() };
    let (key, changed) = found.edit(whole, &act.actor).map_err(|_| Refusal::KeyRevoked)?;
    if changed.is_empty() {
        return Ok(true);
    }
    store::api_keys::save(db, &key).await?;
    let fact = pb::ApiKeyUpdated { api_key: key.id.to_string(), principal: principal.to_string() };
    outbox::append(db, act, Fact::<pb::LeadEvent>::about(key.id, fact).touches(principal).changed(changed)).await?;
    Ok(false)
}

/// Ends every other key of a principal, gives it this one, and tells whether all was so already.
async fn only_key(db: &mut PgConnection, act: &Act, principal: PrincipalId, key: Key) -> Result<bool, Refusal> {
    let live = store::api_keys::live(db).await?;
    let others: Vec<ApiKey> =
        live.into_iter().filter(|one| one.principal == principal && !key.is(one, principal)).collect();
    for other in &others {
        let reason = "another key lies in the data folder".to_owned();
        let Ok(revoked) = other.clone().revoke(reason, act.now) else { continue };
        store::api_keys::save(db, &revoked).await?;
        let fact = pb::ApiKeyRevoked { api_key: other.id.to_string(), principal: principal.to_string() };
        let fact = Fact::<pb::LeadEvent>::about(other.id, fact).touches(principal).changed(["revoke_time"]);
        outbox::append(db, act, fact).await?;
    }
    Ok(give_key(db, act, principal, key).await? && others.is_empty())
}
