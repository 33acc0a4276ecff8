use axum::response::Response;

use crate::fault::Fault;

/// A refusal as an HTTP response, for layers, which stand outside tonic.
pub(super) fn refused(service: &'static str, fault: Fault) -> Response {
    metrics::counter!("otdel_refusals_total", "service" => service, "reason" => fault.reason).increment(1);
    fault.into_status(service).into_http()
}
