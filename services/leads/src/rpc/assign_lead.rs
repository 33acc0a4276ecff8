use otdel_api::leads as pb;
use otdel_runtime::{call::Call, idempotency, outbox, violations::Violations};
use otdel_types::{LeadId, PersonId};

use super::{facts, present};
use crate::{
    Leads,
    domain::version,
    error::{Error, Resource},
    store,
};

/// Gives a lead to a manager by hand, with a fresh response clock.
pub(crate) async fn assign_lead(
    app: Leads,
    call: Call<pb::AssignLeadRequest>,
) -> Result<pb::AssignLeadResponse, Error> {
    let ask = AssignLead::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let mut rota = store::people::open_rota(&mut tx).await?;
    let lead = store::leads::lock(&mut tx, call.scope(), ask.lead).await?;
    let lead = lead.ok_or(Error::NotFound(Resource::Lead(ask.lead)))?;
    let to = store::people::get(&mut tx, call.scope(), ask.owner).await?;
    let to = to.ok_or(Error::NoSuch(Resource::Person(ask.owner)))?;
    let policy = store::leads::policy(&mut tx, lead.sla_version).await?;

    version::expect(lead.version, ask.seen)?;
    // Before the rota is asked: a person without room is no reason where nobody could get the lead.
    lead.expect_assignable()?;
    let from = lead.owner.filter(|_| lead.is_held());
    if let Some(from) = from {
        rota.let_go(from);
    }
    let holder = rota.give_to(to.id).ok_or(Error::NoCapacity(to.id))?;
    let lead = lead.assign(holder, &policy, call.now)?;

    store::people::close_rota(&mut tx, &rota).await?;
    store::leads::save(&mut tx, &lead).await?;
    store::leads::add_holders(&mut tx, &[lead.id]).await?;
    let change = outbox::append(&mut tx, &call.act(), facts::lead_assigned(&lead, from)).await?;
    let sight = present::Sight::of(&call.principal);
    let reply = pb::AssignLeadResponse { lead: Some(present::lead(lead, sight)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct AssignLead {
    lead: LeadId,
    owner: PersonId,
    seen: Option<i64>,
}

impl TryFrom<&pb::AssignLeadRequest> for AssignLead {
    type Error = Violations;

    fn try_from(msg: &pb::AssignLeadRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let lead = wrong.name("name", &msg.name);
        let owner = wrong.name("owner", &msg.owner);
        let seen = wrong.etag("etag", &msg.etag);
        match (request, lead, owner, seen) {
            (Some(_), Some(lead), Some(owner), Some(seen)) => Ok(Self { lead, owner, seen }),
            _ => Err(wrong),
        }
    }
}
