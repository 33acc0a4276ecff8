//! The gateway of Otdel: the one door for people and systems.
//!
//! How a request flows:
//!
//! 1. **Listener** (`otdel_runtime::server`, `Kind::Public`): takes away metadata that looks like ours and answers
//!    health and reflection, which tell nothing about the business.
//! 2. **Which form** ([`Gateway::router`]): `content-type: application/grpc` is gRPC, `application/grpc-web` is gRPC-Web
//!    (`web`); everything else is JSON (`json`). A call in another form is turned into a gRPC request, a JSON one into
//!    that which its `google.api.http` annotation names, and goes the same way from here on; its answer is turned back.
//!    Around all of them, `cors` tells browsers whose pages may call. What can be called with JSON is described in a
//!    document (`openapi`).
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
mod openapi;
mod passthrough;
mod quota;
mod reasons;
mod rpc;
#[cfg(test)]
mod tests;
mod watched;
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

/// How many principals it takes to fill the gateway's places for calls under way: one that leaves its calls waiting keeps
/// the others out of no more than its share.
const SHARE: usize = 4;

/// The gateway's name, which its peers know it by.
pub const SERVICE: &str = "gateway";

/// Whom the gateway lets in beside those with API keys, and how much it takes from each.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whose login tokens let in. None: API keys alone do.
    pub issuer: Option<Issuer>,
    /// How much is taken from a principal that has no number of its own. None: as much as comes, and at once.
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
    quota: Option<Quota>,
    /// The clocks of all services. Used on a test database only.
    suite: Coordinator,
}

/// What callers see of the gateway beside its RPCs.
#[derive(Clone, Debug, Default)]
pub struct Face {
    /// The origins whose pages may call from browsers.
    pub origins: Vec<Origin>,
    /// Whether the OpenAPI document is served.
    pub described: bool,
}

/// Makes the gateway. It knows nobody until [`Gateway::run`] has heard from leads.
pub fn build(clock: Clock, units: Units, identity: Identity, peers: Peers, settings: Settings) -> Gateway {
    let suite = Coordinator::new(identity.clone(), peers.clone());
    let (logins, quota) = (settings.issuer.map(Logins::new), settings.quota);
    Gateway { clock, units, identity, peers, directory: Directory::default(), logins, quota, suite }
}

impl Gateway {
    /// Everything that the public listener serves beside health and reflection. Fails on an HTTP annotation in the
    /// protos that the gateway cannot serve.
    pub fn router(&self, limits: &Limits, face: &Face) -> Result<Router, BadRule> {
        let callers = Arc::new(Callers {
            directory: self.directory.clone(),
            logins: self.logins.clone(),
            quotas: Quotas::new(self.quota, limits.calls / SHARE),
            identity: self.identity.clone(),
        });
        let rpcs = stack(SERVICE, self.routes(callers.clone()), callers, limits);
        let json = Json::new(rpcs.clone())?;
        let door = Door { rpcs: rpcs.with_state(()), json, described: face.described };
        let router = Router::new().fallback(move |request: Request| door.clone().answer(request));
        Ok(if face.origins.is_empty() { router } else { router.layer(cors::layer(&face.origins)) })
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
    fn routes(&self, callers: Arc<Callers>) -> Routes {
        let own = GatewayServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST);
        let mut routes = Routes::new(own);
        if self.clock.is_standing() {
            let clock = TestClockServiceServer::new(self.clone()).max_decoding_message_size(MAX_REQUEST);
            routes = routes.add_service(clock);
        }
        let peers = self.peers.clone();
        let pass = move |request: Request| passthrough::pass(peers.clone(), callers.clone(), request);
        Routes::from(routes.into_axum_router().fallback(pass))
    }
}

/// Every form in which a caller may come.
#[derive(Clone)]
struct Door {
    rpcs: Router,
    json: Json,
    described: bool,
}

impl Door {
    /// gRPC says what it is; everything else is taken for JSON, so that its refusals can be read where they arrive.
    async fn answer(self, request: Request) -> Response {
        let form = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
        if form.starts_with(web::GRPC_WEB.as_bytes()) {
            return web::answer(self.rpcs, request).await;
        }
        if form.starts_with(b"application/grpc") {
            let Ok(response) = self.rpcs.oneshot(request).await;
            return response;
        }
        let answer = if self.described && request.uri().path() == openapi::PATH {
            openapi::document(self.json.table()).answer(&request)
        } else {
            self.json.answer(request).await
        };
        answer::guarded(answer)
    }
}
