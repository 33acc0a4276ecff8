//! What can go wrong in reporting, and the one place that picks codes for it.

use otdel_runtime::{
    fault::{Explain, Fault},
    violations::Violations,
};

/// Why an RPC of reporting does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Fields are wrong.
    #[error(transparent)]
    Invalid(#[from] Violations),
    /// A refusal that is the same in every service, or one of the following of feeds: a change has not arrived, or a
    /// build differs from the live one.
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
            Self::Shared(fault) => fault.clone(),
            Self::Database(error) => Fault::database(error),
        }
    }
}
