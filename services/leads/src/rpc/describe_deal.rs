use otdel_api::leads as pb;
use otdel_runtime::{call::Call, convert::money, idempotency, outbox, violations::Violations};
use otdel_types::{DealId, Money};

use super::{facts::about_deal, present};
use crate::{
    Leads,
    domain::version,
    error::{Error, Resource},
    store,
};

/// Records what the client needs and how much the deal is worth (I8).
pub(crate) async fn describe_deal(
    app: Leads,
    call: Call<pb::DescribeDealRequest>,
) -> Result<pb::DescribeDealResponse, Error> {
    let ask = DescribeDeal::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let deal = store::deals::lock(&mut tx, call.scope(), ask.deal).await?;
    let deal = deal.ok_or(Error::NotFound(Resource::Deal(ask.deal)))?;

    version::expect(deal.version, ask.seen)?;
    let deal = deal.describe(ask.need, ask.amount, call.now)?;

    store::deals::save(&mut tx, &deal).await?;
    // The need is the client's own words: the event says that it changed, not what it is.
    let fact = pb::DealDescribed { deal: deal.id.to_string(), amount: deal.amount.map(money) };
    let fact = about_deal(&deal, fact).changed(["need", "amount"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let sight = present::Sight::of(&call.principal);
    let reply = pb::DescribeDealResponse { deal: Some(present::deal(&deal, sight)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct DescribeDeal {
    deal: DealId,
    seen: Option<i64>,
    need: String,
    amount: Money,
}

impl TryFrom<&pb::DescribeDealRequest> for DescribeDeal {
    type Error = Violations;

    fn try_from(msg: &pb::DescribeDealRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let deal = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        let need = wrong.text("need", &msg.need, 2_000);
        let amount = wrong.money("amount", msg.amount.as_ref());
        if amount.is_some_and(|amount| amount.minor < 0) {
            wrong.add("amount", "must not be negative");
        }
        match (request, deal, seen, need, amount) {
            (Some(_), Some(deal), Some(seen), Some(need), Some(amount)) => {
                wrong.into_result().map(|()| Self { deal, seen, need, amount })
            }
            _ => Err(wrong),
        }
    }
}
