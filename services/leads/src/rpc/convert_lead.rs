use chrono::{DateTime, Utc};
use otdel_api::leads as pb;
use otdel_runtime::{call::Call, fault::Fault, idempotency, outbox, violations::Violations};
use otdel_types::{LeadId, PipelineId};
use sqlx::PgConnection;
use tonic::Code;

use super::{facts, present};
use crate::{
    Leads,
    domain::{
        client::Client,
        deal::Deal,
        lead::{Holder, Intake},
        pipeline::Pipeline,
        version,
    },
    error::{Error, Resource},
    store,
};

/// The code of the pipeline that deals go through where the request names none.
const DEFAULT_PIPELINE: &str = "default";

/// Turns a lead into a client and an open deal at the pipeline's first stage (P1). A known phone or e-mail adds the deal
/// to its client.
pub(crate) async fn convert_lead(
    app: Leads,
    call: Call<pb::ConvertLeadRequest>,
) -> Result<pb::ConvertLeadResponse, Error> {
    let ask = ConvertLead::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let lead = store::leads::lock(&mut tx, call.scope(), ask.lead).await?;
    let lead = lead.ok_or(Error::NotFound(Resource::Lead(ask.lead)))?;
    let pipeline = pipeline(&mut tx, ask.pipeline).await?;

    version::expect(lead.version, ask.seen)?;
    let owner = lead.converter()?;
    let (client, is_new) = client_of(&mut tx, &lead.intake, owner, call.now).await?;
    let deal = Deal::open(lead.id, client.id, owner, &pipeline, call.now);
    let lead = lead.convert(client.id, deal.id, call.now)?;

    store::deals::insert(&mut tx, &deal).await?;
    store::leads::save(&mut tx, &lead).await?;
    store::people::let_go(&mut tx, owner.person).await?;
    let act = call.act();
    if is_new {
        outbox::append(&mut tx, &act, facts::client_created(&client, lead.id)).await?;
    }
    outbox::append(&mut tx, &act, facts::lead_converted(&deal)).await?;
    // The last one, so that whoever waits for it has seen the others.
    let change = outbox::append(&mut tx, &act, facts::deal_opened(&deal)).await?;
    let sight = present::Sight::of(&call.principal);
    // The requester may be somebody else's client, whose data the caller does not reach.
    let reached = call.principal.scope("clients.read").reaches(Some(client.owner), Some(client.team));
    let reply = pb::ConvertLeadResponse {
        lead: Some(present::lead(lead, sight)),
        client: Some(present::client(&client, sight.within(reached))),
        deal: Some(present::deal(&deal, sight)),
        change: change.to_string(),
    };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

async fn pipeline(db: &mut PgConnection, asked: Option<PipelineId>) -> Result<Pipeline, Error> {
    match asked {
        Some(id) => store::pipelines::get(db, id).await?.ok_or(Error::NoSuch(Resource::Pipeline(id))),
        None => Ok(store::pipelines::newest(db, DEFAULT_PIPELINE).await?),
    }
}

/// The client that a requester is or becomes, and whether it is new. Of two conversions of one requester at once, one
/// makes the client; the other waits for it at the unique index and finds it then.
async fn client_of(
    db: &mut PgConnection,
    requester: &Intake,
    owner: Holder,
    now: DateTime<Utc>,
) -> Result<(Client, bool), Error> {
    if let Some(known) = store::clients::by_contact(db, &requester.phone, &requester.email).await? {
        return Ok((known, false));
    }
    let new = Client::from_requester(requester, owner, now);
    if store::clients::insert(db, &new).await? {
        return Ok((new, true));
    }
    let known = store::clients::by_contact(db, &requester.phone, &requester.email).await?;
    // It got another phone at the same moment.
    let lost = || Fault::new(Code::Aborted, "CONFLICT", "another call changed the same data").into();
    known.map(|known| (known, false)).ok_or_else(lost)
}

struct ConvertLead {
    lead: LeadId,
    seen: Option<i64>,
    pipeline: Option<PipelineId>,
}

impl TryFrom<&pb::ConvertLeadRequest> for ConvertLead {
    type Error = Violations;

    fn try_from(msg: &pb::ConvertLeadRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let lead = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        let pipeline = wrong.optional_name("pipeline", &msg.pipeline);
        match (request, lead, seen, pipeline) {
            (Some(_), Some(lead), Some(seen), Some(pipeline)) => Ok(Self { lead, seen, pipeline }),
            _ => Err(wrong),
        }
    }
}
