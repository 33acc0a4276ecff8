use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse as _, Response},
};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::server::TlsConnectInfo;
use tower::ServiceExt as _;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{
    Connection, Kind,
    counted::Counted,
    ending::{Cut, Stopping, ending},
};
use crate::auth::{Caller, SERVICES, is_open};

/// What stands between a listener and everything that it serves.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) service: &'static str,
    pub(super) kind: Kind,
    /// Calls whose answers are not sent yet.
    pub(super) calls: TaskTracker,
    /// Cancelled when the listener is to end.
    pub(super) stopping: CancellationToken,
}

/// The longest head of a request from outside, in bytes as HTTP/2 counts them.
pub(super) const LONGEST_HEAD: u32 = 8 * 1024;

/// Lets a request in to what is `served`: notes that its connection is in use, says who calls as far as the transport knows
/// and when the listener ends, and counts the call until its answer is sent, so that a drain can wait for it.
pub(super) async fn door(door: Arc<Door>, served: Router, mut request: Request) -> Response {
    if door.kind != Kind::Internal && head_size(&request) > LONGEST_HEAD as usize {
        return StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response();
    }
    let call = door.calls.token();
    let connection = request.extensions().get::<Connection>().cloned();
    // Health and reflection do not keep it: a stranger could hold a stream of theirs open for ever. Peers, who listen to
    // each other's health, have shown who they are.
    let is_open = is_open(request.uri().path());
    let keeps = door.kind == Kind::Internal || !is_open;
    let in_use = connection.as_ref().map(|connection| connection.begin_call(request.version()));
    let in_use = in_use.filter(|_| keeps);
    match door.kind {
        Kind::Public | Kind::Admin => strip_ours(request.headers_mut()),
        Kind::Internal => {
            let service = connection.and_then(|connection| connection.service(|| certified(request.extensions())));
            if let Some(service) = service {
                request.extensions_mut().insert(Caller(service));
            }
        }
    }
    request.extensions_mut().insert(Stopping(door.stopping.clone()));
    let Ok(answer) = served.oneshot(request).await;
    answer.map(|body| {
        // What no role's stack knows ends here.
        let body = if is_open { ending(body, door.service, door.stopping.clone(), Cut::WhenIdle) } else { body };
        Body::new(Counted { body, _call: call, _in_use: in_use })
    })
}

/// How much a request brings beside its body. HTTP/2 does not let more in, and answers as the door does; HTTP/1.1 has a
/// bound of its own, 408 KiB, that is not ours to set. What is passed on to a service and is too much for its listener
/// would end the connection of everybody.
fn head_size(request: &Request) -> usize {
    let of_header = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 32;
    request.uri().path_and_query().map_or(0, |path| path.as_str().len())
        + request.headers().iter().map(of_header).sum::<usize>()
}

/// Takes away metadata from outside that looks like ours, the internal token first of all.
fn strip_ours(headers: &mut HeaderMap) {
    let ours: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().starts_with("otdel-")).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
}

/// The service that the client's certificate names. TLS has checked that our authority signed it.
fn certified(extensions: &Extensions) -> Option<&'static str> {
    let certificates = extensions.get::<TlsConnectInfo<Connection>>()?.peer_certs()?;
    let service = service_in(certificates.first()?);
    if service.is_none() {
        tracing::warn!("client certificate names no service, or several");
    }
    service
}

/// The one service among a certificate's DNS names. Its common name counts for nothing, as everywhere today.
fn service_in(certificate: &[u8]) -> Option<&'static str> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = &certificate.subject_alternative_name().ok()??.value.general_names;
    let mut services = names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => SERVICES.into_iter().find(|service| service == name),
        _ => None,
    });
    // A certificate that speaks for several would make the callee choose.
    services.next().filter(|_| services.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(names: &[&str]) -> Vec<u8> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        rcgen::generate_simple_self_signed(names).unwrap().cert.der().to_vec()
    }

    #[test]
    fn a_certificate_speaks_for_the_one_service_that_it_names() {
        assert_eq!(service_in(&certificate(&["billing"])), Some("billing"));
        assert_eq!(service_in(&certificate(&["localhost", "billing", "10.0.0.1"])), Some("billing"));
        assert_eq!(service_in(&certificate(&["localhost"])), None);
        assert_eq!(service_in(&certificate(&["billing", "leads"])), None);
        assert_eq!(service_in(&certificate(&["billing.example"])), None);
        assert_eq!(service_in(b"no certificate"), None);
    }

    #[test]
    fn metadata_that_looks_like_ours_does_not_come_in() {
        let mut headers = HeaderMap::new();
        for name in ["otdel-token", "otdel-no-retry", "otdel-anything", "authorization", "grpc-timeout"] {
            headers.append(HeaderName::from_static(name), "x".parse().unwrap());
            headers.append(HeaderName::from_static(name), "y".parse().unwrap());
        }
        strip_ours(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "grpc-timeout"]);
    }
}
