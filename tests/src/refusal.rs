//! Reading what a call was refused with.

use std::{error::Error, iter::successors};

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
        || connection_broke(status)
}

/// Whether no server said this: the connection ended under the call. tonic names it by what HTTP/2 said last, so that a
/// server that takes its leave in good order (GOAWAY, `NO_ERROR`) while a call is on its way to it reads INTERNAL.
fn connection_broke(status: &Status) -> bool {
    successors(status.source(), |error| (*error).source()).any(<dyn Error>::is::<tonic::transport::Error>)
}

/// Whether the very same request may be sent once more. Unlike [`is_passing`] it does not take in what is ABORTED because
/// the caller decided on something that is no longer so: that is to be decided anew.
pub fn is_unknown(status: &Status) -> bool {
    is_passing(status) && (status.code() != Code::Aborted || reason(status).1 == "CONFLICT")
}
