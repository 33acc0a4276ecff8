use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::ApiKeyId;

use super::present;
use crate::{
    Leads,
    error::{Error, Resource},
    store,
};

/// Ends an API key for good.
pub(crate) async fn revoke_api_key(
    app: Leads,
    call: Call<pb::RevokeApiKeyRequest>,
) -> Result<pb::RevokeApiKeyResponse, Error> {
    let (id, reason) = parse(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    store::directory::bump(&mut tx).await?;
    let key = store::api_keys::lock(&mut tx, id).await?.ok_or(Error::NotFound(Resource::ApiKey(id)))?;

    let key = key.revoke(reason, call.now)?;

    store::api_keys::save(&mut tx, &key).await?;
    let fact = pb::ApiKeyRevoked { api_key: key.id.to_string(), principal: key.principal.to_string() };
    let fact =
        Fact::<pb::LeadEvent>::about(key.id, fact).touches(key.principal).changed(["revoke_time", "revoke_reason"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::RevokeApiKeyResponse { api_key: Some(present::api_key(&key)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.commit_directory(tx).await?;
    Ok(reply)
}

fn parse(msg: &pb::RevokeApiKeyRequest) -> Result<(ApiKeyId, String), Violations> {
    let mut wrong = Violations::default();
    let request = wrong.request_id(&msg.request_id);
    let key = wrong.name("name", &msg.name);
    let reason = wrong.optional_text("reason", msg.reason.trim(), 200);
    match (request, key, reason) {
        (Some(_), Some(key), Some(reason)) => Ok((key, reason)),
        _ => Err(wrong),
    }
}
