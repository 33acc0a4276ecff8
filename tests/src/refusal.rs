//! Reading what a call was refused with.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The code and the stable reason of a refusal.
pub fn reason(status: &Status) -> (Code, String) {
    (status.code(), status.get_details_error_info().map(|info| info.reason).unwrap_or_default())
}

/// The wrong fields that a refusal names.
pub fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|details| details.field_violations).unwrap_or_default();
    violations.into_iter().map(|violation| violation.field).collect()
}

/// Whether the outcome of a call is unknown, or is to be asked for again: the same request may be sent once more.
pub fn is_passing(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted)
        || (status.code() == Code::Unknown && status.message().contains("transport"))
}

/// Whether the very same request may be sent once more. Unlike [`is_passing`] it does not take in what is ABORTED because
/// the caller decided on something that is no longer so: that is to be decided anew.
pub fn is_unknown(status: &Status) -> bool {
    is_passing(status) && (status.code() != Code::Aborted || reason(status).1 == "CONFLICT")
}
