//! What can go wrong in contracts, and the one place that picks codes for it.

use std::fmt;

use otdel_api::leads::deal;
use otdel_runtime::{
    fault::{Explain, Fault},
    violations::Violations,
};
use otdel_types::{ContractId, DealId, OrderId};
use tonic::Code;

use crate::{
    domain::{authority::OwnLimit, contract, line::TooLarge, order},
    rpc::present,
};

/// Why an RPC of contracts does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields are wrong.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// The named contract does not exist, or the caller does not reach it.
    #[error("there is no such contract")]
    NoSuchContract(ContractId),
    /// The named order does not exist, or the caller does not reach it.
    #[error("there is no such order")]
    NoSuchOrder(OrderId),
    /// The deal that an argument names does not exist, or the caller does not reach it.
    #[error("there is no such deal")]
    NoSuchDeal(DealId),
    /// The deal was lost, or was won before a contract was drafted.
    #[error("the deal is no longer open")]
    DealEnded {
        /// The deal.
        deal: DealId,
        /// The deal's state.
        state: deal::State,
    },
    /// A contract does not do what is asked.
    #[error(transparent)]
    Contract(#[from] contract::Refusal),
    /// An order does not do what is asked.
    #[error(transparent)]
    Order(#[from] order::Refusal),
    /// The sums are too large.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// The caller would set what binds the caller.
    #[error(transparent)]
    OwnLimit(#[from] OwnLimit),
    /// A refusal that is the same in every service.
    #[error(transparent)]
    Shared(#[from] Fault),
    /// The database said no.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl Explain for Error {
    fn explain(&self) -> Fault {
        match self {
            Self::Invalid(all) => Fault::fields(all),
            Self::NoSuchContract(id) => Fault::new(Code::NotFound, "CONTRACT_NOT_FOUND", self).with("contract", id),
            Self::NoSuchOrder(id) => Fault::new(Code::NotFound, "ORDER_NOT_FOUND", self).with("order", id),
            Self::NoSuchDeal(id) => Fault::new(Code::FailedPrecondition, "DEAL_NOT_FOUND", self).with("deal", id),
            Self::DealEnded { deal, state } => wrong_state(self, state.as_str_name()).with("deal", deal),
            Self::Contract(refusal) => of_contract(refusal),
            Self::Order(refusal) => of_order(refusal),
            Self::TooLarge(_) => Fault::new(Code::InvalidArgument, "SUM_TOO_LARGE", self),
            Self::OwnLimit(_) => Fault::new(Code::PermissionDenied, "OWN_LIMIT", self),
            Self::Shared(fault) => fault.clone(),
            Self::Database(error) => Fault::database(error),
        }
    }
}

/// The state by its name in the API.
fn wrong_state(text: impl fmt::Display, state: &'static str) -> Fault {
    Fault::new(Code::FailedPrecondition, "WRONG_STATE", text).with("state", state)
}

fn of_contract(refusal: &contract::Refusal) -> Fault {
    use contract::Refusal;
    match refusal {
        Refusal::Stale { current } => Fault::new(Code::Aborted, "STALE_ETAG", refusal).with("etag", current),
        Refusal::WrongState { state, .. } => wrong_state(refusal, present::contract_state(*state).as_str_name()),
        Refusal::DocumentChanged { current } => {
            Fault::new(Code::Aborted, "DOCUMENT_CHANGED", refusal).with("document_hash", current)
        }
        Refusal::NoPerson => Fault::new(Code::PermissionDenied, "NO_PERSON", refusal),
        Refusal::AuthorMayNotApprove => Fault::new(Code::PermissionDenied, "AUTHOR_MAY_NOT_APPROVE", refusal),
        Refusal::AboveLimit { limit, gross } => {
            let limit = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
            Fault::new(Code::PermissionDenied, "ABOVE_LIMIT", refusal).with("limit", limit).with("gross", gross)
        }
    }
}

fn of_order(refusal: &order::Refusal) -> Fault {
    use order::Refusal;
    let refused = |reason| Fault::new(Code::FailedPrecondition, reason, refusal);
    match refusal {
        Refusal::Stale { current } => Fault::new(Code::Aborted, "STALE_ETAG", refusal).with("etag", current),
        Refusal::WrongState { state, .. } => wrong_state(refusal, present::order_state(*state).as_str_name()),
        Refusal::NotSigned { state } => wrong_state(refusal, present::contract_state(*state).as_str_name()),
        Refusal::NotInContract { at } => refused("LINE_NOT_IN_CONTRACT").with("line", format_args!("lines[{at}]")),
        Refusal::AboveContract { left } => refused("ABOVE_CONTRACT").with("left", left),
        Refusal::TooLarge(_) => Fault::new(Code::InvalidArgument, "SUM_TOO_LARGE", refusal),
    }
}

#[cfg(test)]
mod tests {
    use otdel_api::contracts as pb;
    use otdel_types::{Currency, Money};

    use super::*;
    use crate::domain::document::DocumentHash;

    /// One of each, but for those of the runtime.
    fn all() -> Vec<Error> {
        let money = Money { minor: 1, currency: Currency::RUB };
        let mut wrong = Violations::default();
        wrong.add("name", "must be given");
        vec![
            Error::Invalid(wrong),
            Error::NoSuchContract(ContractId::new()),
            Error::NoSuchOrder(OrderId::new()),
            Error::NoSuchDeal(DealId::new()),
            Error::DealEnded { deal: DealId::new(), state: deal::State::Lost },
            contract::Refusal::Stale { current: 2 }.into(),
            contract::Refusal::WrongState { state: contract::State::Review, verb: "signed" }.into(),
            contract::Refusal::DocumentChanged { current: DocumentHash([0; 32]) }.into(),
            contract::Refusal::NoPerson.into(),
            contract::Refusal::AuthorMayNotApprove.into(),
            contract::Refusal::AboveLimit { limit: None, gross: money }.into(),
            order::Refusal::Stale { current: 2 }.into(),
            order::Refusal::WrongState { state: order::State::Cancelled, verb: "confirmed" }.into(),
            order::Refusal::NotSigned { state: contract::State::Draft }.into(),
            order::Refusal::NotInContract { at: 3 }.into(),
            order::Refusal::AboveContract { left: money }.into(),
            order::Refusal::TooLarge(TooLarge).into(),
            Error::TooLarge(TooLarge),
            Error::OwnLimit(OwnLimit),
        ]
    }

    #[test]
    fn every_reason_is_declared() {
        for error in all() {
            let reason = format!("ERROR_REASON_{}", error.explain().reason);
            assert!(pb::ErrorReason::from_str_name(&reason).is_some(), "{reason}");
        }
    }

    #[test]
    fn a_wrong_state_has_the_name_that_the_api_gives_it() {
        let faults = all().iter().map(Explain::explain).collect::<Vec<_>>();
        let states =
            faults.iter().filter(|fault| fault.reason == "WRONG_STATE").map(|fault| fault.metadata["state"].as_str());
        let states: Vec<&str> = states.collect();
        assert_eq!(states, ["STATE_LOST", "STATE_REVIEW", "STATE_CANCELLED", "STATE_DRAFT"]);
    }

    #[test]
    fn what_an_order_may_not_be_is_told() {
        let fault = Error::from(order::Refusal::NotInContract { at: 3 }).explain();
        assert_eq!((fault.code, fault.metadata["line"].as_str()), (Code::FailedPrecondition, "lines[3]"));
        let left = Money { minor: 12_345, currency: Currency::RUB };
        let fault = Error::from(order::Refusal::AboveContract { left }).explain();
        assert_eq!((fault.code, fault.metadata["left"].as_str()), (Code::FailedPrecondition, "123.45 RUB"));
    }
}
