use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{Router, extract::Request, response::Response};
use futures_util::FutureExt as _;
use http::HeaderValue;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Code, Status, service::Routes};
use tower::{ServiceExt as _, service_fn};
use tracing::{Instrument as _, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use uuid::Uuid;

use super::{
    Limits,
    answer::{mask, panicked, refused},
    code::{is_our_fault, name_of},
    ending::Stopping,
    measure::Meter,
    method::{Method, method_of},
    question::awaited,
    timeout,
};
use crate::{
    auth::{Authenticate, guard},
    call::Deadline,
    fault::Fault,
    trace,
};

/// The header that names one call at one role in logs and answers. It has nothing to do with a mutation's `request_id`.
pub const REQUEST_ID_HEADER: &str = "otdel-request-id";

/// How much earlier than the caller's deadline the answer leaves. tonic has a timer of its own outside of all this, and
/// it answers CANCELLED.
const AHEAD: Duration = Duration::from_millis(10);

/// A role's RPCs within what every call passes, whether it comes over a socket or through the hub.
///
/// `routes` are made of services with `max_decoding_message_size(MAX_REQUEST)`.
pub fn stack(service: &'static str, routes: Routes, auth: Arc<dyn Authenticate>, limits: &Limits) -> Router {
    let (limits, calls) = (limits.clone(), Semaphore::new(limits.calls));
    let stack = Arc::new(Stack { service, limits, calls, auth, rpcs: routes.prepare().into_axum_router() });
    Router::new().fallback_service(service_fn(move |request| {
        let stack = stack.clone();
        async move { Ok::<_, Infallible>(stack.answer(request).await) }
    }))
}

/// What every call passes, the outermost first:
///
/// 1. **span**: a span and an id for the call, so that every line below carries them.
/// 2. **measure**: sees each answer as the caller will, whoever gives it.
/// 3. **ending**: ends a stream when its listener stops.
/// 4. **mask**: gives tonic's own refusals our shape.
/// 5. **panic**: one below here, as in parsing, is INTERNAL. (One in a unit of work is caught by [`crate::call::run`].)
/// 6. **deadline**: before anything that may wait.
/// 7. **shed**: before authentication, which costs a signature's check.
/// 8. **question**: refuses a request that does not come whole; it is read within the RPC, if at all.
/// 9. **guard**: authenticates and authorizes; an unknown path ends here.
///
/// Written as steps and not as layers of tower's, each of which would clone and box all those within it for every call: a
/// twentieth of the rate of a small one.
struct Stack {
    service: &'static str,
    limits: Limits,
    /// The places for calls under way.
    calls: Semaphore,
    auth: Arc<dyn Authenticate>,
    rpcs: Router,
}

impl Stack {
    async fn answer(&self, request: Request) -> Response {
        let id = Uuid::now_v7().to_string();
        let (service, method) = (self.service, method_of(request.uri().path()));
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
        let mut response = self.measured(method, request).instrument(span.clone()).await;
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

    async fn measured(&self, method: Option<&'static Method>, request: Request) -> Response {
        let meter = Meter::start(self.service, method.map_or("other", |method| method.path));
        let is_stream = method.is_some_and(|method| !method.unary);
        let stopping = request.extensions().get::<Stopping>().filter(|_| is_stream).cloned();
        // Nothing of a call that panicked is used again.
        let answer = AssertUnwindSafe(self.within_deadline(method, request)).catch_unwind().await;
        let answer = answer.unwrap_or_else(|panic| panicked(self.service, panic.as_ref()));
        let answer = mask(self.service, answer);
        meter.watch(match stopping {
            Some(stopping) => stopping.end(self.service, answer),
            None => answer,
        })
    }

    /// Ends a call at its deadline with `DEADLINE_EXCEEDED` and tells the handler when that is. Streams have none, unless
    /// the caller asks for their first answer by then.
    async fn within_deadline(&self, method: Option<&'static Method>, mut request: Request) -> Response {
        let asked = timeout::parse(request.headers());
        let unary = method.is_some_and(|method| method.unary);
        let time = asked.or(unary.then_some(self.limits.timeout)).map(|time| time.min(self.limits.longest_timeout));
        let Some(time) = time else { return self.in_place(method, request).await };
        let now = Instant::now();
        request.extensions_mut().insert(Deadline((now + time).into_std()));
        let at = now + time.saturating_sub(AHEAD.min(time / 2));
        timeout_at(at, self.in_place(method, request)).await.unwrap_or_else(|_| {
            tracing::info!(time_ms = time.as_millis(), "call abandoned at its deadline");
            let text = "the answer was not ready in time; whether the call took effect is not known";
            refused(self.service, Fault::new(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", text))
        })
    }

    /// Refuses at once what would only wait: UNAVAILABLE, to be tried again elsewhere or later.
    async fn in_place(&self, method: Option<&'static Method>, request: Request) -> Response {
        let Ok(_place) = self.calls.try_acquire() else {
            return refused(self.service, Fault::unavailable("OVERLOADED", "too many calls at once"));
        };
        let request = match method {
            Some(method) if method.one_question => awaited(self.service, self.limits.question, request),
            _ => request,
        };
        guard(self.service, self.auth.as_ref(), request, |request| async {
            let Ok(answer) = self.rpcs.clone().oneshot(request).await;
            answer
        })
        .await
    }
}
