use otdel_api::leads as pb;
use otdel_runtime::{call::Call, idempotency, outbox, violations::Violations};
use otdel_types::DealId;

use super::{facts::about_deal, present};
use crate::{
    Leads,
    domain::{
        deal::{Loss, LossReason},
        version,
    },
    error::{Error, Resource},
    store,
};

/// Loses an open deal, with the reason (I10).
pub(crate) async fn close_lost(app: Leads, call: Call<pb::CloseLostRequest>) -> Result<pb::CloseLostResponse, Error> {
    let ask = CloseLost::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let deal = store::deals::lock(&mut tx, call.scope(), ask.deal).await?;
    let deal = deal.ok_or(Error::NotFound(Resource::Deal(ask.deal)))?;

    version::expect(deal.version, ask.seen)?;
    let reason = ask.loss.reason();
    let deal = deal.lose(ask.loss, call.now)?;

    store::deals::save(&mut tx, &deal).await?;
    let fact = pb::DealLost { deal: deal.id.to_string(), reason: present::loss_reason(reason).into() };
    let fact = about_deal(&deal, fact).changed(["state", "lose_time", "loss_reason"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let sight = present::Sight::of(&call.principal);
    let reply = pb::CloseLostResponse { deal: Some(present::deal(&deal, sight)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct CloseLost {
    deal: DealId,
    seen: Option<i64>,
    loss: Loss,
}

impl TryFrom<&pb::CloseLostRequest> for CloseLost {
    type Error = Violations;

    fn try_from(msg: &pb::CloseLostRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let deal = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        let reason = wrong.choice("reason", msg.reason).and_then(reason);
        let competitor = wrong.optional_text("competitor", &msg.competitor, 200);
        let loss = reason.zip(competitor).map(|(reason, competitor)| Loss::new(reason, competitor));
        let loss = loss.and_then(|loss| wrong.take("competitor", loss));
        match (request, deal, seen, loss) {
            (Some(_), Some(deal), Some(seen), Some(loss)) => Ok(Self { deal, seen, loss }),
            _ => Err(wrong),
        }
    }
}

fn reason(reason: pb::LossReason) -> Option<LossReason> {
    match reason {
        pb::LossReason::Unspecified => None,
        pb::LossReason::Price => Some(LossReason::Price),
        pb::LossReason::Competitor => Some(LossReason::Competitor),
        pb::LossReason::NoNeed => Some(LossReason::NoNeed),
        pb::LossReason::NoAnswer => Some(LossReason::NoAnswer),
        pb::LossReason::Other => Some(LossReason::Other),
    }
}
