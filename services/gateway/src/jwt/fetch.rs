//! Fetching a key set over the web.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::CertificateDer};

use super::keys::LONGEST;

/// How long an issuer may take for all of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks one address for one thing. It follows no redirects: where keys come from is the operator's word alone.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFetched {
    #[error("the address does not answer: {0}")]
    Unreachable(#[from] hyper_util::client::legacy::Error),
    #[error("the address answers {0}")]
    Status(StatusCode),
    #[error("the answer broke off or is longer than 256 KiB: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("there was no whole answer within 5 s")]
    Slow,
}

impl Fetch {
    /// Believes servers whose certificate one of the authorities has signed; without any, those that browsers believe.
    pub(super) fn new(url: Uri, authorities: &[CertificateDer<'static>]) -> Result<Self, rustls::Error> {
        let mut roots = RootCertStore::empty();
        if authorities.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        for authority in authorities {
            roots.add(authority.clone())?;
        }
        // Named, so that it does not matter what the process has installed.
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        // It is asked every few minutes: a connection kept so long is likely to be dead.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        Ok(Self { url, client })
    }

    /// What is there.
    pub(super) async fn get(&self) -> Result<Bytes, NotFetched> {
        tokio::time::timeout(PATIENCE, self.ask()).await.unwrap_or(Err(NotFetched::Slow))
    }

    async fn ask(&self) -> Result<Bytes, NotFetched> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.url.clone();
        request.headers_mut().insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
        let response = self.client.request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(NotFetched::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(NotFetched::Body)?;
        Ok(body.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::SocketAddr,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use axum::{Router, response::Redirect, routing::get};
    use tokio::net::TcpListener;

    use super::*;

    static ASKED: AtomicUsize = AtomicUsize::new(0);

    async fn server() -> SocketAddr {
        let elsewhere = || async {
            ASKED.fetch_add(1, Ordering::SeqCst);
            "keys"
        };
        let router = Router::new()
            .route("/keys", get(|| async { "keys" }))
            .route("/huge", get(|| async { "k".repeat(LONGEST + 1) }))
            .route("/moved", get(|| async { Redirect::temporary("/elsewhere") }))
            .route("/elsewhere", get(elsewhere));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn only_a_whole_answer_of_bounded_size_from_the_address_itself_counts() {
        let address = server().await;
        let get = async |path: &str| {
            let url = format!("http://{address}{path}").parse().unwrap();
            Fetch::new(url, &[]).unwrap().get().await
        };
        assert_eq!(get("/keys").await.unwrap(), "keys");
        assert!(matches!(get("/huge").await, Err(NotFetched::Body(_))));
        assert!(matches!(get("/moved").await, Err(NotFetched::Status(StatusCode::TEMPORARY_REDIRECT))));
        assert_eq!(ASKED.load(Ordering::SeqCst), 0, "a redirect is not followed");
        assert!(matches!(get("/absent").await, Err(NotFetched::Status(StatusCode::NOT_FOUND))));
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let nobody = Fetch::new(format!("http://{nobody}").parse().unwrap(), &[]).unwrap();
        assert!(matches!(nobody.get().await, Err(NotFetched::Unreachable(_))));
    }
}
