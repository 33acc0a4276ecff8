//! A gateway, and services behind it whose answers a test chooses.

use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    routing::{MethodRouter, post},
};
use otdel_api::leads::{DirectoryKey, DirectoryPrincipal, Role, WatchDirectoryRequest, WatchDirectoryResponse};
use otdel_runtime::{
    auth::{Admitted, Identity, InternalToken, Keyring},
    call::Deadline,
    clock::Clock,
    core::Units,
    peers::{Hub, Peers},
    server::{Limits, stack},
};
use otdel_types::{PersonId, PrincipalId};
use prost::Message;
use ring::{
    digest::{SHA256, digest},
    rand::SystemRandom,
    signature::Ed25519KeyPair,
};
use tokio::sync::watch;
use tokio_stream::{Stream, StreamExt as _, wrappers::WatchStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Response, Status, metadata::MetadataMap, service::Routes};
use tonic_prost::ProstCodec;
use tower::service_fn;
use uuid::Uuid;

use crate::{Face, Gateway, Settings};

/// The origin whose pages may call.
pub(super) const PAGES: &str = "https://crm.example.org";

/// What a made-up RPC is asked, and by whom.
pub(super) struct Asked<Q> {
    pub(super) msg: Q,
    pub(super) principal: String,
    pub(super) metadata: MetadataMap,
    pub(super) deadline: Option<Deadline>,
}

impl<Q> From<tonic::Request<Q>> for Asked<Q> {
    fn from(request: tonic::Request<Q>) -> Self {
        let (metadata, extensions, msg) = request.into_parts();
        let principal =
            extensions.get::<Admitted>().map(|admitted| admitted.principal.name.clone()).unwrap_or_default();
        Self { msg, principal, metadata, deadline: extensions.get::<Deadline>().copied() }
    }
}

/// An RPC with a single answer.
pub(super) fn unary<Q, A>(
    answer: impl Fn(Asked<Q>) -> Result<A, Status> + Clone + Send + Sync + 'static,
) -> MethodRouter
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
{
    post(move |request: Request| {
        let answer = service_fn(move |request: tonic::Request<Q>| ready(answer(request.into()).map(Response::new)));
        async move { tonic::server::Grpc::new(ProstCodec::<A, Q>::default()).unary(answer, request).await }
    })
}

/// An RPC that answers with a stream.
pub(super) fn streaming<Q, A, S>(answer: impl Fn(Asked<Q>) -> S + Clone + Send + Sync + 'static) -> MethodRouter
where
    Q: Message + Default + 'static,
    A: Message + Default + 'static,
    S: Stream<Item = Result<A, Status>> + Send + 'static,
{
    post(move |request: Request| {
        let answer =
            service_fn(move |request: tonic::Request<Q>| ready(Ok::<_, Status>(Response::new(answer(request.into())))));
        async move { tonic::server::Grpc::new(ProstCodec::<A, Q>::default()).server_streaming(answer, request).await }
    })
}

/// Somebody with a key.
#[derive(Clone, Debug)]
pub(super) struct Somebody {
    pub(super) principal: String,
    pub(super) person: String,
    pub(super) key: Uuid,
    /// How a login names them; empty where none does.
    pub(super) subject: String,
    secret: String,
    role: Role,
}

impl Somebody {
    pub(super) fn with_role(role: Role) -> Self {
        Self {
            principal: PrincipalId::new().to_string(),
            person: PersonId::new().to_string(),
            key: Uuid::now_v7(),
            subject: String::new(),
            secret: format!("secret of {}", Uuid::now_v7()),
            role,
        }
    }

    pub(super) fn bearer(&self) -> String {
        format!("Bearer {}.{}", self.key, self.secret)
    }

    pub(super) fn as_principal(&self) -> DirectoryPrincipal {
        DirectoryPrincipal {
            name: self.principal.clone(),
            person: self.person.clone(),
            roles: vec![self.role.into()],
            active: true,
            subject: self.subject.clone(),
            ..Default::default()
        }
    }

    pub(super) fn as_key(&self) -> DirectoryKey {
        DirectoryKey {
            id: self.key.to_string(),
            principal: self.principal.clone(),
            secret_digest: digest(&SHA256, self.secret.as_bytes()).as_ref().to_vec(),
            ..Default::default()
        }
    }

    /// A request of this caller's.
    pub(super) fn asks<M>(&self, msg: M) -> tonic::Request<M> {
        let mut request = tonic::Request::new(msg);
        request.metadata_mut().insert("authorization", self.bearer().parse().unwrap());
        request
    }
}

/// A gateway with the services behind it. Dropped, it stops.
pub(super) struct World {
    pub(super) gateway: Gateway,
    /// The public side.
    pub(super) router: Router,
    pub(super) hub: Hub,
    pub(super) directory: watch::Sender<WatchDirectoryResponse>,
    /// How often the directory was asked for.
    pub(super) asked: watch::Sender<usize>,
    keyring: Keyring,
    _stop: DropGuard,
}

impl World {
    /// A gateway that knows `callers`, in front of services that answer nothing yet.
    pub(super) async fn with(callers: &[&Somebody]) -> Self {
        Self::at(Clock::system(), callers).await
    }

    /// The same with a clock.
    pub(super) async fn at(clock: Clock, callers: &[&Somebody]) -> Self {
        Self::before_the_directory(clock).knowing(callers).await
    }

    /// The same, once it knows these callers.
    pub(super) async fn knowing(self, callers: &[&Somebody]) -> Self {
        let world = self;
        world.open("leads", Router::new());
        world.directory.send_replace(WatchDirectoryResponse {
            version: 1,
            principals: callers.iter().map(|caller| caller.as_principal()).collect(),
            keys: callers.iter().map(|caller| caller.as_key()).collect(),
            unchanged: false,
        });
        world.ready().await;
        world
    }

    /// A gateway that cannot reach leads.
    pub(super) fn before_the_directory(clock: Clock) -> Self {
        Self::with_settings(clock, Settings::default())
    }

    /// The same with settings.
    pub(super) fn with_settings(clock: Clock, settings: Settings) -> Self {
        let identity = identity();
        let keyring = Keyring::new([("gateway".to_owned(), identity.public_key())]);
        let hub = Hub::default();
        let gateway = crate::build(clock, Units::new(100), identity, Peers::in_process(&hub, "gateway"), settings);
        let stop = CancellationToken::new();
        let (followed, stopped) = (gateway.clone(), stop.clone());
        tokio::spawn(async move { followed.run(stopped).await });
        Self {
            router: gateway
                .router(&Limits::default(), &Face { origins: vec![PAGES.parse().unwrap()], described: true })
                .unwrap(),
            gateway,
            hub,
            directory: watch::Sender::new(WatchDirectoryResponse::default()),
            asked: watch::Sender::new(0),
            keyring,
            _stop: stop.drop_guard(),
        }
    }

    /// Opens a service with these RPCs by their paths; leads has the directory besides.
    pub(super) fn open(&self, service: &'static str, rpcs: Router) {
        let (changes, count) = (self.directory.subscribe(), self.asked.clone());
        let directory = streaming(move |asked: Asked<WatchDirectoryRequest>| {
            assert_eq!(asked.principal, "service:gateway");
            count.send_modify(|count| *count += 1);
            WatchStream::new(changes.clone()).filter(|sent| sent.version > 0).map(Ok)
        });
        let rpcs = match service {
            "leads" => rpcs.route("/otdel.leads.v1.DirectoryService/WatchDirectory", directory),
            _ => rpcs,
        };
        let auth = Arc::new(InternalToken(self.keyring.clone()));
        self.hub.open(service, stack(service, Routes::from(rpcs), auth, &Limits::default()));
    }

    /// Waits until the gateway knows a directory.
    pub(super) async fn ready(&self) {
        self.gateway.readiness().wait_for(|ready| *ready).await.unwrap();
    }

    /// Waits until the gateway has loaded a version of the directory.
    pub(super) async fn version(&self, version: i64) {
        let loaded = async {
            while !self.gateway.directory.known().is_ok_and(|known| known.version == version) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), loaded).await.unwrap();
    }
}

fn identity() -> Identity {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Identity::new("gateway", pkcs8.as_ref()).unwrap()
}

/// The reason and metadata of a refusal, and whose it is.
pub(super) fn told(status: &Status) -> (tonic::Code, String, String) {
    use tonic_types::StatusExt as _;
    let info = status.get_details_error_info().expect("a refusal without ErrorInfo");
    (status.code(), info.reason, info.domain)
}

/// What cannot fail.
pub(super) fn sure<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(value) => value,
        Err(never) => match never {},
    }
}
