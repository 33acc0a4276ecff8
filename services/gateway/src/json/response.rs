//! From the RPC's answer to the HTTP response.

use std::time::Duration;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use otdel_runtime::{call::tell, fault::Fault, server::REQUEST_ID_HEADER};
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Status};
use uuid::Uuid;

use super::{messages::Messages, problem::Problem, table::Route};
use crate::{SERVICE, quota::QUOTA_HEADERS};

/// The media type of a stream: JSON objects, one a line.
pub(crate) const NDJSON: &str = "application/x-ndjson";

/// The headers of an RPC's answer that its JSON form has too.
const RETURNED: [HeaderName; 1] = [HeaderName::from_static(REQUEST_ID_HEADER)];

/// How long the headers of a stream wait for its first message, so that a refusal which comes instead has its HTTP
/// status. Our feeds answer at once, if only that there is nothing yet.
pub(crate) const FIRST_MESSAGE: Duration = Duration::from_secs(1);

/// The answer to a call that reached the RPCs: its message, its stream, or its refusal. A stream begins at `latest`,
/// whether its first message is there or not.
pub(crate) async fn of_answer(response: Response, route: &Route, latest: Instant) -> Response {
    let (head, body) = response.into_parts();
    let message = route.method.output();
    let answer = match Messages::of(&head.headers, body) {
        Ok(messages) if route.method.is_server_streaming() => stream_of(messages, message, &head.headers, latest).await,
        Ok(messages) => single_of(messages, &message).await,
        Err(refusal) => Err(refusal),
    };
    let mut answer = answer.unwrap_or_else(|status| Problem::of(&status, &head.headers).into_response());
    for name in RETURNED.into_iter().chain(QUOTA_HEADERS) {
        if let Some(value) = head.headers.get(&name) {
            answer.headers_mut().insert(name, value.clone());
        }
    }
    answer
}

/// A refusal before any RPC was found: no layer has seen the call, so it is logged, counted and named here. Whoever
/// reaches the port gets one, and must not be able to fill the log.
pub(crate) fn of_stranger(fault: Fault) -> Response {
    let id = Uuid::now_v7().to_string();
    tracing::debug!(rpc.id = id, reason = fault.reason, "call refused");
    metrics::counter!("otdel_refusals_total", "service" => SERVICE, "reason" => fault.reason).increment(1);
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(HeaderName::from_static(REQUEST_ID_HEADER), id);
    }
    let mut response = Problem::of(&fault.into_status(SERVICE), &headers).into_response();
    response.headers_mut().extend(headers);
    response
}

async fn single_of(mut messages: Messages, descriptor: &MessageDescriptor) -> Result<Response, Status> {
    let empty = || tell(SERVICE, &Fault::new(Code::Internal, "INTERNAL", "internal error"));
    let message = messages.next().await.ok_or_else(empty)??;
    // A status after the message is a refusal all the same.
    if let Some(Err(status)) = messages.next().await {
        return Err(status);
    }
    Ok(with_body("application/json", to_json(&message, descriptor)?.into()))
}

async fn stream_of(
    mut messages: Messages,
    descriptor: MessageDescriptor,
    headers: &HeaderMap,
    latest: Instant,
) -> Result<Response, Status> {
    let first = timeout_at(latest, messages.next()).await.ok().flatten().transpose()?;
    let lines = Lines { first, messages, descriptor, headers: headers.clone() };
    let lines = stream::unfold(lines, async |mut lines| Some((Ok::<_, Status>(lines.next().await?), lines)));
    Ok(with_body(NDJSON, Body::from_stream(lines)))
}

/// A stream's answer as JSON objects, one a line.
struct Lines {
    first: Option<Bytes>,
    messages: Messages,
    descriptor: MessageDescriptor,
    headers: HeaderMap,
}

/// The last line of a stream that does not end well.
#[derive(Serialize)]
struct LastLine {
    error: Problem,
}

impl Lines {
    async fn next(&mut self) -> Option<Vec<u8>> {
        let message = match self.first.take() {
            Some(first) => Ok(first),
            None => self.messages.next().await?,
        };
        let line = message.and_then(|message| to_json(&message, &self.descriptor));
        let mut line = line.unwrap_or_else(|status| {
            let status = self.messages.end(status);
            serde_json::to_vec(&LastLine { error: Problem::of(&status, &self.headers) }).unwrap_or_default()
        });
        line.push(b'\n');
        Some(line)
    }
}

/// A message as JSON. That an answer of ours cannot be read is our fault.
fn to_json(message: &[u8], descriptor: &MessageDescriptor) -> Result<Vec<u8>, Status> {
    let ours = |fault: Fault| tell(SERVICE, &fault);
    let message = DynamicMessage::decode(descriptor.clone(), message).map_err(|error| ours(Fault::internal(error)))?;
    serde_json::to_vec(&message).map_err(|error| ours(Fault::internal(error)))
}

fn with_body(form: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(form));
    response
}
