use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    idempotency::{self, Keep},
    outbox,
    violations::Violations,
};
use otdel_types::ContractId;

use super::{open_deal::refuse_lost, present, read};
use crate::{
    Contracts,
    domain::{authority, document::DocumentHash},
    error::Error,
    store,
};

/// Approves the content that the caller has read. The limits are read, and kept from changing, in the same transaction.
pub(super) async fn approve_contract(
    app: Contracts,
    call: Call<pb::ApproveContractRequest>,
) -> Result<pb::ApproveContractResponse, Error> {
    let ask = ApproveContract::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let contract = store::contracts::lock(&mut tx, call.scope(), ask.contract.id)
        .await?
        .ok_or(Error::NoSuchContract(ask.contract.id))?;
    let limits = store::approvals::hold_limits(&mut tx, contract.content.lines.currency).await?;
    let limit = authority::largest(&limits, &read::approvers(&call.principal));

    contract.expect(ask.contract.seen)?;
    refuse_lost(&mut tx, contract.content.deal).await?;
    let contract = contract.approve(read::actor(&call.principal), ask.document_hash, limit, call.now)?;

    let version = limit.map(|limit| limit.version).unwrap_or_default();
    store::approvals::insert(&mut tx, &contract, version).await?;
    store::contracts::save(&mut tx, &contract).await?;
    let fact = pb::ContractApproved {
        contract: contract.id.to_string(),
        approver: call.principal.name.clone(),
        document_hash: contract.document_hash.to_string(),
    };
    let fact = present::about_contract(&contract, fact).changed(["approver", "approve_time", "state"]);
    let act = call.act().under(present::limits_version(version));
    let change = outbox::append(&mut tx, &act, fact).await?;
    let reply =
        pb::ApproveContractResponse { contract: Some(present::contract(&contract)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct ApproveContract {
    contract: read::Named<ContractId>,
    document_hash: DocumentHash,
}

impl TryFrom<&pb::ApproveContractRequest> for ApproveContract {
    type Error = Violations;

    fn try_from(msg: &pb::ApproveContractRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let contract = read::named(&mut wrong, &msg.request_id, &msg.name, &msg.etag);
        let document_hash = wrong.take("document_hash", msg.document_hash.parse());
        match (contract, document_hash) {
            (Some(contract), Some(document_hash)) => Ok(Self { contract, document_hash }),
            _ => Err(wrong),
        }
    }
}
