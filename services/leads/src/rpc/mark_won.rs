use chrono::{DateTime, Utc};
use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    convert::{money, timestamp},
    idempotency, outbox,
    violations::Violations,
};
use otdel_types::DealId;

use super::{facts::about_deal, present};
use crate::{
    Leads,
    domain::version,
    error::{Error, Resource},
    store,
};

/// Wins a deal at its pipeline's last stage with every gate open, or takes over what was won in another system.
pub(crate) async fn mark_won(app: Leads, call: Call<pb::MarkWonRequest>) -> Result<pb::MarkWonResponse, Error> {
    let ask = MarkWon::parse(&call.msg, call.now)?;
    if ask.win_time.is_some() {
        call.require("deals.import")?;
    }

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let deal = store::deals::lock(&mut tx, call.scope(), ask.deal).await?;
    let deal = deal.ok_or(Error::NotFound(Resource::Deal(ask.deal)))?;
    let pipeline = store::pipelines::of_deal(&mut tx, &deal).await?;

    version::expect(deal.version, ask.seen)?;
    let deal = match ask.win_time {
        Some(win_time) => deal.import_won(win_time, &pipeline, call.now)?,
        None => deal.win(&pipeline, call.now)?,
    };

    store::deals::save(&mut tx, &deal).await?;
    let fact = pb::DealWon {
        deal: deal.id.to_string(),
        win_time: deal.win_time.map(timestamp),
        amount: deal.amount.map(money),
    };
    let fact = about_deal(&deal, fact).changed(["state", "win_time"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let sight = present::Sight::of(&call.principal);
    let reply = pb::MarkWonResponse { deal: Some(present::deal(&deal, sight)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct MarkWon {
    deal: DealId,
    seen: Option<i64>,
    win_time: Option<DateTime<Utc>>,
}

impl MarkWon {
    fn parse(msg: &pb::MarkWonRequest, now: DateTime<Utc>) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let deal = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        let win_time = wrong.optional_instant("win_time", msg.win_time.as_ref());
        if win_time.flatten().is_some_and(|won| won > now) {
            wrong.add("win_time", "must not be in the future");
        }
        match (request, deal, seen, win_time) {
            (Some(_), Some(deal), Some(seen), Some(win_time)) => {
                wrong.into_result().map(|()| Self { deal, seen, win_time })
            }
            _ => Err(wrong),
        }
    }
}
