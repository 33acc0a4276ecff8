use std::sync::Arc;

use axum::{Router, middleware};
use http::{Request, Response};
use tokio::sync::Semaphore;
use tonic::{body::Body, service::Routes};
use tower::{ServiceBuilder, ServiceExt as _};
use tower_http::catch_panic::CatchPanicLayer;

use super::{Limits, ending, layers, measure, question};
use crate::auth::{Authenticate, Guard};

/// The header that names one call at one role in logs and answers. It has nothing to do with a mutation's `request_id`.
pub const REQUEST_ID_HEADER: &str = "otdel-request-id";

/// A role's RPCs within the layers that every call passes, whether it comes over a socket or through the hub.
///
/// Outermost first:
/// 1. **span**: a span and an id for the call, so that every line below carries them.
/// 2. **measure**: sees each answer as the caller will, those of the layers below included.
/// 3. **ending**: ends a stream when its listener stops; below what is measured.
/// 4. **mask**: gives tonic's own refusals our shape; below what is measured, above what it masks.
/// 5. **panic**: a panic in a layer or in parsing is INTERNAL. (One in a unit of work is caught by
///    [`crate::call::run`].)
/// 6. **deadline**: before anything that may wait.
/// 7. **question**: refuses a request that does not come whole; what it wraps is read below, if at all.
/// 8. **shed**: before authentication, which costs a signature's check.
/// 9. **guard**: authenticates and authorizes; an unknown path ends here.
///
/// `routes` are made of services with `max_decoding_message_size(MAX_REQUEST)`.
pub fn stack(service: &'static str, routes: Routes, auth: Arc<dyn Authenticate>, limits: &Limits) -> Router {
    let calls = Arc::new(Semaphore::new(limits.calls));
    // Around the router and not by `Router::layer`, where each layer would clone all those within it for every call.
    let stack = ServiceBuilder::new()
        .layer(middleware::from_fn_with_state(service, layers::span))
        .layer(middleware::from_fn_with_state(service, measure::measure))
        .layer(middleware::from_fn_with_state(service, ending::end_streams))
        .layer(middleware::from_fn_with_state(service, layers::mask))
        .layer(CatchPanicLayer::custom(layers::OnPanic(service)))
        .layer(middleware::from_fn_with_state((service, limits.clone()), layers::deadline))
        .layer(middleware::from_fn_with_state((service, limits.clone()), question::question))
        .layer(middleware::from_fn_with_state((service, calls), layers::shed))
        .service(guarded(service, auth, routes.into_axum_router()));
    Router::new().fallback_service(stack)
}

type HttpRequest = Request<axum::body::Body>;

/// The guard speaks tonic's bodies, a router axum's.
fn guarded(
    service: &'static str,
    auth: Arc<dyn Authenticate>,
    inner: Router,
) -> impl tower::Service<HttpRequest, Response = Response<Body>, Error = std::convert::Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    let inner = inner
        .map_request(|request: Request<Body>| request.map(axum::body::Body::new))
        .map_response(|response: Response<axum::body::Body>| response.map(Body::new));
    Guard::new(service, auth, inner).map_request(|request: HttpRequest| request.map(Body::new))
}
