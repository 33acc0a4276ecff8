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
    /// The digest takes longer than the caller waits.
    #[error("the digest was not computed within the caller's time: call again with a longer deadline")]
    OutOfTime,
    /// The database said no.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Why a digest was not computed.
    pub(crate) fn of_digest(error: sqlx::Error) -> Self {
        const QUERY_CANCELED: &str = "57014";
        match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            Some(QUERY_CANCELED) => Self::OutOfTime,
            _ => Self::Database(error),
        }
    }
}

impl Explain for Error {
    fn explain(&self) -> Fault {
        match self {
            Self::Invalid(all) => Fault::fields(all),
            Self::Shared(fault) => fault.clone(),
            Self::OutOfTime => Fault::unavailable("OUT_OF_TIME", self),
            Self::Database(error) => Fault::database(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use otdel_api::reporting::ErrorReason;
    use tonic::Code;

    use super::*;

    #[test]
    fn a_digest_that_is_given_up_may_be_asked_for_again() {
        let fault = Error::OutOfTime.explain();
        assert_eq!(fault.code, Code::Unavailable);
        assert!(ErrorReason::from_str_name(&format!("ERROR_REASON_{}", fault.reason)).is_some());
    }
}
