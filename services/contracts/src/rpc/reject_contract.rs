use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    idempotency::{self, Keep},
    outbox,
    violations::Violations,
};
use otdel_types::ContractId;

use super::{present, read};
use crate::{
    Contracts,
    error::Error,
    store::{self, approvals::Rejection},
};

/// Sends a contract back to its author, with the reason.
pub(super) async fn reject_contract(
    app: Contracts,
    call: Call<pb::RejectContractRequest>,
) -> Result<pb::RejectContractResponse, Error> {
    let ask = RejectContract::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let contract = store::contracts::lock(&mut tx, call.scope(), ask.contract.id)
        .await?
        .ok_or(Error::NoSuchContract(ask.contract.id))?;

    contract.expect(ask.contract.seen)?;
    let contract = contract.reject(call.now)?;

    store::contracts::save(&mut tx, &contract).await?;
    let rejection = Rejection {
        contract: contract.id,
        document_hash: contract.document_hash,
        principal: &call.principal.name,
        reason: &ask.reason,
        reject_time: call.now,
    };
    store::approvals::reject(&mut tx, &rejection).await?;
    let fact = pb::ContractRejected { contract: contract.id.to_string() };
    let fact = present::about_contract(&contract, fact).changed(["state"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::RejectContractResponse { contract: Some(present::contract(&contract)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct RejectContract {
    contract: read::Named<ContractId>,
    reason: String,
}

impl TryFrom<&pb::RejectContractRequest> for RejectContract {
    type Error = Violations;

    fn try_from(msg: &pb::RejectContractRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let contract = read::named(&mut wrong, &msg.request_id, &msg.name, &msg.etag);
        let reason = wrong.text("reason", &msg.reason, 2_000);
        match (contract, reason) {
            (Some(contract), Some(reason)) => Ok(Self { contract, reason }),
            _ => Err(wrong),
        }
    }
}
