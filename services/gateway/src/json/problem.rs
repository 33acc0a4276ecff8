//! Refusals as problem details (RFC 9457).

use std::{borrow::Cow, collections::BTreeMap};

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use otdel_runtime::server::{REQUEST_ID_HEADER, code_name};
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::reasons;

/// The media type of a refusal.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// A refusal as RFC 9457 writes it, with all that its gRPC status carries.
///
/// The `type` is `urn:otdel:{service}:{reason}`. An address on the web would promise a page, and outlive neither the
/// domain's name nor its owner; this one is an identifier and nothing else, made of what a gRPC client branches on too.
/// The `instance` is the call's id, as in the header `otdel-request-id` and in the log.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Problem {
    r#type: String,
    title: Cow<'static, str>,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    /// The name of the gRPC code.
    code: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    domain: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    /// Wrong fields.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<FieldViolation>,
    /// What must be so before the call can be carried out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    preconditions: Vec<Precondition>,
    /// Limits that the caller has passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quota_violations: Vec<QuotaViolation>,
    /// How long to wait before the next try, in seconds, as protobuf writes durations: `0.100s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_delay: Option<String>,
    /// The same in whole seconds, for the header `retry-after`.
    #[serde(skip)]
    retry_after: Option<u64>,
}

#[derive(Debug, Serialize)]
struct FieldViolation {
    field: String,
    description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Debug, Serialize)]
struct Precondition {
    r#type: String,
    subject: String,
    description: String,
}

#[derive(Debug, Serialize)]
struct QuotaViolation {
    subject: String,
    description: String,
}

impl Problem {
    /// The problem that a status tells, in an answer whose headers name the call.
    pub(crate) fn of(status: &Status, headers: &HeaderMap) -> Self {
        let details = status.get_error_details();
        let (domain, reason) =
            details.error_info().map_or(("", ""), |info| (info.domain.as_str(), info.reason.as_str()));
        let http = http_status(status.code(), reason);
        let service = domain.strip_suffix(".otdel").unwrap_or(domain);
        let title = reasons::find(domain, reason).map(|reason| reason.title.as_str());
        let id = headers.get(REQUEST_ID_HEADER).and_then(|id| id.to_str().ok());
        let delay = details.retry_info().and_then(|retry| retry.retry_delay);
        Self {
            // What is no reason of ours is told by its status alone, which RFC 9457 calls `about:blank`.
            r#type: if reason.is_empty() { "about:blank".into() } else { format!("urn:otdel:{service}:{reason}") },
            title: title.or(http.canonical_reason()).unwrap_or("Refused").into(),
            status: http.as_u16(),
            detail: status.message().to_owned(),
            instance: id.map(|id| format!("urn:uuid:{id}")),
            code: code_name(status.code()),
            reason: reason.to_owned(),
            domain: domain.to_owned(),
            metadata: details.error_info().map(|info| info.metadata.clone()).unwrap_or_default().into_iter().collect(),
            violations: violations(&details),
            preconditions: preconditions(&details),
            quota_violations: quota_violations(&details),
            retry_delay: delay.map(|delay| format!("{}.{:03}s", delay.as_secs(), delay.subsec_millis())),
            retry_after: delay.map(|delay| delay.as_secs() + u64::from(delay.subsec_nanos() > 0)),
        }
    }

    /// The problem as the whole answer to a call.
    pub(crate) fn into_response(self) -> Response {
        let mut response = Response::new(serde_json::to_vec(&self).unwrap_or_default().into());
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 6750 wants at least one parameter.
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="otdel""#));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn violations(details: &ErrorDetails) -> Vec<FieldViolation> {
    let all = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
    let told = all.map(|wrong| FieldViolation {
        field: wrong.field.clone(),
        description: wrong.description.clone(),
        reason: wrong.reason.clone(),
    });
    told.collect()
}

fn preconditions(details: &ErrorDetails) -> Vec<Precondition> {
    let all = details.precondition_failure().into_iter().flat_map(|failure| &failure.violations);
    let told = all.map(|lacking| Precondition {
        r#type: lacking.r#type.clone(),
        subject: lacking.subject.clone(),
        description: lacking.description.clone(),
    });
    told.collect()
}

fn quota_violations(details: &ErrorDetails) -> Vec<QuotaViolation> {
    let all = details.quota_failure().into_iter().flat_map(|failure| &failure.violations);
    let told =
        all.map(|passed| QuotaViolation { subject: passed.subject.clone(), description: passed.description.clone() });
    told.collect()
}

/// The HTTP status of a refusal: that of its code, as `google/rpc/code.proto` maps them, but for reasons that HTTP knows
/// better.
pub(crate) fn http_status(code: Code, reason: &str) -> StatusCode {
    match reason {
        "REQUEST_TOO_LARGE" => return StatusCode::PAYLOAD_TOO_LARGE,
        "METHOD_NOT_ALLOWED" => return StatusCode::METHOD_NOT_ALLOWED,
        "UNSUPPORTED_MEDIA_TYPE" => return StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => {}
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_without_a_reason_is_told_by_its_status_alone() {
        let told = serde_json::to_value(Problem::of(&Status::unknown("who knows"), &HeaderMap::new())).unwrap();
        let bare = serde_json::json!({
            "type": "about:blank",
            "title": "Internal Server Error",
            "status": 500,
            "detail": "who knows",
            "code": "UNKNOWN",
        });
        assert_eq!(told, bare);
    }
}
