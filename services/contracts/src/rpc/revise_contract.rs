use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    convert::money,
    idempotency::{self, Keep},
    outbox,
    violations::Violations,
};
use otdel_types::ContractId;

use super::{present, read};
use crate::{
    Contracts,
    domain::line::{Lines, Offer},
    error::Error,
    store,
};

/// Replaces the lines of a contract that is not signed. The caller becomes its author, and an approval given before is
/// void.
pub(super) async fn revise_contract(
    app: Contracts,
    call: Call<pb::ReviseContractRequest>,
) -> Result<pb::ReviseContractResponse, Error> {
    let ask = ReviseContract::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let contract = store::contracts::lock(&mut tx, call.scope(), ask.contract.id)
        .await?
        .ok_or(Error::NoSuchContract(ask.contract.id))?;

    contract.expect(ask.contract.seen)?;
    let lines = Lines::price(ask.offers, contract.content.lines.currency)?;
    let contract = contract.revise(lines, read::actor(&call.principal), call.now)?;

    store::contracts::save(&mut tx, &contract).await?;
    store::approvals::void(&mut tx, contract.id, call.now).await?;
    store::lines::remove_from_contract(&mut tx, contract.id).await?;
    store::lines::add_to_contract(&mut tx, contract.id, &contract.content.lines).await?;
    let fact = pb::ContractRevised {
        contract: contract.id.to_string(),
        gross: Some(money(contract.gross())),
        document_hash: contract.document_hash.to_string(),
    };
    let changed = ["lines", "net", "vat", "gross", "document_hash", "author", "approver", "approve_time", "state"];
    let fact = present::about_contract(&contract, fact).changed(changed);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply = pb::ReviseContractResponse { contract: Some(present::contract(&contract)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct ReviseContract {
    contract: read::Named<ContractId>,
    offers: Vec<Offer>,
}

impl TryFrom<&pb::ReviseContractRequest> for ReviseContract {
    type Error = Violations;

    fn try_from(msg: &pb::ReviseContractRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let contract = read::named(&mut wrong, &msg.request_id, &msg.name, &msg.etag);
        let offers = read::lines(&mut wrong, &msg.lines, 1);
        match (contract, offers) {
            (Some(contract), Some(offers)) => Ok(Self { contract, offers }),
            _ => Err(wrong),
        }
    }
}
