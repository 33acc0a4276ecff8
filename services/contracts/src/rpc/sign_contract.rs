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
use crate::{Contracts, error::Error, store};

/// Records that both sides signed. From then on the contract never changes.
pub(super) async fn sign_contract(
    app: Contracts,
    call: Call<pb::SignContractRequest>,
) -> Result<pb::SignContractResponse, Error> {
    let ask = parse(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let contract = store::contracts::lock(&mut tx, call.scope(), ask.id).await?.ok_or(Error::NoSuchContract(ask.id))?;

    contract.expect(ask.seen)?;
    refuse_lost(&mut tx, contract.content.deal).await?;
    let contract = contract.sign(call.now)?;

    store::contracts::save(&mut tx, &contract).await?;
    let fact = pb::ContractSigned {
        contract: contract.id.to_string(),
        deal: contract.content.deal.to_string(),
        client: contract.content.client.to_string(),
        gross: Some(money(contract.gross())),
    };
    let fact = present::about_contract(&contract, fact).changed(["state", "sign_time"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::SignContractResponse { contract: Some(present::contract(&contract)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

fn parse(msg: &pb::SignContractRequest) -> Result<read::Named<ContractId>, Violations> {
    let mut wrong = Violations::default();
    read::named(&mut wrong, &msg.request_id, &msg.name, &msg.etag).ok_or(wrong)
}
