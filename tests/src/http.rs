//! Calling the suite as clients without gRPC do: over plain HTTP with JSON, and from browsers with gRPC-Web.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tonic::{body::Body, service::interceptor::InterceptedService, transport::Channel};
use tonic_web::{GrpcWebCall, GrpcWebClientLayer, GrpcWebClientService};
use tower::{Layer as _, ServiceExt as _, util::MapRequest};

use crate::door::{Bearer, Door};

/// What generated clients of gRPC-Web stand on.
pub type Web = InterceptedService<GrpcWebClientService<MapRequest<Channel, OverChannel>>, Bearer>;
type OverChannel = fn(http::Request<GrpcWebCall<Body>>) -> http::Request<Body>;

impl Door {
    /// The same connection for the clients of gRPC-Web.
    pub fn web(&self) -> Web {
        let channel = self.channel.clone().map_request((|request| request.map(Body::new)) as OverChannel);
        InterceptedService::new(GrpcWebClientLayer::new().layer(channel), self.bearer.clone())
    }

    /// Reads something.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, "").await
    }

    /// An HTTP request and its whole answer.
    pub async fn ask(&self, verb: Method, path: &str, body: impl Into<Bytes>) -> Answer {
        let (head, body) = self.http(verb, path, body).await.into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        Answer { status: head.status, headers: head.headers, body }
    }

    /// An HTTP request and its answer as it comes.
    pub async fn http(&self, verb: Method, path: &str, body: impl Into<Bytes>) -> http::Response<Body> {
        let mut request = http::Request::builder().method(verb).uri(path);
        if let Some(key) = &self.bearer.0 {
            request = request.header(header::AUTHORIZATION, key.as_encoded_bytes());
        }
        let request = request.body(Body::new(http_body_util::Full::new(body.into()))).expect("a request");
        self.channel.clone().oneshot(request).await.expect("an answer")
    }

    /// A call with JSON: the status and the body of its answer.
    pub async fn json(&self, verb: Method, path: &str, body: Option<&Value>) -> (StatusCode, Value) {
        let answer = self.ask(verb, path, body.map(ToString::to_string).unwrap_or_default()).await;
        (answer.status, answer.json())
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header's value, if it is there.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A stream's answer, line by line.
#[derive(Debug)]
pub struct Lines {
    body: Body,
    read: BytesMut,
}

impl Lines {
    /// The lines of an answer.
    pub fn of(response: http::Response<Body>) -> Self {
        Self { body: response.into_body(), read: BytesMut::new() }
    }

    /// What comes first: a line of a stream, or the whole of a single answer.
    pub async fn first(mut self) -> Value {
        while !self.read.contains(&b'\n') {
            if !self.read_on().await {
                return serde_json::from_slice(&self.read).expect("JSON");
            }
        }
        self.next().await.unwrap_or_default()
    }

    /// The next line. None: the stream is over.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                return Some(serde_json::from_slice(&self.read.split_to(end + 1)).expect("a line is JSON"));
            }
            if !self.read_on().await {
                return None;
            }
        }
    }

    /// Waits for more. False: nothing comes any more.
    async fn read_on(&mut self) -> bool {
        let Some(frame) = self.body.frame().await else { return false };
        let frame = frame.expect("a stream that does not break");
        self.read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        true
    }
}
