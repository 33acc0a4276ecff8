use otdel_api::leads as pb;
use otdel_runtime::{call::Call, idempotency, outbox, violations::Violations};
use otdel_types::DealId;

use super::{facts::about_deal, present};
use crate::{
    Leads,
    domain::version,
    error::{Error, Resource},
    store,
};

/// Moves an open deal to the next stage, whose gates must be open (P2).
pub(crate) async fn advance_stage(
    app: Leads,
    call: Call<pb::AdvanceStageRequest>,
) -> Result<pb::AdvanceStageResponse, Error> {
    let ask = AdvanceStage::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let deal = store::deals::lock(&mut tx, call.scope(), ask.deal).await?;
    let deal = deal.ok_or(Error::NotFound(Resource::Deal(ask.deal)))?;
    let pipeline = store::pipelines::of_deal(&mut tx, &deal).await?;

    version::expect(deal.version, ask.seen)?;
    let from = deal.stage.clone();
    let deal = deal.advance(&ask.stage, &pipeline, call.now)?;

    store::deals::save(&mut tx, &deal).await?;
    let fact = pb::DealStageEntered { deal: deal.id.to_string(), from, to: deal.stage.clone() };
    let fact = about_deal(&deal, fact).changed(["stage"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let sight = present::Sight::of(&call.principal);
    let reply = pb::AdvanceStageResponse { deal: Some(present::deal(&deal, sight)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct AdvanceStage {
    deal: DealId,
    seen: Option<i64>,
    stage: String,
}

impl TryFrom<&pb::AdvanceStageRequest> for AdvanceStage {
    type Error = Violations;

    fn try_from(msg: &pb::AdvanceStageRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let deal = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        let stage = wrong.text("stage", &msg.stage, 40);
        match (request, deal, seen, stage) {
            (Some(_), Some(deal), Some(seen), Some(stage)) => Ok(Self { deal, seen, stage }),
            _ => Err(wrong),
        }
    }
}
