use chrono::{DateTime, Utc};
use otdel_api::leads as pb;
use otdel_runtime::{
    auth::{self, only_reads},
    call::Call,
    clock, idempotency,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::PrincipalId;

use super::{grants, present};
use crate::{
    Leads,
    domain::{
        api_key::{ApiKey, Refusal, Terms},
        principal::Principal,
    },
    error::{Error, Resource},
    store,
};

/// How long a SHA-256 is, in bytes.
const DIGEST: usize = 32;

/// Makes an API key from the digest of a secret that only the caller knows.
pub(crate) async fn create_api_key(
    app: Leads,
    call: Call<pb::CreateApiKeyRequest>,
) -> Result<pb::CreateApiKeyResponse, Error> {
    let ask = CreateApiKey::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    expect_to_begin(ask.terms.expire_time)?;
    store::directory::bump(&mut tx).await?;
    let principal = store::principals::get(&mut tx, ask.principal).await?;
    let principal = principal.ok_or(Error::NoSuch(Resource::Principal(ask.principal)))?;
    expect_no_wider(&call, &principal, &ask.terms)?;

    let key = ApiKey::issue(principal.id, ask.secret_digest, ask.terms, call.now);

    if !store::api_keys::insert(&mut tx, &key).await? {
        return Err(Error::SecretReused);
    }
    let fact = pb::ApiKeyCreated { api_key: key.id.to_string(), principal: key.principal.to_string() };
    let fact = Fact::<pb::LeadEvent>::about(key.id, fact).touches(key.principal);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::CreateApiKeyResponse { api_key: Some(present::api_key(&key)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.commit_directory(tx).await?;
    Ok(reply)
}

/// Refuses a key that is over. Only what is asked for the first time: a repeat after the key's end is answered.
pub(super) fn expect_to_begin(end: Option<DateTime<Utc>>) -> Result<(), Violations> {
    let mut wrong = Violations::default();
    // The machine's time, as at the gateway that lets the key in: keys guard against the world outside.
    if end.is_some_and(|end| end <= clock::system_now()) {
        wrong.add("api_key.expire_time", "must be in the future");
    }
    wrong.into_result()
}

/// Refuses a key of the caller's own principal that does more than the one which the caller calls with.
fn expect_no_wider<T>(call: &Call<T>, principal: &Principal, terms: &Terms) -> Result<(), Refusal> {
    let roles = principal.draft.roles.iter().map(|one| present::role(*one)).collect();
    let may = auth::Principal::new(String::new(), None, roles, &principal.draft.permissions, Vec::new());
    let may = if terms.permissions.is_empty() { may } else { may.narrowed(&terms.permissions) };
    let mut may = may.permissions().filter(|permission| !terms.read_only || only_reads(permission));
    if may.all(|permission| call.principal.may(permission)) || principal.id.to_string() != call.principal.name {
        return Ok(());
    }
    Err(Refusal::Wider)
}

struct CreateApiKey {
    principal: PrincipalId,
    secret_digest: Vec<u8>,
    terms: Terms,
}

impl TryFrom<&pb::CreateApiKeyRequest> for CreateApiKey {
    type Error = Violations;

    fn try_from(msg: &pb::CreateApiKeyRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let key = wrong.message("api_key", msg.api_key.as_ref()).cloned().unwrap_or_default();
        let principal = wrong.name("api_key.principal", &key.principal);
        let display_name = wrong.text("api_key.display_name", key.display_name.trim(), 200);
        let expire_time = wrong.optional_instant("api_key.expire_time", key.expire_time.as_ref());
        if msg.secret_digest.len() != DIGEST {
            wrong.add("secret_digest", "must be the 32 bytes of a SHA-256");
        }
        let permissions = grants::permissions_of_key(&mut wrong, "api_key.permissions", &key.permissions);
        match (request, principal, display_name, expire_time) {
            (Some(_), Some(principal), Some(display_name), Some(expire_time)) => wrong.into_result().map(|()| {
                let terms = Terms { display_name, expire_time, permissions, read_only: key.read_only };
                Self { principal, secret_digest: msg.secret_digest.clone(), terms }
            }),
            _ => Err(wrong),
        }
    }
}
