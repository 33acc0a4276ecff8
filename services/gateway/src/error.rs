//! Why the gateway refuses a call of its own.

use otdel_runtime::{
    fault::{Explain, Fault},
    violations::Violations,
};
use otdel_types::{ClientId, DealId};
use tonic::Code;

/// Every way in which an RPC of the gateway's own fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields of the request are wrong.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// Leads knows no such client in the caller's reach.
    #[error("there is no such client, or the caller does not reach it")]
    NoSuchClient(ClientId),
    /// Leads knows no such deal in the caller's reach.
    #[error("there is no such deal, or the caller does not reach it")]
    NoSuchDeal(DealId),
    /// What the runtime refused.
    #[error(transparent)]
    Shared(#[from] Fault),
}

impl Explain for Error {
    fn explain(&self) -> Fault {
        match self {
            Self::Invalid(all) => Fault::fields(all),
            Self::NoSuchClient(client) => Fault::new(Code::NotFound, "CLIENT_NOT_FOUND", self).with("client", client),
            Self::NoSuchDeal(deal) => Fault::new(Code::NotFound, "DEAL_NOT_FOUND", self).with("deal", deal),
            Self::Shared(fault) => fault.clone(),
        }
    }
}
