//! Answers that come from around the RPCs.

use std::any::Any;

use axum::response::Response;
use tonic::{Code, Status};

use crate::fault::Fault;

/// A refusal as an HTTP response, for what stands outside tonic.
pub(crate) fn refused(service: &'static str, fault: Fault) -> Response {
    metrics::counter!("otdel_refusals_total", "service" => service, "reason" => fault.reason).increment(1);
    fault.into_status(service).into_http()
}

/// The answer to a call that panicked outside of a unit of work.
pub(super) fn panicked(service: &'static str, panic: &(dyn Any + Send)) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
    tracing::error!(panic = text, "call panicked");
    refused(service, Fault::new(Code::Internal, "INTERNAL", "internal error"))
}

/// Gives tonic's own refusals the shape of ours. tonic answers a message that cannot be decoded with INTERNAL and one
/// that is too large with `OUT_OF_RANGE`; both are the caller's mistake.
pub(super) fn mask(service: &'static str, mut response: Response) -> Response {
    let headers = response.headers_mut();
    // Every refusal of ours carries details.
    if !headers.contains_key(Status::GRPC_STATUS) || headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        return response;
    }
    let Some(status) = Status::from_header_map(headers) else { return response };
    let fault = match status.code() {
        Code::Ok => return response,
        Code::Internal => Fault::new(Code::InvalidArgument, "MALFORMED_REQUEST", "the request cannot be decoded"),
        Code::OutOfRange | Code::ResourceExhausted => {
            Fault::new(Code::InvalidArgument, "REQUEST_TOO_LARGE", "the request is too large")
        }
        code => Fault::new(code, "NOT_SUPPORTED", status.message()),
    };
    tracing::info!(reason = fault.reason, cause = status.message(), "call refused");
    metrics::counter!("otdel_refusals_total", "service" => service, "reason" => fault.reason).increment(1);
    let _ = fault.into_status(service).add_header(headers);
    response
}
