use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    convert::money,
    idempotency::{self, Keep},
    outbox,
    violations::Violations,
};
use otdel_types::ContractId;

use super::{open_deal::refuse_lost, present, read};
use crate::{
    Contracts,
    domain::{line::Offer, order::Order},
    error::Error,
    store,
};

/// Makes an order under a signed contract, of the contract's lines, which is held so that no two orders take the same
/// rest of it.
pub(super) async fn create_order(
    app: Contracts,
    call: Call<pb::CreateOrderRequest>,
) -> Result<pb::CreateOrderResponse, Error> {
    let ask = CreateOrder::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let contract = store::contracts::lock(&mut tx, call.scope(), ask.contract).await?;
    let contract = contract.ok_or(Error::NoSuchContract(ask.contract))?;
    let ordered = store::orders::ordered(&mut tx, contract.id).await?;

    refuse_lost(&mut tx, contract.content.deal).await?;
    let order = Order::create(&contract, ordered, ask.offers, call.now)?;

    store::orders::insert(&mut tx, &order).await?;
    let fact = pb::OrderCreated {
        order: order.id.to_string(),
        contract: order.contract.to_string(),
        deal: order.deal.to_string(),
        client: order.client.to_string(),
        gross: Some(money(order.lines.total.gross)),
    };
    let change = outbox::append(&mut tx, &call.act(), present::about_order(&order, fact)).await?;
    let reply = pb::CreateOrderResponse { order: Some(present::order(&order)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct CreateOrder {
    contract: ContractId,
    offers: Vec<Offer>,
}

impl TryFrom<&pb::CreateOrderRequest> for CreateOrder {
    type Error = Violations;

    fn try_from(msg: &pb::CreateOrderRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let contract = wrong.name("contract", &msg.contract);
        let offers = read::lines(&mut wrong, &msg.lines, 0);
        match (request, contract, offers) {
            (Some(_), Some(contract), Some(offers)) => Ok(Self { contract, offers }),
            _ => Err(wrong),
        }
    }
}
