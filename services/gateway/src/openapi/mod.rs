//! The OpenAPI 3.1 document of the JSON form, made of the protos: their annotations give the paths, their comments the
//! words, `errors.proto` of each package the refusals.
//!
//! It is made once and held as bytes. Nobody needs a key to read it: it tells what reflection tells.

mod example;
mod known;
mod operation;
mod options;
mod refusals;
mod schema;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use axum::{body::Body, extract::Request, response::Response};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use self::schema::Schemas;
use crate::{comments::comment, json, json::table::Table};

/// Where the document is.
pub(crate) const PATH: &str = "/openapi.json";

/// The document of the routes of all gateways, which are those of the protos. It is made when it is first asked for, so
/// that no start waits for it; who asks then does, for less than a tenth of a second.
pub(crate) fn document(table: &Table) -> &'static Document {
    static MADE: OnceLock<Document> = OnceLock::new();
    MADE.get_or_init(|| Document::of(table))
}

/// The document as it is sent.
#[derive(Debug)]
pub(crate) struct Document {
    body: Bytes,
    etag: HeaderValue,
}

impl Document {
    fn of(table: &Table) -> Self {
        let body = serde_json::to_vec(&whole(table)).unwrap_or_default();
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, &body)));
        let etag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { body: body.into(), etag }
    }

    /// Sends the document, or says that the caller has it already.
    pub(crate) fn answer(&self, call: &Request) -> Response {
        if !matches!(*call.method(), Method::GET | Method::HEAD) {
            return json::not_allowed(&[&Method::GET, &Method::HEAD]);
        }
        let mut response = Response::new(Body::empty());
        if self.is_known(call) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = self.body.clone().into();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let headers = response.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        // It changes with the binary: to be asked for each time, which costs no more than the tag.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    fn is_known(&self, call: &Request) -> bool {
        let tags = call.headers().get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        let mut tags = tags.flat_map(|tags| tags.split(',')).map(str::trim);
        tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == self.etag.as_bytes())
    }
}

/// What the whole of the API has in common.
const ABOUT: &str = "\
A sales department from the first request to the money.

Every mutation takes a `requestId`, a UUID of the caller's: the same request sent again gets the first answer, byte for \
byte, whatever became of the first try. It answers with `change`; a report that takes it in `atLeast` includes it.

Names of fields may also be written as in the protos (`page_size`). A field that holds nothing is left out of an answer. \
The header `grpc-timeout` (`500m`, `5S`) says how long the caller waits. Every answer names its call in the header \
`otdel-request-id`.

A refusal is `application/problem+json`; its `reason` is stable. A stream is `application/x-ndjson`.";

/// The document.
fn whole(table: &Table) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let (mut tags, mut responses, mut services) = (BTreeMap::new(), Map::new(), BTreeSet::new());
    schemas.add(refusals::PROBLEM, refusals::problem());
    for route in table.routes() {
        let (path, operation) = operation::of_route(route, &mut schemas);
        paths.entry(path).or_default().insert(route.verb.as_str().to_ascii_lowercase(), operation);
        let service = route.method.parent_service();
        tags.insert(service.name().to_owned(), comment(&service.parent_file(), service.path()));
        if services.insert(operation::service_of(route)) {
            for (status, response) in refusals::of_service(operation::service_of(route)) {
                responses.insert(format!("{}.{status}", operation::service_of(route)), response);
            }
        }
    }
    let tags: Vec<_> = tags.iter().map(|(name, text)| json!({"name": name, "description": text})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Otdel",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas.into_value(),
            "responses": responses,
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "{id}.{secret}",
                    "description": "An API key: `Authorization: Bearer {id}.{secret}`.",
                },
                "jwt": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token of the identity provider that the deployment trusts, where it trusts one.",
                },
            },
        },
    })
}
