//! What every answer to a browser says beside what was asked.

use axum::response::Response;
use http::{HeaderValue, header};

/// Forbids browsers to guess what an answer is, and everybody on the way to keep it: it is one caller's business.
pub(crate) fn guarded(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}
