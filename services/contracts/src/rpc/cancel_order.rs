use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    idempotency::{self, Keep},
    outbox,
    violations::Violations,
};
use otdel_types::OrderId;

use super::{present, read};
use crate::{Contracts, error::Error, store};

/// Cancels an order before it is binding.
pub(super) async fn cancel_order(
    app: Contracts,
    call: Call<pb::CancelOrderRequest>,
) -> Result<pb::CancelOrderResponse, Error> {
    let ask = parse(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let order = store::orders::lock(&mut tx, call.scope(), ask.id).await?.ok_or(Error::NoSuchOrder(ask.id))?;

    order.expect(ask.seen)?;
    let order = order.cancel(call.now)?;

    store::orders::save(&mut tx, &order).await?;
    let fact = pb::OrderCancelled { order: order.id.to_string() };
    let fact = present::about_order(&order, fact).changed(["state"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::CancelOrderResponse { order: Some(present::order(&order)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

fn parse(msg: &pb::CancelOrderRequest) -> Result<read::Named<OrderId>, Violations> {
    let mut wrong = Violations::default();
    read::named(&mut wrong, &msg.request_id, &msg.name, &msg.etag).ok_or(wrong)
}
