use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};
use tonic::{service::Routes, transport::Server};
use tower::service_fn;

use super::{
    Health, Limits, Listener, ServerTls,
    connection::{Patience, Places},
    door::{Door, LONGEST_HEAD, door},
    reflection,
};

/// Who connects to a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// People and systems outside: HTTP/1.1 beside HTTP/2, narrow windows, and nothing of ours is taken from metadata.
    /// Under TLS clients that offer protocols must offer HTTP/2 among them.
    Public,
    /// Other services, by mutual TLS. Without it nobody is anybody, and every call is refused.
    Internal,
    /// The operator's tools on this machine.
    Admin,
}

/// What a listener serves.
#[derive(Debug)]
pub struct Serve {
    /// The role.
    pub service: &'static str,
    /// Who connects.
    pub kind: Kind,
    /// The role's [`stack`](super::stack), with what the gateway adds around it.
    pub router: Router,
    /// Certificates, or none for plain text.
    pub tls: Option<ServerTls>,
    /// What the listener bears.
    pub limits: Limits,
    /// What health checks are answered. None: there are none.
    pub health: Option<Health>,
    /// Whether clients may ask what RPCs there are.
    pub reflection: bool,
}

impl Serve {
    /// A role's RPCs in plain text, within the default limits, with reflection.
    pub fn new(service: &'static str, kind: Kind, router: Router) -> Self {
        let reflection = kind != Kind::Admin;
        Self { service, kind, router, tls: None, limits: Limits::default(), health: None, reflection }
    }
}

/// Why a listener cannot serve what it was given.
#[derive(Debug, thiserror::Error)]
pub enum Unservable {
    /// The certificates do not fit.
    #[error("the certificates of {0} cannot be used: {1}")]
    Tls(&'static str, tonic::transport::Error),
    /// The descriptors cannot be read.
    #[error("reflection cannot be served: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// The listener has no address.
    #[error("the listener cannot be used: {0}")]
    Listener(#[from] std::io::Error),
}

/// A listener that is served, until it is shut down or dropped; dropped, it breaks off whatever is under way.
#[derive(Debug)]
pub struct Serving {
    service: &'static str,
    address: SocketAddr,
    calls: TaskTracker,
    places: Places,
    stopping: CancellationToken,
    kill: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

/// Serves a listener in a task of its own. It ends by [`shut_down`](super::shut_down).
pub fn serve(listener: Listener, what: Serve) -> Result<Serving, Unservable> {
    let (service, patience) = (what.service, Patience::of(what.kind, &what.limits));
    let address = listener.local_addr()?;
    // A refusal is then seen as a step from 0.
    metrics::counter!("otdel_connections_refused_total", "service" => service).increment(0);
    let (calls, places) = (TaskTracker::new(), Places::new(service, what.limits.clone()));
    let (stopping, kill) = (CancellationToken::new(), CancellationToken::new());
    let at_door = Arc::new(Door { service, kind: what.kind, calls: calls.clone(), stopping: stopping.clone() });
    let mut server = settings(what.kind);
    if let Some(tls) = &what.tls {
        server = server.tls_config(tls.for_kind(what.kind)).map_err(|error| Unservable::Tls(service, error))?;
    }
    if what.kind == Kind::Internal && what.tls.is_none() {
        tracing::warn!(service, "internal listener without mutual TLS: it cannot know who calls");
    }
    let served = with_common_services(what)?.with_state(());
    let router = Router::new().fallback_service(service_fn(move |request| {
        let (at_door, served) = (at_door.clone(), served.clone());
        async move { Ok::<_, Infallible>(door(at_door, served, request).await) }
    }));
    let incoming = Box::pin(listener.incoming(service, places.clone(), patience, kill.clone()));
    let stop = stopping.clone().cancelled_owned();
    let work = server.add_routes(Routes::from(router)).serve_with_incoming_shutdown(incoming, stop);
    let task = tokio::spawn(async move {
        if let Err(error) = work.await {
            tracing::error!(service, %error, "listener ended");
        }
    });
    tracing::info!(service, %address, "listening");
    Ok(Serving { service, address, calls, places, stopping, kill, _task: AbortOnDropHandle::new(task) })
}

/// Health and reflection: outside of the role's layers, because they must answer where the role is overloaded.
fn with_common_services(what: Serve) -> Result<Router, Unservable> {
    let mut routes = Routes::from(what.router);
    if let Some(health) = &what.health {
        routes = routes.add_service(health.server());
    }
    if what.reflection {
        routes = reflection::add_to(routes, what.service)?;
    }
    Ok(routes.into_axum_router())
}

/// How connections are treated. There is no age at which they are closed: with a grace after it, tonic kills calls that
/// are under way, and a balancing client does not need it.
fn settings(kind: Kind) -> Server {
    let server = Server::builder()
        // A peer that is gone without a word is noticed within 15 s.
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .http2_keepalive_timeout(Some(Duration::from_secs(5)));
    match kind {
        Kind::Public | Kind::Admin => server
            .accept_http1(true)
            .max_concurrent_streams(100)
            .initial_stream_window_size(64 * 1024)
            .initial_connection_window_size(1024 * 1024)
            .http2_max_header_list_size(LONGEST_HEAD),
        Kind::Internal => server
            // The gateway brings everybody's calls and subscriptions on one connection.
            .max_concurrent_streams(1000)
            // What comes in from outside, and the internal token with many teams and permissions.
            .http2_max_header_list_size(16 * 1024)
            // A storm of calls whose callers gave up would otherwise look like an attack and end the connection for
            // all.
            .http2_max_pending_accept_reset_streams(Some(2000))
            .http2_max_local_error_reset_streams(Some(10_000)),
    }
}

impl Serving {
    /// The role.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// The address, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port, asks clients to go elsewhere (GOAWAY) and ends streams.
    pub(super) fn stop_accepting(&self) {
        self.stopping.cancel();
    }

    /// Waits until every answer is handed to its connection.
    pub(super) async fn answered(&self) {
        self.calls.close();
        self.calls.wait().await;
    }

    /// Whether no answer is owed.
    pub(super) fn is_idle(&self) -> bool {
        self.calls.is_empty()
    }

    /// Waits until every connection is closed.
    pub(super) async fn closed(&self) {
        self.places.empty().await;
    }

    /// Breaks every connection, also those whose peers would keep them for ever.
    pub(super) fn kill(&self) {
        self.kill.cancel();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // tonic's task for a connection lives on when the one that accepted it is aborted.
        self.kill.cancel();
    }
}
