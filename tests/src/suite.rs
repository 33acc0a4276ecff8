//! A whole suite on a fresh test database, in one process or in several.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use otdel::{
    cli::Role,
    commands::up,
    data,
    node::{Node, NodeConfig, RoleConfig, schema},
    private, secrets,
};
use otdel_api::{common::Date, test as clock};
use otdel_gateway::Settings;
use otdel_runtime::{
    convert::{date, timestamp},
    faults::Faults,
    server::Drain,
};
use tonic::transport::Endpoint;

use crate::{
    cluster::{self, Database},
    door::Door,
    eventually::{eventually, patience},
    split::Split,
};

/// How the roles are spread over processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topology {
    /// All in this process, as `otdel up` runs them.
    AllInOne,
    /// Five processes with mutual TLS, as `otdel serve` runs them.
    Split,
    /// The same with two processes of leads, of billing and of the gateway. Only for a database whose clock runs: a clock
    /// that stands is moved in one process of each role.
    Replicas,
}

/// The roles that have replicas.
const TWICE: [Role; 3] = [Role::Leads, Role::Billing, Role::Gateway];

/// A suite at work.
pub struct Suite {
    /// The gateway without a key.
    pub anonymous: Door,
    /// The gateway in the name of the development principal, who may do everything.
    pub admin: Door,
    /// Where the gateway listens.
    pub address: SocketAddr,
    /// Its database.
    pub database: Database,
    /// How it is spread.
    pub topology: Topology,
    /// Where commits of all roles fail, all in one only.
    pub faults: Vec<(Role, Faults)>,
    node: Option<Node>,
    split: Option<Split>,
    folder: PathBuf,
}

impl Suite {
    /// Starts a suite and waits until it answers.
    pub async fn start(topology: Topology) -> Self {
        let database = Database::standing().await;
        Self::start_on(topology, database).await
    }

    /// Starts a suite on a database that an earlier one has left.
    pub async fn start_on(topology: Topology, database: Database) -> Self {
        Self::start_with(topology, database, &Settings::default(), &[]).await
    }

    /// The same behind a door of its own: its settings in one process, its flags in five.
    pub async fn start_with(topology: Topology, database: Database, door: &Settings, flags: &[&str]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = std::env::temp_dir().join(format!("otdel-suite-{}", uuid::Uuid::now_v7()));
        private::make_folder(&folder).expect("a folder");
        let key_file = folder.join("token");
        let key = data::key_at(&key_file).expect("a key");
        let leads = database.pool("leads").await;
        up::admit_developer(&leads, key).await.expect("a principal");
        leads.close().await;
        let text = std::fs::read_to_string(&key_file).expect("the key");

        let faults: Vec<_> = Role::ALL.into_iter().map(|role| (role, Faults::default())).collect();
        let (node, split, address) = match topology {
            Topology::AllInOne => {
                let node = start_node(&database, &faults, door).await;
                let address = node.address(Role::Gateway).expect("the gateway listens");
                (Some(node), None, address)
            }
            Topology::Split | Topology::Replicas => {
                let twice: &[Role] = if topology == Topology::Split { &[] } else { &TWICE };
                let split = Split::start(&database, &folder, flags, twice).await;
                let address = split.gateway();
                (None, Some(split), address)
            }
        };
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let anonymous = Door::anonymous(endpoint.connect_timeout(Duration::from_secs(5)).connect_lazy());
        let admin = anonymous.with_key(text.trim());
        let suite = Self { anonymous, admin, address, database, topology, faults, node, split, folder };
        suite.answers().await;
        suite
    }

    /// Waits until the suite answers.
    pub async fn answers(&self) {
        eventually("the suite answers", || async {
            self.admin
                .gateway()
                .get_caller(otdel_api::gateway::GetCallerRequest {})
                .await
                .map_err(|status| status.to_string())
        })
        .await;
    }

    /// Waits until every role says that it is ready, in one process.
    pub async fn ready(&self) {
        self.node.as_ref().expect("this suite runs in several processes").ready().await;
    }

    /// The processes.
    pub fn split(&mut self) -> &mut Split {
        self.split.as_mut().expect("this suite runs in one process")
    }

    /// The suite's time.
    pub async fn now(&self) -> DateTime<Utc> {
        let answer = eventually("the clock answers", || async {
            self.admin.clock().get_clock(clock::GetClockRequest {}).await.map_err(|status| status.to_string())
        })
        .await;
        let now = answer.into_inner().now.expect("an instant");
        DateTime::from_timestamp(now.seconds, now.nanos.unsigned_abs()).expect("an instant")
    }

    /// The suite's date.
    pub async fn today(&self) -> Date {
        date(self.now().await.date_naive())
    }

    /// Moves the suite's clock and waits until everything that is due by then is done.
    pub async fn advance(&self, to: DateTime<Utc>) -> i32 {
        let answer = eventually("the clock arrives", || async {
            let request = clock::AdvanceClockRequest { to: Some(timestamp(to)) };
            let mut request = tonic::Request::new(request);
            request.set_timeout(Duration::from_mins(5));
            self.admin.clock().advance_clock(request).await.map_err(|status| status.to_string())
        })
        .await;
        answer.into_inner().instants
    }

    /// Waits until every event is numbered and read by all who follow it.
    pub async fn settle(&self) {
        let now = self.now().await;
        eventually("everything is read", || async {
            let mut request = tonic::Request::new(clock::AdvanceClockRequest { to: Some(timestamp(now)) });
            request.set_timeout(patience());
            self.admin.clock().advance_clock(request).await.map_err(|status| status.to_string())
        })
        .await;
    }

    /// Ends the suite as a signal would, and leaves its database.
    pub async fn stop(mut self) -> Database {
        if let Some(node) = self.node.take() {
            node.stop().await;
        }
        if let Some(split) = self.split.take() {
            split.stop().await;
        }
        self.database.clone()
    }
}

impl Drop for Suite {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // What the processes said stays for whoever looks into the failure.
            return;
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn start_node(database: &Database, faults: &[(Role, Faults)], door: &Settings) -> Node {
    let mut all = secrets::of_one_process().expect("secrets");
    let roles = faults.iter().map(|(role, faults)| RoleConfig {
        role: *role,
        secrets: all.remove(role.name()).expect("secrets"),
        database: schema(*role).map(|schema| schema.as_app(database.options(), &cluster::password(role.name()))),
        listen: (*role == Role::Gateway).then(|| "127.0.0.1:0".parse().expect("an address")),
        faults: faults.clone(),
    });
    let config = NodeConfig {
        roles: roles.collect(),
        elsewhere: std::collections::HashMap::new(),
        test: database.standing,
        connections: 8,
        reflection: true,
        origins: Vec::new(),
        tls: None,
        connections_per_address: 32,
        door: door.clone(),
        drain: Drain { notice: Duration::ZERO, limit: Duration::from_secs(10) },
    };
    Node::start(config).await.expect("the suite starts")
}
