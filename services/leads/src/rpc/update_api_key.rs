use std::slice;

use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency, mask,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::ApiKeyId;

use super::{create_api_key::expect_to_begin, grants, present};
use crate::{
    Leads,
    domain::{api_key::Edit, version},
    error::{Error, Resource},
    store,
};

/// Changes the fields of an API key that the mask names. Where every field has its value already, nothing is written, and
/// the answer's `change` is the key's last event.
pub(crate) async fn update_api_key(
    app: Leads,
    call: Call<pb::UpdateApiKeyRequest>,
) -> Result<pb::UpdateApiKeyResponse, Error> {
    let ask = UpdateApiKey::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    expect_to_begin(ask.edit.expire_time.flatten())?;
    store::directory::lock(&mut tx).await?;
    let key = store::api_keys::lock(&mut tx, ask.key).await?.ok_or(Error::NotFound(Resource::ApiKey(ask.key)))?;

    version::expect(key.version, ask.seen)?;
    let (key, changed) = key.edit(ask.edit, &call.principal.name)?;

    let change = if changed.is_empty() {
        let name = key.id.to_string();
        outbox::newest_touching(&mut tx, "leads", slice::from_ref(&name), &name).await?
    } else {
        store::directory::bump(&mut tx).await?;
        store::api_keys::save(&mut tx, &key).await?;
        let fact = pb::ApiKeyUpdated { api_key: key.id.to_string(), principal: key.principal.to_string() };
        let fact = Fact::<pb::LeadEvent>::about(key.id, fact).touches(key.principal).changed(changed);
        Some(outbox::append(&mut tx, &call.act(), fact).await?)
    };
    let change = present::name(change);
    let reply = pb::UpdateApiKeyResponse { api_key: Some(present::api_key(&key)), change };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.commit_directory(tx).await?;
    Ok(reply)
}

struct UpdateApiKey {
    key: ApiKeyId,
    seen: Option<i64>,
    edit: Edit,
}

impl TryFrom<&pb::UpdateApiKeyRequest> for UpdateApiKey {
    type Error = Violations;

    fn try_from(msg: &pb::UpdateApiKeyRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let asked = wrong.message("api_key", msg.api_key.as_ref()).cloned().unwrap_or_default();
        let key = wrong.name("api_key.name", &asked.name);
        let seen = wrong.etag("api_key.etag", &asked.etag);
        let fields = mask::fields(&mut wrong, "update_mask", msg.update_mask.as_ref(), &asked);
        let edit = Edit {
            display_name: fields
                .has("display_name")
                .then(|| wrong.text("api_key.display_name", asked.display_name.trim(), 200))
                .flatten(),
            expire_time: fields
                .has("expire_time")
                .then(|| wrong.optional_instant("api_key.expire_time", asked.expire_time.as_ref()))
                .flatten(),
            permissions: fields
                .has("permissions")
                .then(|| grants::permissions_of_key(&mut wrong, "api_key.permissions", &asked.permissions)),
            read_only: fields.has("read_only").then_some(asked.read_only),
        };
        match (request, key, seen) {
            (Some(_), Some(key), Some(seen)) => wrong.into_result().map(|()| Self { key, seen, edit }),
            _ => Err(wrong),
        }
    }
}
