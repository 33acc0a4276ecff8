//! The gateway of Otdel: the one door for people and systems.
//!
//! How a request flows:
//!
//! 1. **Listener** (`otdel_runtime::server`, `Kind::Public`): takes away metadata that looks like ours and answers
//!    health and reflection, which tell nothing about the business.
//! 2. **Which form** ([`Gateway::router`]): `content-type: application/grpc` is gRPC, `application/grpc-web` is gRPC-Web
//!    (`web`); everything else is JSON (`json`). A call in another form is turned into a gRPC request, a JSON one into
//!    that which its `google.api.http` annotation names, and goes the same way from here on; its answer is turned back.
//!    Around all of them, `cors` tells browsers whose pages may call.
//! 3. **Stack** (`otdel_runtime::server::stack`): span, metrics, deadline, load shedding, then the guard. The guard
//!    asks `authenticator` who calls: an API key, or whom a login token (`jwt`) is for, is looked up in `directory`, which
//!    follows leads' directory in memory, and becomes an internal token that the gateway signs. Calls are counted there
//!    (`quota`). Then the guard checks the RPC's policy and denies by default.
//! 4. **RPC**: the gateway's own (`rpc`) ask several services with the caller's token and leave out what one of them
//!    does not give. Every other RPC is passed on (`passthrough`) to the service of its package as it came, with the
//!    internal token instead of the key.
//!
//! The gateway has no database and decides nothing that a service could decide: which rows a caller reaches is each
//! service's own `Scope`.

mod answer;
mod authenticator;
mod comments;
mod cors;
mod directory;
mod domain;
mod error;
mod json;
mod jwt;
mod passthrough;
mod quota;
mod reasons;
mod rpc;
#[cfg(test)]
mod tests;
mod web;

use std::sync::Arc;

use axum::{Router, extract::Request, response::Response};
use http::{HeaderValue, header::CONTENT_TYPE};
use otdel_api::{
    gateway::gateway_service_server::GatewayServiceServer, test::test_clock_service_server::TestClockServiceServer,
};
use otdel_runtime::{
    auth::Identity,
    clock::Clock,
    core::Units,
    peers::Peers,
    server::{Limits, MAX_REQUEST, stack},
    testclock::Coordinator,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tower::ServiceExt as _;

use crate::{authenticator::Callers, directory::Directory, json::Json, jwt::Logins, quota::Quotas};
pub use crate::{
    cors::{BadOrigin, Origin},
    json::BadRule,
    jwt::{BadIssuer, Issuer, KeySource},
    quota::Quota,
};

/// The gateway's name, which its peers know it by.
pub const SERVICE: &str = "gateway";

/// Whom the gateway lets in beside those with API keys, and how much it takes from each.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whose login tokens let in. None: API keys alone do.
    pub issuer: Option<Issuer>,
    /// How much is taken from a principal that has no number of its own. None: as much as comes.
    pub quota: Option<Quota>,
}

/// The gateway: what its RPCs, its door and its JSON side share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway {
    clock: Clock,
    units: Units,
    identity: Identity,
    peers: Peers,
    directory: Directory,
    logins: Option<Logins>,
    quotas: Quotas,
    /// The clocks of all services. Used on a test database only.
    suite: Coordinator,
}

/// Makes the gateway. It knows nobody until [`Gateway::run`] has heard from leads.
pub fn build(clock: Clock, units: Units, identity: Identity, peers: Peers, settings: Settings) -> Gateway {
    let suite = Coordinator::new(identity.clone(), peers.clone());
    let (logins, quotas) = (settings.issuer.map(Logins::new), Quotas::new(settings.quota));
    Gateway { clock, units, identity, peers, directory: Directory::default(), logins, quotas, suite }
}

impl Gateway {
    /// Everything that the public listener serves beside health and reflection. Scripts on pages of `origins` may call
    /// it. Fails on an HTTP annotation in the protos that the gateway cannot serve.
    pub fn router(&self, limits: &Limits, origins: &[Origin]) -> Result<Router, BadRule> {
        let callers = Callers {
            directory: self.directory.clone(),
            logins: self.logins.clone(),
            quotas: self.quotas.clone(),
            identity: self.identity.clone(),
        };
        let rpcs = stack(SERVICE, self.routes(), Arc::new(callers), limits);
        let json = Json::new(rpcs.clone())?;
        let rpcs = rpcs.with_state(());
        let router = Router::new().fallback(move |request: Request| by_form(rpcs.clone(), json.clone(), request));
        Ok(if origins.is_empty() { router } else { router.layer(cors::layer(origins)) })
    }

    /// Whether callers can be told apart. The gateway is ready when they can.
    pub fn readiness(&self) -> watch::Receiver<bool> {
        self.directory.readiness()
    }

    /// Follows leads' directory and the issuer's keys until it is stopped: what must run beside the router.
    pub async fn run(&self, stop: CancellationToken) {
        let logins = async {
            if let Some(logins) = &self.logins {
                logins.run(stop.clone()).await;
            }
        };
        tokio::join!(logins, self.directory.follow(self.peers.leads.clone(), &self.identity, stop.clone()));
    }

    /// The gateway's own RPCs, and under every other path the services'. Where time does not stand still, nobody can
    /// move it: the path of the test clock leads to no service.
    fn routes(&self) -> Routes {
        let own = GatewayServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST);
        let mut routes = Routes::new(own);
        if self.clock.is_standing() {
            let clock = TestClockServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST);
            routes = routes.add_service(clock);
        }
        let peers = self.peers.clone();
        let pass = move |request: Request| passthrough::pass(peers.clone(), request);
        Routes::from(routes.into_axum_router().fallback(pass))
    }
}

/// gRPC says what it is; everything else is taken for JSON, so that its refusals can be read where they arrive.
async fn by_form(rpcs: Router, json: Json, request: Request) -> Response {
    let form = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if form.starts_with(web::GRPC_WEB.as_bytes()) {
        return web::answer(rpcs, request).await;
    }
    if !form.starts_with(b"application/grpc") {
        return answer::guarded(json.answer(request).await);
    }
    match rpcs.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
