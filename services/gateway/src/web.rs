//! gRPC-Web: gRPC for browsers, whose scripts see neither HTTP/2 nor trailers.
//!
//! tonic-web turns a call into gRPC and its answer back, binary or in base64 (`-text`); between the two it goes through
//! the same stack as every other call.

use axum::{Router, body::Body, extract::Request, response::Response};
use http::{Method, Version, header};
use http_body_util::BodyExt as _;
use otdel_runtime::fault::Fault;
use tonic::{Code, Status, body::Body as GrpcBody};
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, ServiceExt as _};

use crate::{SERVICE, json};

/// What a request of gRPC-Web calls itself, with any ending.
pub(crate) const GRPC_WEB: &str = "application/grpc-web";

/// Its binary and its text form, each by both of its names.
const FORMS: [&str; 4] =
    [GRPC_WEB, "application/grpc-web+proto", "application/grpc-web-text", "application/grpc-web-text+proto"];

/// Answers a call that says to be gRPC-Web.
pub(crate) async fn answer(rpcs: Router, mut call: Request) -> Response {
    let form = call.headers().get(header::CONTENT_TYPE).cloned();
    let Some(form) = form.filter(|form| FORMS.iter().any(|known| form == known)) else {
        let text = format!("gRPC-Web is one of {}", FORMS.join(", "));
        return json::refuse(Fault::new(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", text));
    };
    if *call.method() != Method::POST {
        return json::not_allowed(&[&Method::POST]);
    }
    // Who does not say in which form the answer is to come gets it in that of the question.
    let accepts = call.headers().get(header::ACCEPT).is_some_and(|accept| FORMS.iter().any(|known| accept == known));
    if !accepts {
        call.headers_mut().insert(header::ACCEPT, form);
    }
    let rpcs = rpcs.map_request(as_grpc);
    match GrpcWebLayer::new().layer(rpcs).oneshot(call).await {
        Ok(answer) => answer.map(Body::new),
        Err(never) => match never {},
    }
}

/// The request as one of gRPC: what cannot be decoded is the caller's mistake, and HTTP/1.1 is behind it.
fn as_grpc(request: http::Request<GrpcBody>) -> Request {
    let malformed = |cause: Status| {
        tracing::debug!(cause = cause.message(), "request of gRPC-Web cannot be decoded");
        Fault::new(Code::InvalidArgument, "MALFORMED_REQUEST", "the body broke off or is not base64")
            .into_status(SERVICE)
    };
    let mut request = request.map(|body| Body::new(body.map_err(malformed)));
    *request.version_mut() = Version::HTTP_2;
    request
}
