//! The roles of one process: built, connected to each other and to those elsewhere, served, and ended in order.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use chrono::DateTime;
use otdel_gateway::{Face, Origin};
use otdel_runtime::{
    auth::InternalToken,
    clock::{Clock, pause},
    core::{Core, Units},
    db::{self, Schema},
    faults::Faults,
    peers::{ClientTls, HostPort, Hub, Peers, Rpc},
    server::{self, Drain, Health, Kind, Limits, Listener, Serve, ServerTls, Serving, Shutdown},
    service::{self, Running, Service},
    telemetry::Telemetry,
    vitals,
};
use sqlx::{Connection as _, PgPool, postgres::PgConnectOptions};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{certificate, cli::Role, secrets::RoleSecrets};

/// What one process runs.
#[derive(Debug)]
pub struct NodeConfig {
    /// The roles, in the order in which they start.
    pub roles: Vec<RoleConfig>,
    /// Where the services are that do not run here.
    pub elsewhere: HashMap<&'static str, Vec<HostPort>>,
    /// Whether the databases are test databases.
    pub test: bool,
    /// Connections to the database, for each service.
    pub connections: u32,
    /// Whether clients may ask what RPCs there are, by reflection or for the OpenAPI document.
    pub reflection: bool,
    /// The origins whose pages may call the gateway from browsers.
    pub origins: Vec<Origin>,
    /// What the gateway serves TLS with; none is clear text.
    pub tls: Option<PathBuf>,
    /// Connections at once to the gateway from one address.
    pub connections_per_address: usize,
    /// Whom the gateway lets in, and how much it takes from each.
    pub door: otdel_gateway::Settings,
    /// How much time an end takes.
    pub drain: Drain,
}

/// One role of a process.
#[derive(Debug)]
pub struct RoleConfig {
    /// The role.
    pub role: Role,
    /// What it signs and verifies with.
    pub secrets: RoleSecrets,
    /// Its database, as its own role; the gateway has none.
    pub database: Option<PgConnectOptions>,
    /// Where it is reached from outside the process. None: only from inside.
    pub listen: Option<SocketAddr>,
    /// Where its commits fail, in tests.
    pub faults: Faults,
}

/// A process at work.
pub struct Node {
    hub: Hub,
    health: Vec<Health>,
    listeners: Vec<Serving>,
    running: Vec<Running>,
    units: Vec<Units>,
    pools: Vec<PgPool>,
    workers: CancellationToken,
    /// Ends what says whether the roles are ready, so that nothing contradicts a shutdown.
    probes: CancellationToken,
    tasks: TaskTracker,
    drain: Drain,
}

/// Units of work under way at once in a role: enough to keep its connections busy and for calls that share one, few enough
/// that nobody waits long for one. With 4 and the usual 16 connections, half of 128 clients who submit at once are refused.
const UNITS_PER_CONNECTION: u32 = 8;

/// The gateway's own RPCs under way at once, and all calls that it passes on.
const GATEWAY_UNITS: u32 = 256;
const GATEWAY_CALLS: usize = 1024;

/// What the listener of the metrics and probes is called.
const ADMIN: &str = "admin";

/// How long a worker may take to end its last transaction, and a pool to close.
const LAST_TRANSACTION: Duration = Duration::from_secs(1);

impl Node {
    /// Builds and serves the roles. It returns when every listener listens. A service is ready while its database answers,
    /// the gateway while it can tell callers apart.
    pub async fn start(config: NodeConfig) -> Result<Self> {
        let hub = Hub::default();
        let mut node = Self {
            hub: hub.clone(),
            health: Vec::new(),
            listeners: Vec::new(),
            running: Vec::new(),
            units: Vec::new(),
            pools: Vec::new(),
            workers: CancellationToken::new(),
            probes: CancellationToken::new(),
            tasks: TaskTracker::new(),
            drain: config.drain,
        };
        let here: Vec<&'static str> = config.roles.iter().map(|one| one.role.name()).collect();
        // Ports first: an occupied one is an error before anything is written.
        let mut listeners = HashMap::new();
        for one in &config.roles {
            if let Some(address) = one.listen {
                let listener = Listener::bind(address).await;
                let listener = listener.with_context(|| format!("{} cannot listen at {address}", one.role.name()))?;
                listeners.insert(one.role.name(), listener);
            }
        }
        let mut services = Vec::new();
        for one in &config.roles {
            // Roles of one process, which need no certificates, have no folder either.
            if one.secrets.folder != Path::new("") {
                certificate::tell(one.role.name(), "mesh", &one.secrets.folder)?;
            }
            let peers = peers(&hub, &here, &config.elsewhere, one)?;
            let listener = listeners.remove(one.role.name());
            match parts(one.role) {
                Some(parts) => services.push(node.serve_service(&config, one, parts, peers, listener).await?),
                None => node.serve_gateway(&config, one, peers, listener).await?,
            }
        }
        // Followers ask the others, so nothing begins to work by itself before everything can be asked.
        for service in services {
            node.running.push(service.start(&node.workers));
        }
        Ok(node)
    }

    async fn serve_service(
        &mut self,
        config: &NodeConfig,
        one: &RoleConfig,
        (schema, build): (&'static Schema, Build),
        peers: Peers,
        listener: Option<Listener>,
    ) -> Result<Service> {
        let core = connect(config, one, schema).await?;
        let service = build(core.clone(), peers);
        let limits = Limits::default();
        let auth = Arc::new(InternalToken(one.secrets.keyring.clone()));
        let router = server::stack(core.service, service.routes.clone(), auth, &limits);
        self.hub.open(core.service, router.clone());
        let health = Health::new(core.service).await;
        if let Some(listener) = listener {
            let tls = Some(ServerTls::load(&one.secrets.folder)?);
            let what = Serve {
                service: core.service,
                kind: Kind::Internal,
                router,
                tls,
                limits,
                health: Some(health.clone()),
                reflection: config.reflection,
            };
            self.listeners.push(server::serve(listener, what)?);
        }
        self.tasks.spawn(watch_database(core.db.clone(), core.background.clone(), health.clone(), self.probes.clone()));
        let pools = vec![("calls", core.db.clone()), ("background", core.background.clone())];
        self.tasks.spawn(vitals::report(core.service, core.units.clone(), pools, self.probes.clone()));
        self.units.push(core.units.clone());
        self.pools.extend([core.db.clone(), core.background.clone()]);
        self.health.push(health);
        Ok(service)
    }

    async fn serve_gateway(
        &mut self,
        config: &NodeConfig,
        one: &RoleConfig,
        peers: Peers,
        listener: Option<Listener>,
    ) -> Result<()> {
        // The gateway has no database that could say when it is; on a test database it asks the services.
        let clock = if config.test { Clock::standing_at(DateTime::UNIX_EPOCH) } else { Clock::system() };
        let units = Units::new(GATEWAY_UNITS);
        let gateway =
            otdel_gateway::build(clock, units.clone(), one.secrets.identity.clone(), peers, config.door.clone());
        let face = Face { origins: config.origins.clone(), described: config.reflection };
        let connections_per_address = config.connections_per_address;
        let limits = Limits { calls: GATEWAY_CALLS, connections_per_address, ..Limits::default() };
        let router = gateway.router(&limits, &face)?;
        let health = Health::new(otdel_gateway::SERVICE).await;
        if let Some(listener) = listener {
            if config.tls.is_none() && !listener.local_addr()?.ip().is_loopback() {
                tracing::warn!(
                    "keys and personal data travel in clear text: name certificates with --tls, or end tls before"
                );
            }
            if let Some(folder) = &config.tls {
                certificate::tell(otdel_gateway::SERVICE, "door", folder)?;
            }
            let what = Serve {
                service: otdel_gateway::SERVICE,
                kind: Kind::Public,
                router,
                tls: config.tls.as_deref().map(ServerTls::load).transpose()?,
                limits,
                health: Some(health.clone()),
                reflection: config.reflection,
            };
            self.listeners.push(server::serve(listener, what)?);
        }
        self.tasks.spawn(vitals::report(otdel_gateway::SERVICE, units.clone(), Vec::new(), self.probes.clone()));
        self.units.insert(0, units);
        self.tasks.spawn(publish_readiness(gateway.readiness(), health.clone(), self.probes.clone()));
        let run = move |stop| {
            let gateway = gateway.clone();
            async move { gateway.run(stop).await }
        };
        self.tasks.spawn(service::keep(otdel_gateway::SERVICE, "directory", self.workers.clone(), run));
        self.health.push(health);
        Ok(())
    }

    /// Ends the roles in order, without losing a call.
    pub async fn stop(self) {
        self.probes.cancel();
        let running = self.running;
        let what = Shutdown {
            health: self.health,
            listeners: self.listeners,
            workers: self.workers,
            units: self.units,
            drain: self.drain,
        };
        server::shut_down(what).await;
        let rest = async {
            for one in running {
                one.stop().await;
            }
            self.tasks.close();
            self.tasks.wait().await;
        };
        // A worker inside its last transaction has as long as that may take.
        if tokio::time::timeout(LAST_TRANSACTION, rest).await.is_err() {
            tracing::warn!("workers are left behind");
        }
        self.hub.close_all();
        for pool in &self.pools {
            let _ = tokio::time::timeout(LAST_TRANSACTION, pool.close()).await;
        }
    }

    /// Waits until every role is ready.
    pub async fn ready(&self) {
        while !self.is_ready() {
            pause(Duration::from_millis(5)).await;
        }
    }

    /// Serves the metrics and probes of the process.
    pub async fn serve_admin(&mut self, address: SocketAddr, telemetry: &Telemetry) -> Result<SocketAddr> {
        let listener = Listener::bind(address).await.with_context(|| format!("metrics cannot listen at {address}"))?;
        let router = server::admin_router(telemetry.metrics(), self.health.clone());
        let serving = server::serve(listener, Serve::new(ADMIN, Kind::Admin, router))?;
        let address = serving.address();
        self.listeners.push(serving);
        Ok(address)
    }

    /// Where a role listens.
    pub fn address(&self, role: Role) -> Option<SocketAddr> {
        self.listeners.iter().find(|one| one.service() == role.name()).map(Serving::address)
    }

    /// Where the metrics and probes of the process are.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.listeners.iter().find(|one| one.service() == ADMIN).map(Serving::address)
    }

    /// Whether every role is ready.
    pub fn is_ready(&self) -> bool {
        self.health.iter().all(Health::is_ready)
    }
}

/// How often a database is asked whether it answers, and how long it may take to. The connection is not one of those that
/// calls use: an overloaded service is ready, one without a database is not.
const PROBE: Duration = Duration::from_secs(1);

/// How long a service that starts waits for the connections of its calls. Where the server has not as many, it goes on with
/// those that there are.
const OPENING: Duration = Duration::from_secs(10);

/// Says that a service is ready while its database answers; at first only when the connections of its calls are open, or
/// the first calls at a fresh replica would wait in vain for a login.
async fn watch_database(calls: PgPool, db: PgPool, health: Health, stop: CancellationToken) {
    let probe = async {
        let all_open = async {
            while calls.size() < calls.options().get_min_connections() {
                pause(PROBE / 20).await;
            }
        };
        if tokio::time::timeout(OPENING, all_open).await.is_err() {
            tracing::warn!(service = health.service(), open = calls.size(), "not all connections are open");
        }
        loop {
            let ask = async { db.acquire().await?.ping().await };
            let answers = tokio::time::timeout(PROBE, ask).await.is_ok_and(|answer| answer.is_ok());
            if answers != health.is_ready() {
                tracing::info!(service = health.service(), ready = answers, "readiness changed");
                health.set_ready(answers).await;
            }
            pause(if answers { PROBE } else { PROBE / 20 }).await;
        }
    };
    stop.run_until_cancelled(probe).await;
}

/// Says that the gateway is ready as soon as it can tell callers apart, and that it is not when it no longer can.
async fn publish_readiness(mut ready: watch::Receiver<bool>, health: Health, stop: CancellationToken) {
    let publish = async {
        loop {
            let now = *ready.borrow_and_update();
            health.set_ready(now).await;
            if ready.changed().await.is_err() {
                return;
            }
        }
    };
    stop.run_until_cancelled(publish).await;
}

/// How a role reaches the others: within the process where they run here, by mutual TLS where not.
fn peers(
    hub: &Hub,
    here: &[&'static str],
    elsewhere: &HashMap<&'static str, Vec<HostPort>>,
    one: &RoleConfig,
) -> Result<Peers> {
    let remote = |peer: &str| !here.contains(&peer);
    let tls = if ["leads", "contracts", "billing", "reporting"].iter().any(|peer| remote(peer)) {
        Some(ClientTls::load(&one.secrets.folder)?)
    } else {
        None
    };
    let way = |peer| {
        if !remote(peer) {
            return Ok(Rpc::local(hub, peer, one.role.name()));
        }
        let endpoints = elsewhere.get(peer).cloned().unwrap_or_default();
        Rpc::remote(peer, one.role.name(), endpoints, tls.clone())
    };
    Ok(Peers::new(way)?)
}

async fn connect(config: &NodeConfig, one: &RoleConfig, schema: &'static Schema) -> Result<Core> {
    let database = one.database.clone().with_context(|| format!("{} needs a database", schema.service))?;
    let (db, opened) = schema.open(database, config.test, config.connections).await?;
    Ok(Core {
        service: schema.service,
        background: db::background(&db),
        db,
        clock: opened.test_time.map_or_else(Clock::system, Clock::standing_at),
        zone: opened.zone,
        units: Units::new(config.connections * UNITS_PER_CONNECTION),
        identity: one.secrets.identity.clone(),
        committed: Arc::default(),
        faults: one.faults.clone(),
    })
}

/// How a service is made of what it holds and of its peers.
type Build = fn(Core, Peers) -> Service;

/// The schema of a role and how it is built. The gateway is another thing than a service: it has no database.
fn parts(role: Role) -> Option<(&'static Schema, Build)> {
    match role {
        Role::Leads => Some((&otdel_leads::SCHEMA, otdel_leads::build)),
        Role::Contracts => Some((&otdel_contracts::SCHEMA, otdel_contracts::build)),
        Role::Billing => Some((&otdel_billing::SCHEMA, otdel_billing::build)),
        Role::Reporting => Some((&otdel_reporting::SCHEMA, otdel_reporting::build)),
        Role::Gateway => None,
    }
}

/// The schema of a role.
pub fn schema(role: Role) -> Option<&'static Schema> {
    parts(role).map(|(schema, _)| schema)
}
