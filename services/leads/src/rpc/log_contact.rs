use otdel_api::leads as pb;
use otdel_runtime::{call::Call, idempotency, outbox, violations::Violations};
use otdel_types::LeadId;

use super::{facts, present};
use crate::{
    Leads,
    domain::{
        lead::{ContactKind, ContactOutcome},
        version,
    },
    error::{Error, Resource},
    store::{self, leads::Contact},
};

/// Records a contact; the first that reached the requester stops the response clock (I3).
pub(crate) async fn log_contact(
    app: Leads,
    call: Call<pb::LogContactRequest>,
) -> Result<pb::LogContactResponse, Error> {
    let ask = LogContact::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let lead = store::leads::lock(&mut tx, call.scope(), ask.lead).await?;
    let lead = lead.ok_or(Error::NotFound(Resource::Lead(ask.lead)))?;
    let policy = store::leads::policy(&mut tx, lead.sla_version).await?;

    version::expect(lead.version, ask.seen)?;
    let before = lead.holder_result;
    let lead = lead.contact(ask.outcome, &policy, call.now)?;

    store::leads::save(&mut tx, &lead).await?;
    let contact = Contact {
        lead: lead.id,
        principal: &call.principal.name,
        kind: ask.kind,
        outcome: ask.outcome,
        note: &ask.note,
        at: call.now,
    };
    store::leads::add_contact(&mut tx, &contact).await?;
    let fact = facts::lead_contacted(&lead, ask.kind, ask.outcome, lead.holder_result != before);
    let change = outbox::append(&mut tx, &call.act().under(present::policy_version(policy.version)), fact).await?;
    let sight = present::Sight::of(&call.principal);
    let reply = pb::LogContactResponse { lead: Some(present::lead(lead, sight)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct LogContact {
    lead: LeadId,
    seen: Option<i64>,
    kind: ContactKind,
    outcome: ContactOutcome,
    note: String,
}

impl TryFrom<&pb::LogContactRequest> for LogContact {
    type Error = Violations;

    fn try_from(msg: &pb::LogContactRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let lead = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        let kind = wrong.choice("kind", msg.kind).and_then(kind);
        let outcome = wrong.choice("outcome", msg.outcome).and_then(outcome);
        let note = wrong.optional_text("note", &msg.note, 2_000);
        match (request, lead, seen, kind, outcome, note) {
            (Some(_), Some(lead), Some(seen), Some(kind), Some(outcome), Some(note)) => {
                Ok(Self { lead, seen, kind, outcome, note })
            }
            _ => Err(wrong),
        }
    }
}

fn kind(kind: pb::ContactKind) -> Option<ContactKind> {
    match kind {
        pb::ContactKind::Unspecified => None,
        pb::ContactKind::Call => Some(ContactKind::Call),
        pb::ContactKind::Email => Some(ContactKind::Email),
        pb::ContactKind::Message => Some(ContactKind::Message),
        pb::ContactKind::Meeting => Some(ContactKind::Meeting),
    }
}

fn outcome(outcome: pb::ContactOutcome) -> Option<ContactOutcome> {
    match outcome {
        pb::ContactOutcome::Unspecified => None,
        pb::ContactOutcome::Reached => Some(ContactOutcome::Reached),
        pb::ContactOutcome::NoAnswer => Some(ContactOutcome::NoAnswer),
    }
}
