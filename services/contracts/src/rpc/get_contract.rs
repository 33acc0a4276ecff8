use otdel_api::contracts as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::ContractId;

use super::present;
use crate::{Contracts, error::Error, store};

/// Returns a contract that the caller reaches.
pub(super) async fn get_contract(
    app: Contracts,
    call: Call<pb::GetContractRequest>,
) -> Result<pb::GetContractResponse, Error> {
    let mut wrong = Violations::default();
    let id: Option<ContractId> = wrong.name("name", &call.msg.name);
    let Some(id) = id else { return Err(wrong.into()) };

    // Lines of a draft may be replaced between two statements.
    let mut tx = app.core.snapshot().await?;
    let contract = store::contracts::get(&mut tx, call.scope(), id).await?.ok_or(Error::NoSuchContract(id))?;
    tx.commit().await?;
    Ok(pb::GetContractResponse { contract: Some(present::contract(&contract)) })
}
