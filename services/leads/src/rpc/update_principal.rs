use std::slice;

use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency, mask,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::PrincipalId;

use super::{
    create_principal::{expect_known, taken},
    grants, present,
};
use crate::{
    Leads,
    domain::{
        principal::{Draft, Edit},
        version,
    },
    error::{Error, Resource},
    store,
};

/// Changes the fields of a principal that the mask names; never the caller's own. Where every field has its value already,
/// nothing is written, and the answer's `change` is the principal's last event.
pub(crate) async fn update_principal(
    app: Leads,
    call: Call<pb::UpdatePrincipalRequest>,
) -> Result<pb::UpdatePrincipalResponse, Error> {
    let ask = UpdatePrincipal::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    store::directory::lock(&mut tx).await?;
    let principal = store::principals::lock(&mut tx, ask.principal).await?;
    let principal = principal.ok_or(Error::NotFound(Resource::Principal(ask.principal)))?;

    version::expect(principal.version, ask.seen)?;
    let (principal, changed) = principal.edit(ask.edit, &call.principal.name, call.now)?;
    sound(&principal.draft)?;
    expect_known(&mut tx, None, &principal.draft.teams).await?;

    let change = if changed.is_empty() {
        let name = principal.id.to_string();
        outbox::newest_touching(&mut tx, "leads", slice::from_ref(&name), &name).await?
    } else {
        store::directory::bump(&mut tx).await?;
        store::principals::save(&mut tx, &principal).await.map_err(taken)?;
        let fact = pb::PrincipalUpdated { principal: principal.id.to_string() };
        let fact = Fact::<pb::LeadEvent>::about(principal.id, fact).changed(changed);
        Some(outbox::append(&mut tx, &call.act(), fact).await?)
    };
    let change = present::name(change);
    let reply = pb::UpdatePrincipalResponse { principal: Some(present::principal(&principal)), change };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.commit_directory(tx).await?;
    Ok(reply)
}

/// Whether what was asked for fits to what was there.
fn sound(draft: &Draft) -> Result<(), Violations> {
    let mut wrong = Violations::default();
    grants::expect_sound(&mut wrong, "principal", draft);
    wrong.into_result()
}

struct UpdatePrincipal {
    principal: PrincipalId,
    seen: Option<i64>,
    edit: Edit,
}

impl TryFrom<&pb::UpdatePrincipalRequest> for UpdatePrincipal {
    type Error = Violations;

    fn try_from(msg: &pb::UpdatePrincipalRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let asked = wrong.message("principal", msg.principal.as_ref()).cloned().unwrap_or_default();
        let principal = wrong.name("principal.name", &asked.name);
        let seen = wrong.etag("principal.etag", &asked.etag);
        let fields = mask::fields(&mut wrong, "update_mask", msg.update_mask.as_ref(), &asked);
        // Nobody becomes another. Where the mask does not name it, it is what was read with the rest.
        if msg.update_mask.as_ref().is_some_and(|mask| mask.paths.iter().any(|path| path == "person")) {
            wrong.add("update_mask", "names person, which never changes");
        }
        let edit = Edit {
            display_name: fields
                .has("display_name")
                .then(|| wrong.text("principal.display_name", asked.display_name.trim(), 200))
                .flatten(),
            roles: fields.has("roles").then(|| grants::roles(&mut wrong, "principal.roles", &asked.roles)),
            permissions: fields
                .has("permissions")
                .then(|| grants::permissions(&mut wrong, "principal.permissions", &asked.permissions)),
            teams: fields.has("teams").then(|| grants::teams(&mut wrong, "principal.teams", &asked.teams)),
            subject: fields.has("subject").then(|| grants::subject(&mut wrong, "principal.subject", &asked.subject)),
            calls_per_second: fields
                .has("calls_per_second")
                .then(|| grants::calls(&mut wrong, "principal.calls_per_second", asked.calls_per_second)),
        };
        match (request, principal, seen) {
            (Some(_), Some(principal), Some(seen)) => wrong.into_result().map(|()| Self { principal, seen, edit }),
            _ => Err(wrong),
        }
    }
}
