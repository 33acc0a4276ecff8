//! What a refused call is answered with.

use std::{collections::HashMap, error::Error as StdError, fmt, sync::Arc, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::violations::Violations;

/// Turns a service's error into what the caller is told. Implemented once per service, by a `match` without `_`, so that
/// one place picks every code.
pub trait Explain: StdError + Send + Sync + 'static {
    /// The code, reason, text and metadata for this error.
    fn explain(&self) -> Fault;
}

/// The longest sentence of a refusal, in bytes. It stands in two headers, and may repeat what the caller wrote.
const LONGEST_TEXT: usize = 512;

/// A refusal as the caller sees it: a code, a stable reason, a sentence and what the reason needs to be acted upon.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The gRPC code.
    pub code: Code,
    /// The stable reason, a value of the service's `ErrorReason` without its prefix.
    pub reason: &'static str,
    /// A sentence for people. It carries no personal data and is never branched on.
    pub text: String,
    /// What the reason's comment in the proto promises.
    pub metadata: HashMap<String, String>,
    /// Wrong fields, as many as a refusal tells.
    pub violations: Violations,
    /// Unfulfilled preconditions, all of them: what, and why.
    pub preconditions: Vec<(String, String)>,
    /// Quotas that are used up: whose, and which.
    pub quotas: Vec<(String, String)>,
    /// When it makes sense to try again.
    pub retry_after: Option<Duration>,
    /// What lies behind it; for the log, never for the caller.
    pub cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Fault {
    /// A refusal with a code, a reason and a sentence.
    pub fn new(code: Code, reason: &'static str, text: impl fmt::Display) -> Self {
        Self {
            code,
            reason,
            text: text.to_string(),
            metadata: HashMap::new(),
            violations: Violations::default(),
            preconditions: Vec::new(),
            quotas: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// `INVALID_ARGUMENT` with every wrong field, or with the first ones and metadata `left_out`, the number of the rest.
    pub fn fields(violations: &Violations) -> Self {
        let mut fault = Self::new(Code::InvalidArgument, "INVALID_FIELDS", violations);
        let (told, left_out) = violations.told();
        fault.violations = Violations(told.to_vec());
        if left_out == 0 { fault } else { fault.with("left_out", left_out) }
    }

    /// UNAVAILABLE: nothing happened, or it is not known whether it did; the same request may be sent again at once.
    pub fn unavailable(reason: &'static str, text: impl fmt::Display) -> Self {
        let mut fault = Self::new(Code::Unavailable, reason, text);
        fault.retry_after = Some(Duration::from_millis(100));
        fault
    }

    /// INTERNAL. The caller learns nothing but that it was our fault.
    pub fn internal(cause: impl StdError + Send + Sync + 'static) -> Self {
        let mut fault = Self::new(Code::Internal, "INTERNAL", "internal error");
        fault.cause = Some(Arc::new(cause));
        fault
    }

    /// What a database error means for the caller: a wait that took too long or a lost connection may be tried again,
    /// a serialization failure is to be decided anew, everything else is our fault.
    pub fn database(error: &sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap_or_default();
        let mut fault = match (error, code.as_ref()) {
            (sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed, _) => {
                Self::unavailable("OVERLOADED", "no database connection is free")
            }
            // lock_not_available, query_canceled
            (_, "55P03" | "57014") => Self::unavailable("BUSY", "another call holds what this one needs"),
            // admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout, too_many_connections,
            // idle_in_transaction_session_timeout
            (sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed, _)
            | (_, "57P01" | "57P02" | "57P03" | "57P05" | "53300" | "25P03") => {
                Self::unavailable("DATABASE_UNAVAILABLE", "the database cannot be reached")
            }
            // serialization_failure, deadlock_detected
            (_, "40001" | "40P01") => Self::new(Code::Aborted, "CONFLICT", "another call changed the same data"),
            _ => Self::new(Code::Internal, "INTERNAL", "internal error"),
        };
        // The text is kept rather than the error, which cannot be cloned. Values never stand in it: the server is set to
        // terse errors, and sqlx adds none.
        fault.cause = Some(Arc::from(Box::<dyn StdError + Send + Sync>::from(error.to_string())));
        fault
    }

    /// Adds a metadata entry.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Adds an unfulfilled precondition: the thing it is about, and what is lacking.
    #[must_use]
    pub fn lacking(mut self, subject: impl fmt::Display, text: impl fmt::Display) -> Self {
        self.preconditions.push((subject.to_string(), text.to_string()));
        self
    }

    /// Adds a quota that is used up: whose it is, and what it is.
    #[must_use]
    pub fn exceeding(mut self, subject: impl Into<String>, text: impl fmt::Display) -> Self {
        self.quotas.push((subject.into(), text.to_string()));
        self
    }

    /// The gRPC status, with `google.rpc` details under the service's domain, such as `leads.otdel`.
    ///
    /// All of it travels in headers. What is longer than the other end takes resets the call; from a service, it can end
    /// the connection over which the gateway asks for everybody.
    pub fn into_status(mut self, service: &str) -> Status {
        self.text.truncate(self.text.floor_char_boundary(LONGEST_TEXT));
        let mut details = ErrorDetails::with_error_info(self.reason, format!("{service}.otdel"), self.metadata);
        for violation in &self.violations.0 {
            details.add_bad_request_violation(&violation.field, &violation.text);
        }
        for (subject, text) in &self.preconditions {
            details.add_precondition_failure_violation(self.reason, subject, text);
        }
        for (subject, text) in &self.quotas {
            details.add_quota_failure_violation(subject, text);
        }
        if let Some(after) = self.retry_after {
            details.set_retry_info(Some(after));
        }
        Status::with_error_details(self.code, self.text, details)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Fault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::database(&error)
    }
}

impl Explain for Fault {
    fn explain(&self) -> Fault {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What HTTP/2 counts for the headers of a refusal.
    fn weight(fault: Fault) -> usize {
        let headers = fault.into_status("reporting").into_http::<()>().into_parts().0.headers;
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
    }

    #[test]
    fn a_refusal_leaves_room_for_other_headers_in_8_kib_whatever_is_wrong() {
        let mut wrong = Violations::default();
        for at in 0..10_000 {
            wrong.add(format!("lines[{at}].vat_rate"), "must be given");
        }
        let told = weight(Fault::fields(&wrong));
        assert!((5 * 1024..7 * 1024).contains(&told), "{told}");
        let mut letters = Violations::default();
        for _ in 0..10_000 {
            letters.add("x", "y");
        }
        let mut long = Violations::default();
        long.add("поле".repeat(1000), "такого нет");
        let text = Fault::new(Code::InvalidArgument, "MALFORMED_REQUEST", "ё".repeat(100_000));
        for heavy in [Fault::fields(&letters), Fault::fields(&long), text] {
            let weight = weight(heavy);
            assert!(weight < 7 * 1024, "{weight}");
        }
    }
}
