use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::LeadId;

use super::present;
use crate::{
    Leads,
    domain::{lead::CloseReason, version},
    error::{Error, Resource},
    store,
};

/// Closes a lead that will not become a deal.
pub(crate) async fn close_lead(app: Leads, call: Call<pb::CloseLeadRequest>) -> Result<pb::CloseLeadResponse, Error> {
    let ask = CloseLead::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let lead = store::leads::lock(&mut tx, call.scope(), ask.lead).await?;
    let lead = lead.ok_or(Error::NotFound(Resource::Lead(ask.lead)))?;

    version::expect(lead.version, ask.seen)?;
    let holder = lead.owner.filter(|_| lead.is_held());
    let lead = lead.close(ask.reason, call.now)?;

    store::leads::save(&mut tx, &lead).await?;
    if let Some(holder) = holder {
        store::people::let_go(&mut tx, holder).await?;
    }
    let fact = pb::LeadClosed { lead: lead.id.to_string(), reason: present::close_reason(ask.reason).into() };
    let fact = Fact::<pb::LeadEvent>::about(lead.id, fact).touches(present::name(lead.owner));
    let change = outbox::append(&mut tx, &call.act(), fact.changed(["state", "respond_by_time"])).await?;
    let sight = present::Sight::of(&call.principal);
    let reply = pb::CloseLeadResponse { lead: Some(present::lead(lead, sight)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct CloseLead {
    lead: LeadId,
    seen: Option<i64>,
    reason: CloseReason,
}

impl TryFrom<&pb::CloseLeadRequest> for CloseLead {
    type Error = Violations;

    fn try_from(msg: &pb::CloseLeadRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let lead = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        let reason = wrong.choice("reason", msg.reason).and_then(reason);
        match (request, lead, seen, reason) {
            (Some(_), Some(lead), Some(seen), Some(reason)) => Ok(Self { lead, seen, reason }),
            _ => Err(wrong),
        }
    }
}

fn reason(reason: pb::CloseReason) -> Option<CloseReason> {
    match reason {
        pb::CloseReason::Unspecified => None,
        pb::CloseReason::Spam => Some(CloseReason::Spam),
        pb::CloseReason::Duplicate => Some(CloseReason::Duplicate),
        pb::CloseReason::NoInterest => Some(CloseReason::NoInterest),
        pb::CloseReason::NotOffered => Some(CloseReason::NotOffered),
    }
}
