//! JSON over HTTP for every public RPC, as its `google.api.http` annotation says.
//!
//! A JSON call becomes a gRPC request to the same stack that gRPC calls go through, so that authentication, limits,
//! deadlines and metrics apply once and in one place; its answer becomes JSON again. `table` finds the RPC, `request`
//! makes its message, `response` turns the answer back, whose `messages` it reads; a refusal is a `problem`.
//!
//! A single answer is `application/json`. A stream is `application/x-ndjson`: each message is one line. One that does
//! not end well ends with a line `{"error": {…}}`, which holds what `application/problem+json` would; where it is refused
//! before its first message, that is the answer. A stream without such a line ended as it should.
//!
//! The message is made while the RPC reads its request, which is after the guard has let the caller in: strangers can
//! make the gateway neither hold bodies nor wait for them. What is wrong with the request goes back the same way.

mod messages;
pub(crate) mod problem;
mod request;
pub(crate) mod response;
pub(crate) mod table;
pub(crate) mod template;

use std::{mem, sync::Arc};

use axum::{Router, body::Body, extract::Request, response::Response};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version, header, request::Parts};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use otdel_runtime::{
    call::tell,
    fault::Fault,
    server::{MAX_REQUEST, asked_timeout},
};
use prost::Message as _;
use tokio::time::Instant;
use tonic::{Code, Status};
use tower::ServiceExt as _;

pub(crate) use self::response::of_stranger as refuse;
pub use self::table::BadRule;
use self::{
    messages::FRAME_HEADER,
    response::FIRST_MESSAGE,
    table::{Found, Route, Table},
    template::Bindings,
};
use crate::SERVICE;

/// The headers of a JSON call that its gRPC request carries on. Nothing else comes through.
const CARRIED: [HeaderName; 4] = [
    header::AUTHORIZATION,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// The JSON side of the gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Json {
    table: Arc<Table>,
    rpcs: Router,
}

impl Json {
    /// JSON for the RPCs of a stack. Fails on an annotation that it cannot serve.
    pub(crate) fn new(rpcs: Router) -> Result<Self, BadRule> {
        Ok(Self { table: Arc::new(Table::from_protos()?), rpcs: rpcs.with_state(()) })
    }

    /// What can be called.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Answers a call that is not gRPC.
    pub(crate) async fn answer(self, call: Request) -> Response {
        let (head, body) = call.into_parts();
        match self.table.find(&head.method, head.uri.path()) {
            Found::Route(route, bindings) => {
                // Who wants the first answer by some time does not get it later because its first message was waited for.
                let half_time = asked_timeout(&head.headers).and_then(|time| Instant::now().checked_add(time / 2));
                let Ok(answer) = self.rpcs.oneshot(as_grpc(route.clone(), bindings, head, body)).await;
                let patience = Instant::now() + FIRST_MESSAGE;
                response::of_answer(answer, route, half_time.map_or(patience, |at| at.min(patience))).await
            }
            Found::OtherVerbs(verbs) => not_allowed(&verbs),
            Found::Nothing => refuse(Fault::new(Code::NotFound, "NO_SUCH_PATH", "no RPC is called under this path")),
        }
    }
}

/// The gRPC request of a JSON call. Its body is made when it is read.
fn as_grpc(route: Arc<Route>, bindings: Bindings, mut head: Parts, body: Body) -> Request {
    let extensions = mem::take(&mut head.extensions);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    for name in CARRIED {
        if let Some(value) = head.headers.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    let uri = http::Uri::from_static(route.rpc);
    let framed = async move {
        let framed = framed(&route, &bindings, &head, body).await;
        framed.map_err(|fault: Fault| -> Status { tell(SERVICE, &fault) })
    };
    let mut request = Request::new(Body::from_stream(stream::once(framed)));
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    // What the listener knows of the call.
    *request.extensions_mut() = extensions;
    request
}

/// The request's message as gRPC sends it.
async fn framed(route: &Route, bindings: &Bindings, head: &Parts, body: Body) -> Result<Bytes, Fault> {
    if route.has_body {
        request::of_json(&head.headers)?;
    }
    let body = whole(&head.headers, body).await?;
    let message = request::read(route, bindings, &head.uri, &body)?;
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(FRAME_HEADER + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).map_err(|_| request::too_large())?);
    message.encode(&mut framed).map_err(Fault::internal)?;
    Ok(framed.freeze())
}

/// The whole body. One that says that it is too long is not read at all.
async fn whole(headers: &HeaderMap, body: Body) -> Result<Bytes, Fault> {
    let said = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|length| length > MAX_REQUEST) {
        return Err(request::too_large());
    }
    match Limited::new(body, MAX_REQUEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(request::too_large()),
        Err(_) => Err(Fault::new(Code::InvalidArgument, "MALFORMED_REQUEST", "the body broke off")),
    }
}

/// The path is known, but not with this HTTP method: 405, which gRPC has no code for.
pub(crate) fn not_allowed(verbs: &[&Method]) -> Response {
    let allowed = verbs.iter().map(|verb| verb.as_str()).collect::<Vec<_>>().join(", ");
    let text = format!("this path takes {allowed}");
    let mut response = refuse(Fault::new(Code::Unimplemented, "METHOD_NOT_ALLOWED", text));
    if let Ok(allowed) = HeaderValue::try_from(allowed) {
        response.headers_mut().insert(header::ALLOW, allowed);
    }
    response
}
