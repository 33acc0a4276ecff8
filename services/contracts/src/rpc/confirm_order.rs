use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    convert::{money, timestamp},
    idempotency::{self, Keep},
    outbox,
    violations::Violations,
};
use otdel_types::OrderId;

use super::{open_deal::refuse_lost, present, read};
use crate::{Contracts, error::Error, store};

/// Makes an order binding. The event carries all that an invoice is made from.
pub(super) async fn confirm_order(
    app: Contracts,
    call: Call<pb::ConfirmOrderRequest>,
) -> Result<pb::ConfirmOrderResponse, Error> {
    let ask = parse(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let order = store::orders::lock(&mut tx, call.scope(), ask.id).await?.ok_or(Error::NoSuchOrder(ask.id))?;

    order.expect(ask.seen)?;
    refuse_lost(&mut tx, order.deal).await?;
    let order = order.confirm(call.now)?;

    store::orders::save(&mut tx, &order).await?;
    let total = order.lines.total;
    let fact = pb::OrderConfirmed {
        order: order.id.to_string(),
        contract: order.contract.to_string(),
        deal: order.deal.to_string(),
        client: order.client.to_string(),
        lines: order.lines.all.iter().map(present::confirmed_line).collect(),
        net: Some(money(total.net)),
        vat: Some(money(total.vat)),
        gross: Some(money(total.gross)),
        confirm_time: order.confirm_time.map(timestamp),
    };
    let fact = present::about_order(&order, fact).changed(["state", "confirm_time"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::ConfirmOrderResponse { order: Some(present::order(&order)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

fn parse(msg: &pb::ConfirmOrderRequest) -> Result<read::Named<OrderId>, Violations> {
    let mut wrong = Violations::default();
    read::named(&mut wrong, &msg.request_id, &msg.name, &msg.etag).ok_or(wrong)
}
