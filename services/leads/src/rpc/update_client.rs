use std::slice;

use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency, mask,
    outbox::{self, Change, Fact},
    violations::Violations,
};
use otdel_types::ClientId;
use sqlx::PgConnection;

use super::present;
use crate::{
    Leads,
    domain::{
        client::{Changed, Client, Edit},
        contact, version,
    },
    error::{Error, Resource},
    store,
};

/// Changes the fields of a client that the mask names (K1, K2), with old and new values in the field history. Where every
/// field has its value already, nothing is written, and the answer's `change` is the client's last event.
pub(crate) async fn update_client(
    app: Leads,
    call: Call<pb::UpdateClientRequest>,
) -> Result<pb::UpdateClientResponse, Error> {
    let ask = UpdateClient::try_from(&call.msg)?;
    // Whoever reads blanks where the client's data are would write them back.
    call.require("personal.read")?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let client = store::clients::lock(&mut tx, call.scope(), ask.client).await?;
    let client = client.ok_or(Error::NotFound(Resource::Client(ask.client)))?;

    version::expect(client.version, ask.seen)?;
    let (client, changes) = client.edit(ask.edit, call.now)?;

    let change = if changes.is_empty() {
        let name = client.id.to_string();
        outbox::newest_touching(&mut tx, "leads", slice::from_ref(&name), &name).await?
    } else {
        Some(write(&mut tx, &call, &client, &changes).await?)
    };
    let sight = present::Sight::of(&call.principal);
    let change = present::name(change);
    let reply = pb::UpdateClientResponse { client: Some(present::client(&client, sight)), change };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

async fn write(
    db: &mut PgConnection,
    call: &Call<pb::UpdateClientRequest>,
    client: &Client,
    changes: &[Changed],
) -> Result<Change, Error> {
    store::clients::save(db, client).await.map_err(taken)?;
    store::clients::add_history(db, client, changes, &call.principal.name).await?;
    let fact = pb::ClientUpdated { client: client.id.to_string() };
    let fact = Fact::<pb::LeadEvent>::about(client.id, fact).touches(client.owner);
    Ok(outbox::append(db, &call.act(), fact.changed(changes.iter().map(|change| change.field))).await?)
}

/// A phone or an e-mail is one client's. Whose it is, is not told: the caller may not reach that client.
fn taken(error: sqlx::Error) -> Error {
    match () {
        () if store::violates(&error, "client_phone") => Error::ContactTaken("phone"),
        () if store::violates(&error, "client_email") => Error::ContactTaken("email"),
        () => error.into(),
    }
}

struct UpdateClient {
    client: ClientId,
    seen: Option<i64>,
    edit: Edit,
}

impl TryFrom<&pb::UpdateClientRequest> for UpdateClient {
    type Error = Violations;

    fn try_from(msg: &pb::UpdateClientRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let client = wrong.message("client", msg.client.as_ref()).cloned().unwrap_or_default();
        let id = wrong.name("client.name", &client.name);
        let seen = wrong.etag("client.etag", &client.etag);
        let fields = mask::fields(&mut wrong, "update_mask", msg.update_mask.as_ref(), &client);
        let edit = Edit {
            display_name: fields
                .has("display_name")
                .then(|| wrong.text("client.display_name", client.display_name.trim(), 200))
                .flatten(),
            phone: fields.has("phone").then(|| wrong.take("client.phone", contact::phone(&client.phone))).flatten(),
            email: fields.has("email").then(|| wrong.take("client.email", contact::email(&client.email))).flatten(),
        };
        match (request, id, seen) {
            (Some(_), Some(client), Some(seen)) => wrong.into_result().map(|()| Self { client, seen, edit }),
            _ => Err(wrong),
        }
    }
}
