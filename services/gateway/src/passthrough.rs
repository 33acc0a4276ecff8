//! gRPC calls for the services behind the gateway.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{extract::Request, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::{Frame, SizeHint};
use otdel_runtime::{
    auth::{Admitted, TOKEN_HEADER},
    fault::Fault,
    peers::{NO_RETRY_HEADER, Peers, Rpc},
};
use tonic::{Code, Status, body::Body};
use tower::ServiceExt as _;

use crate::{SERVICE, authenticator::Callers, watched::Watched};

/// The headers that go through. A list of what may pass, because what looks like ours must not: the internal token,
/// above all, and whatever header a service will trust one day.
const CARRIED: [HeaderName; 8] = [
    header::CONTENT_TYPE,
    header::TE,
    header::USER_AGENT,
    HeaderName::from_static("grpc-accept-encoding"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Passes a call on to the service of its package and the answer back, both as streams of bytes that nobody decodes
/// here.
///
/// The guard has let the call in by its RPC's policy; the service checks its rows. The caller's key stays here and the
/// internal token goes instead. Nothing is tried again: the caller does that, and it knows for how long. A stream ends
/// where its caller would no longer be let in.
pub(crate) async fn pass(peers: Peers, callers: Arc<Callers>, request: Request) -> Response {
    let streamed =
        request.extensions().get::<Admitted>().map(|admitted| admitted.policy).filter(|policy| policy.streams);
    let key = request.headers().get(header::AUTHORIZATION).map(|key| (header::AUTHORIZATION, key.clone()));
    let passed = match outgoing(&peers, request) {
        Ok((peer, request)) => peer.clone().oneshot(request).await,
        Err(fault) => Err(fault.into_status(SERVICE)),
    };
    match passed {
        Ok(response) if response.headers().contains_key(Status::GRPC_STATUS) => {
            // A refusal is all in its headers, and the stream ends with them: other clients than ours take an empty
            // frame after it for a broken connection. A body that was collected does not say that it is empty.
            response.map(|_| axum::body::Body::empty())
        }
        Ok(response) => response.map(|body| match streamed {
            Some(policy) => {
                axum::body::Body::new(Watched::new(Ended(body), callers, HeaderMap::from_iter(key), policy))
            }
            None => axum::body::Body::new(Ended(body)),
        }),
        Err(status) => status.into_http(),
    }
}

fn outgoing(peers: &Peers, request: Request) -> Result<(&Rpc, http::Request<Body>), Fault> {
    let (mut head, body) = request.into_parts();
    let no_such_rpc = || Fault::new(Code::Unimplemented, "NO_SUCH_RPC", "there is no such RPC");
    let admitted = head.extensions.remove::<Admitted>().filter(|admitted| !admitted.policy.internal);
    let admitted = admitted.ok_or_else(no_such_rpc)?;
    let peer = service_of(head.uri.path()).and_then(|service| peers.by_name(service)).ok_or_else(no_such_rpc)?;
    head.headers = headers(&head.headers, &admitted.token)?;
    Ok((peer, http::Request::from_parts(head, Body::new(body))))
}

/// The service that an RPC's path is for: the second segment of the package, as in
/// `/otdel.leads.v1.LeadService/GetLead`.
fn service_of(path: &str) -> Option<&str> {
    path.strip_prefix("/otdel.")?.split('.').next()
}

fn headers(given: &HeaderMap, token: &str) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::with_capacity(CARRIED.len() + 2);
    for name in CARRIED {
        if let Some(value) = given.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(HeaderName::from_static(TOKEN_HEADER), HeaderValue::try_from(token).map_err(Fault::internal)?);
    headers.insert(HeaderName::from_static(NO_RETRY_HEADER), HeaderValue::from_static("1"));
    Ok(headers)
}

/// An answer that ends with a status even where it breaks off: without one HTTP/2 resets the stream, and the reader
/// takes a service that went away for an error of ours.
struct Ended(Body);

impl http_body::Body for Ended {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let broken = |status: Status| {
            let mut trailers = HeaderMap::new();
            status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))
        };
        Pin::new(&mut self.0).poll_frame(cx).map(|frame| frame.map(|frame| frame.or_else(broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
