use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::PrincipalId;

use super::present;
use crate::{
    Leads,
    domain::version,
    error::{Error, Resource},
    store,
};

/// Takes every right from a principal, or gives them back; never from or to the caller's own.
pub(crate) async fn set_principal_state(
    app: Leads,
    call: Call<pb::SetPrincipalStateRequest>,
) -> Result<pb::SetPrincipalStateResponse, Error> {
    let ask = SetPrincipalState::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    store::directory::bump(&mut tx).await?;
    let principal = store::principals::lock(&mut tx, ask.principal).await?;
    let principal = principal.ok_or(Error::NotFound(Resource::Principal(ask.principal)))?;

    version::expect(principal.version, ask.seen)?;
    let principal = principal.set_active(ask.active, &call.principal.name, call.now)?;

    store::principals::save(&mut tx, &principal).await?;
    let fact = pb::PrincipalStateSet { principal: principal.id.to_string(), active: principal.active };
    let fact = Fact::<pb::LeadEvent>::about(principal.id, fact).changed(["state"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply =
        pb::SetPrincipalStateResponse { principal: Some(present::principal(&principal)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.commit_directory(tx).await?;
    Ok(reply)
}

struct SetPrincipalState {
    principal: PrincipalId,
    seen: Option<i64>,
    active: bool,
}

impl TryFrom<&pb::SetPrincipalStateRequest> for SetPrincipalState {
    type Error = Violations;

    fn try_from(msg: &pb::SetPrincipalStateRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let principal = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        let state: Option<pb::principal::State> = wrong.choice("state", msg.state);
        match (request, principal, seen, state) {
            (Some(_), Some(principal), Some(seen), Some(state)) => {
                Ok(Self { principal, seen, active: state == pb::principal::State::Active })
            }
            _ => Err(wrong),
        }
    }
}
