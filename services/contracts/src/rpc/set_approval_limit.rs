use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    convert::money,
    idempotency::{self, Keep},
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::Money;

use super::{present, read};
use crate::{
    Contracts,
    domain::authority::{self, Approver, Limit},
    error::Error,
    store,
};

/// Sets what a role may approve in a currency. Approvals that are under way are finished under the limit before.
pub(super) async fn set_approval_limit(
    app: Contracts,
    call: Call<pb::SetApprovalLimitRequest>,
) -> Result<pb::SetApprovalLimitResponse, Error> {
    let ask = SetApprovalLimit::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    authority::refuse_own(ask.approver, &read::approvers(&call.principal))?;
    let version = store::approvals::next_limits(&mut tx).await?;
    let limit = Limit { approver: ask.approver, max_gross: ask.max_gross, version, set_time: call.now };

    store::approvals::set_limit(&mut tx, &limit, &call.principal.name).await?;
    let fact = pb::ApprovalLimitSet {
        approver: present::approver(limit.approver).into(),
        max_gross: Some(money(limit.max_gross)),
    };
    let fact = Fact::<pb::ContractEvent>::about(present::limits_version(version), fact).changed(["max_gross"]);
    let change = outbox::append(&mut tx, &call.act(), fact).await?;
    let reply =
        pb::SetApprovalLimitResponse { approval_limit: Some(present::limit(&limit)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct SetApprovalLimit {
    approver: Approver,
    max_gross: Money,
}

impl TryFrom<&pb::SetApprovalLimitRequest> for SetApprovalLimit {
    type Error = Violations;

    fn try_from(msg: &pb::SetApprovalLimitRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let limit = wrong.message("approval_limit", msg.approval_limit.as_ref()).cloned();
        let Some(limit) = limit else { return Err(wrong) };
        let approver = wrong.choice("approval_limit.approver", limit.approver).and_then(approver);
        let max_gross = wrong.money("approval_limit.max_gross", limit.max_gross.as_ref());
        if max_gross.is_some_and(Money::is_negative) {
            wrong.add("approval_limit.max_gross", "must not be negative");
            return Err(wrong);
        }
        match (request, approver, max_gross) {
            (Some(_), Some(approver), Some(max_gross)) => Ok(Self { approver, max_gross }),
            _ => Err(wrong),
        }
    }
}

fn approver(approver: pb::Approver) -> Option<Approver> {
    match approver {
        pb::Approver::Unspecified => None,
        pb::Approver::HeadOfDepartment => Some(Approver::HeadOfDepartment),
        pb::Approver::CommercialDirector => Some(Approver::CommercialDirector),
    }
}
