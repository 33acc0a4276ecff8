//! From the RPC's answer to the HTTP response.

use std::sync::LazyLock;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use otdel_runtime::{
    call::tell,
    fault::Fault,
    peers::MAX_RESPONSE,
    server::{REQUEST_ID_HEADER, code_name},
};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::SERVICE;

/// The descriptors of `google.rpc.Status` and its details.
static DETAILS: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).unwrap_or_default());

/// What gRPC puts before a message: a flag for compression and the length.
pub(crate) const FRAME_HEADER: usize = 5;

/// The answer to a call that reached the RPCs: its message, or its refusal.
pub(crate) async fn of_answer(response: Response, descriptor: &MessageDescriptor) -> Response {
    let (head, body) = response.into_parts();
    let mut answer = match message_of(&head.headers, body).await {
        Ok(message) => match to_json(&message, descriptor) {
            Ok(json) => with_body(StatusCode::OK, json),
            Err(fault) => of_status(&tell(SERVICE, &fault)),
        },
        Err(status) => of_status(&status),
    };
    if let Some(id) = head.headers.get(REQUEST_ID_HEADER) {
        answer.headers_mut().insert(HeaderName::from_static(REQUEST_ID_HEADER), id.clone());
    }
    answer
}

/// The encoded message of an answer that is no refusal. tonic puts a refusal's status into the headers, and the status
/// of an answer that could not be finished into the trailers.
async fn message_of(headers: &HeaderMap, body: axum::body::Body) -> Result<Bytes, Status> {
    let refused = |headers: &HeaderMap| Status::from_header_map(headers).filter(|status| status.code() != Code::Ok);
    if let Some(status) = refused(headers) {
        return Err(status);
    }
    let body = Limited::new(body, MAX_RESPONSE + FRAME_HEADER).collect().await;
    let body = body.map_err(|cause| {
        tracing::warn!(%cause, "answer broke off");
        Fault::unavailable("SERVICE_UNREACHABLE", "the answer broke off").into_status(SERVICE)
    })?;
    if let Some(status) = body.trailers().and_then(refused) {
        return Err(status);
    }
    Ok(body.to_bytes())
}

/// A framed message as JSON. That an answer of ours cannot be read is our fault.
fn to_json(framed: &[u8], descriptor: &MessageDescriptor) -> Result<Vec<u8>, Fault> {
    let not_whole = || Fault::new(Code::Internal, "INTERNAL", "internal error");
    let (flag, rest) = framed.split_first().ok_or_else(not_whole)?;
    let message = rest.get(FRAME_HEADER - 1..).filter(|_| *flag == 0).ok_or_else(not_whole)?;
    let message = DynamicMessage::decode(descriptor.clone(), message).map_err(Fault::internal)?;
    serde_json::to_vec(&message).map_err(Fault::internal)
}

/// A refusal before any RPC was found: no layer has seen the call, so it is logged, counted and named here.
pub(crate) fn of_stranger(fault: Fault) -> Response {
    let id = Uuid::now_v7().to_string();
    let span = tracing::info_span!("json", rpc.id = id);
    let mut response = of_status(&span.in_scope(|| tell(SERVICE, &fault)));
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(HeaderName::from_static(REQUEST_ID_HEADER), id);
    }
    response
}

/// A status in its JSON form: `{"code": 3, "status": "INVALID_ARGUMENT", "message": …, "details": […]}`.
fn of_status(status: &Status) -> Response {
    let code = status.code();
    let details = details(status.details());
    let body = Refusal { code: code.into(), status: code_name(code), message: status.message(), details };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let too_large = status.get_details_error_info().is_some_and(|info| info.reason == "REQUEST_TOO_LARGE");
    // gRPC has no code for it.
    let http = if too_large { StatusCode::PAYLOAD_TOO_LARGE } else { http_status(code) };
    let mut response = with_body(http, body);
    let headers = response.headers_mut();
    if code == Code::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(after) = status.get_details_retry_info().and_then(|retry| retry.retry_delay) {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What is told of a refusal, in this order.
#[derive(serde::Serialize)]
struct Refusal<'a> {
    code: i32,
    status: &'static str,
    message: &'a str,
    details: Vec<DynamicMessage>,
}

/// The details of a status, each as an `Any`, whose JSON form begins with its `@type`. What is not known here is left
/// out.
fn details(encoded: &[u8]) -> Vec<DynamicMessage> {
    let Some(descriptor) = DETAILS.get_message_by_name("google.rpc.Status") else { return Vec::new() };
    let Ok(status) = DynamicMessage::decode(descriptor, encoded) else { return Vec::new() };
    let Some(details) = status.get_field_by_name("details") else { return Vec::new() };
    let is_known = |detail: &&DynamicMessage| {
        let url = detail.get_field_by_name("type_url");
        let name = url.as_ref().and_then(|url| url.as_str()?.rsplit('/').next());
        name.is_some_and(|name| DETAILS.get_message_by_name(name).is_some())
    };
    let details = details.as_list().unwrap_or_default().iter().filter_map(Value::as_message);
    details.filter(is_known).cloned().collect()
}

fn with_body(status: StatusCode, json: Vec<u8>) -> Response {
    let mut response = Response::new(json.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The HTTP status of a gRPC code, as `google/rpc/code.proto` maps them.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        // 499, which only proxies know: the client went away.
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
