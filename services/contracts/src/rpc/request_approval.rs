use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    idempotency::{self, Keep},
    outbox,
    violations::Violations,
};
use otdel_types::ContractId;

use super::{open_deal::refuse_lost, present, read};
use crate::{Contracts, error::Error, store};

/// Hands a draft in for approval.
pub(super) async fn request_approval(
    app: Contracts,
    call: Call<pb::RequestApprovalRequest>,
) -> Result<pb::RequestApprovalResponse, Error> {
    let ask = parse(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let contract = store::contracts::lock(&mut tx, call.scope(), ask.id).await?.ok_or(Error::NoSuchContract(ask.id))?;

    contract.expect(ask.seen)?;
    refuse_lost(&mut tx, contract.content.deal).await?;
    let contract = contract.request_approval(call.now)?;

    store::contracts::save(&mut tx, &contract).await?;
    let fact = pb::ApprovalRequested { contract: contract.id.to_string() };
    let fact = present::about_contract(&contract, fact).changed(["state"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply =
        pb::RequestApprovalResponse { contract: Some(present::contract(&contract)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

fn parse(msg: &pb::RequestApprovalRequest) -> Result<read::Named<ContractId>, Violations> {
    let mut wrong = Violations::default();
    read::named(&mut wrong, &msg.request_id, &msg.name, &msg.etag).ok_or(wrong)
}
