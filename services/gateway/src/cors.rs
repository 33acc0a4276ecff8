//! Which pages' scripts may call: cross-origin resource sharing.

use std::{str::FromStr, time::Duration};

use http::{HeaderName, HeaderValue, Method, Uri, header, uri::Scheme};
use otdel_runtime::server::REQUEST_ID_HEADER;
use tonic::Status;
use tower_http::cors::CorsLayer;

use crate::quota::QUOTA_HEADERS;

/// An origin from whose pages browsers may call, as a browser names it: `https://crm.example.org`.
///
/// Every one is named; there is no `*`. A key does not travel by itself as a cookie does, but a gateway often stands in a
/// network that pages from elsewhere do not reach, and `*` would let any page that somebody inside opens reach it through
/// their browser, with whatever key they were talked into pasting there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(HeaderValue);

/// A text that names no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin: name each one as https://host or https://host:port, without a path; `*` is not taken")]
pub struct BadOrigin(String);

impl FromStr for Origin {
    type Err = BadOrigin;

    /// Reads an origin and writes it as browsers do: in small letters, without the scheme's own port.
    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let bad = || BadOrigin(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| bad())?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(bad()) };
        let own_port = match scheme {
            scheme if *scheme == Scheme::HTTPS => 443,
            scheme if *scheme == Scheme::HTTP => 80,
            _ => return Err(bad()),
        };
        let is_host = authority.as_str() == authority.host();
        let is_host_and_port =
            authority.port_u16().is_some_and(|port| *authority.as_str() == format!("{}:{port}", authority.host()));
        let is_whole = text.len() == scheme.as_str().len() + "://".len() + authority.as_str().len();
        // A star may stand in a URI's host, and would be no pattern but a host that no page is from.
        if !is_whole || !(is_host || is_host_and_port) || authority.host().contains('*') {
            return Err(bad());
        }
        let host = authority.host().to_ascii_lowercase();
        let port = authority.port_u16().filter(|port| *port != own_port).map(|port| format!(":{port}"));
        let origin = format!("{scheme}://{host}{}", port.unwrap_or_default());
        HeaderValue::try_from(origin).map(Self).map_err(|_| bad())
    }
}

/// How long a browser need not ask again. Chromium takes no more than two hours.
const REMEMBERED: Duration = Duration::from_hours(1);

/// Lets pages of these origins call in every form and read what answers say. Cookies mean nothing here, so they are not
/// allowed.
pub(crate) fn layer(origins: &[Origin]) -> CorsLayer {
    let sent = [
        header::AUTHORIZATION,
        header::CONTENT_TYPE,
        header::IF_NONE_MATCH,
        HeaderName::from_static("grpc-timeout"),
        HeaderName::from_static("traceparent"),
        HeaderName::from_static("tracestate"),
        // What the clients of gRPC-Web send.
        HeaderName::from_static("x-grpc-web"),
        HeaderName::from_static("x-user-agent"),
    ];
    let read = [
        HeaderName::from_static(REQUEST_ID_HEADER),
        Status::GRPC_STATUS,
        Status::GRPC_MESSAGE,
        Status::GRPC_STATUS_DETAILS,
        header::ALLOW,
        header::ETAG,
        header::RETRY_AFTER,
        header::WWW_AUTHENTICATE,
    ];
    CorsLayer::new()
        .allow_origin(origins.iter().map(|origin| origin.0.clone()).collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(sent)
        .expose_headers(read.into_iter().chain(QUOTA_HEADERS).collect::<Vec<_>>())
        .max_age(REMEMBERED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_write_it() {
        for (text, origin) in [
            ("https://crm.example.org", "https://crm.example.org"),
            ("https://CRM.example.org:443", "https://crm.example.org"),
            ("HTTP://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://xn--80aswg.xn--p1ai:8443", "https://xn--80aswg.xn--p1ai:8443"),
        ] {
            assert_eq!(text.parse::<Origin>().map(|origin| origin.0), Ok(origin.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "*",
            "null",
            "crm.example.org",
            "https://",
            "https://a/",
            "https://a/path",
            "https://a?x",
            "https://u@a",
            "https://a:",
            "https://a:99999",
            "ftp://a",
            "https://*.example.org",
            "https://сайт.рф",
            " https://a",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
