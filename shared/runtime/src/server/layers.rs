//! The layers that are functions of a request and what comes after it. `stack` tells their order.

use std::{any::Any, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::HeaderValue;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Code, Status};
use tower_http::catch_panic::ResponseForPanic;
use tracing::{Instrument as _, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;

use super::{Limits, REQUEST_ID_HEADER, answer::refused, code::name_of, method::method_of, timeout};
use crate::{call::Deadline, fault::Fault, trace};

/// Opens a span for the call, a child of the caller's, and names it in the answer.
pub(super) async fn span(State(service): State<&'static str>, request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    let method = method_of(request.uri().path());
    // A root among the log's spans: in process, the caller's own span is not to be repeated in each line of the
    // callee's.
    let span = tracing::info_span!(
        parent: None,
        "rpc",
        otel.name = method.map(|method| format!("{service}.{}", method.name)),
        otel.kind = "server",
        otel.status_code = field::Empty,
        rpc.method = method.map_or("other", |method| method.path),
        rpc.id = id,
    );
    trace::follow_on(&span, request.headers());
    let mut response = next.run(request).instrument(span.clone()).await;
    // A refusal comes in the headers. Of a stream this tells only how it began.
    let code = Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code());
    // For traces alone: to note it for the lines of the log, too, would write all fields anew, and no line follows.
    span.set_attribute("rpc.status", name_of(code));
    if is_our_fault(code) {
        span.record("otel.status_code", "ERROR");
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    response
}

/// Whether a code says that something is wrong here; what the caller did wrong is an answer like any other.
fn is_our_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

/// Gives tonic's own refusals the shape of ours. tonic answers a message that cannot be decoded with INTERNAL and one
/// that is too large with `OUT_OF_RANGE`; both are the caller's mistake.
pub(super) async fn mask(State(service): State<&'static str>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
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

/// Answers INTERNAL for a panic and logs it, for the layers and the parsing around a unit of work.
#[derive(Clone, Copy)]
pub(super) struct OnPanic(pub(super) &'static str);

impl ResponseForPanic for OnPanic {
    type ResponseBody = axum::body::Body;

    fn response_for_panic(&mut self, panic: Box<dyn Any + Send + 'static>) -> Response {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no text");
        tracing::error!(panic = text, "call panicked");
        refused(self.0, Fault::new(Code::Internal, "INTERNAL", "internal error"))
    }
}

/// How much earlier than the caller's deadline the answer leaves. tonic has a timer of its own outside of all layers,
/// and it answers CANCELLED.
const AHEAD: Duration = Duration::from_millis(10);

/// Ends a call at its deadline with `DEADLINE_EXCEEDED` and tells the handler when that is. Streams have none, unless
/// the caller asks for their first answer by then.
pub(super) async fn deadline(
    State((service, limits)): State<(&'static str, Limits)>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = timeout::parse(request.headers());
    let unary = method_of(request.uri().path()).is_some_and(|method| method.unary);
    let time = asked.or(unary.then_some(limits.timeout)).map(|time| time.min(limits.longest_timeout));
    let Some(time) = time else { return next.run(request).await };
    let now = Instant::now();
    request.extensions_mut().insert(Deadline((now + time).into_std()));
    let at = now + time.saturating_sub(AHEAD.min(time / 2));
    timeout_at(at, next.run(request)).await.unwrap_or_else(|_| {
        tracing::info!(time_ms = time.as_millis(), "call abandoned at its deadline");
        let text = "the answer was not ready in time; whether the call took effect is not known";
        refused(service, Fault::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", text))
    })
}

/// Refuses at once what would only wait: UNAVAILABLE, to be tried again elsewhere or later.
pub(super) async fn shed(
    State((service, calls)): State<(&'static str, Arc<Semaphore>)>,
    request: Request,
    next: Next,
) -> Response {
    match calls.try_acquire() {
        Ok(_place) => next.run(request).await,
        Err(_) => refused(service, Fault::unavailable("OVERLOADED", "too many calls at once")),
    }
}
