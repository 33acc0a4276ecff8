//! PostgreSQL for tests: a cluster that the tests of one process share, one that a test may kill, and a fresh database
//! for each suite.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use otdel::{
    commands::migrate,
    data,
    postgres::{Cluster, Guard, Throwaway},
};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{Connection as _, Executor as _, PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::sync::{Mutex, OnceCell};

/// The zone of every test database: the data sets count in UTC.
pub const ZONE: &str = "UTC";

/// When the clock of a test database begins to stand: a Monday, 09:00.
pub const START: &str = "2026-01-05T09:00:00Z";

/// The migrated database that is copied, with a clock that stands.
const STANDING: &str = "otdel_standing";
/// The same with the machine's clock.
const RUNNING: &str = "otdel_running";

static SHARED: OnceCell<Throwaway> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(1);

/// When the clock of a test database begins to stand.
pub fn start_time() -> DateTime<Utc> {
    START.parse().expect("an instant")
}

/// The password of a service's role. Roles belong to a cluster, so every suite on it uses the same.
pub fn password(service: &str) -> SecretString {
    data::role_password(&SecretString::from("the tests' cluster is thrown away when they end"), service)
}

async fn start() -> Throwaway {
    let many = vec![("max_connections".to_owned(), "600".to_owned())];
    let cluster = Throwaway::start_with("otdel-test-", Guard::Setpriv, many).await;
    let cluster = cluster.expect("PostgreSQL starts; its server binaries are needed to test");
    for (template, time) in [(STANDING, Some(start_time())), (RUNNING, None)] {
        cluster.cluster().create_database_if_absent(template).await.expect("a template");
        let options = cluster.cluster().options(template);
        let zone = ZONE.parse().expect("a zone");
        migrate::all(&options, |role| Ok(password(role.name())), zone, time).await.expect("migrations run");
    }
    cluster
}

/// A database of its own for one suite.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its URL, as the superuser.
    pub url: String,
    /// Whether its clock stands.
    pub standing: bool,
    options: PgConnectOptions,
}

impl Database {
    /// A database whose clock stands, on the cluster that the tests share.
    pub async fn standing() -> Self {
        Self::copy(SHARED.get_or_init(start).await.cluster(), true).await
    }

    /// A database with the machine's clock, on the cluster that the tests share.
    pub async fn running() -> Self {
        Self::copy(SHARED.get_or_init(start).await.cluster(), false).await
    }

    /// A database without anything in it, on the cluster that the tests share.
    pub async fn empty() -> Self {
        let cluster = SHARED.get_or_init(start).await.cluster();
        let name = format!("empty_{}", DATABASES.fetch_add(1, Ordering::SeqCst));
        cluster.create_database_if_absent(&name).await.expect("a database");
        Self { url: cluster.url(&name), standing: false, options: cluster.options(&name) }
    }

    /// An empty database on a cluster of the test's own.
    pub async fn fresh(cluster: &Cluster) -> Self {
        let name = "otdel";
        cluster.create_database_if_absent(name).await.expect("a database");
        Self { url: cluster.url(name), standing: false, options: cluster.options(name) }
    }

    /// A copy of this database as it is, on the cluster that the tests share. Nobody may use this one meanwhile.
    pub async fn copied(&self) -> Self {
        let template = self.options.get_database().expect("a name");
        Self::copy_of(SHARED.get_or_init(start).await.cluster(), template, self.standing).await
    }

    async fn copy(cluster: &Cluster, standing: bool) -> Self {
        Self::copy_of(cluster, if standing { STANDING } else { RUNNING }, standing).await
    }

    async fn copy_of(cluster: &Cluster, template: &str, standing: bool) -> Self {
        let name = format!("suite_{}", DATABASES.fetch_add(1, Ordering::SeqCst));
        let mut db = PgConnection::connect_with(&cluster.options("postgres")).await.expect("a connection");
        let sql = format!("create database {name} template {template}");
        db.execute(sqlx::AssertSqlSafe(sql)).await.expect("a database");
        Self { url: cluster.url(&name), standing, options: cluster.options(&name) }
    }

    /// What to connect with, as the superuser.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// A pool of a service's own schema, as the superuser: for what no RPC tells.
    pub async fn pool(&self, schema: &'static str) -> PgPool {
        PgPool::connect_with(self.options.clone().options([("search_path", schema)])).await.expect("a pool")
    }

    /// A connection as a service's own role, with the rights that the running service has and no more.
    pub async fn app(&self, service: &'static str) -> PgConnection {
        let role = format!("otdel_{service}_app");
        let options = self.options.clone().username(&role).password(password(service).expose_secret());
        PgConnection::connect_with(&options).await.expect("a connection")
    }
}

/// A cluster that belongs to one test, which may kill it.
#[derive(Debug)]
pub struct Own(Mutex<Throwaway>);

impl Own {
    /// Starts it.
    pub async fn start() -> Self {
        Self(Mutex::new(start().await))
    }

    /// A database on it whose clock stands.
    pub async fn database(&self) -> Database {
        Database::copy(self.0.lock().await.cluster(), true).await
    }

    /// Kills the server without a word and starts it again on the same data.
    pub async fn kill_and_restart(&self) {
        let mut cluster = self.0.lock().await;
        let pid = cluster.cluster().pid().and_then(Pid::from_raw).expect("the server runs");
        kill_process(pid, Signal::KILL).expect("it can be killed");
        cluster.cluster().exited().await;
        cluster.cluster_mut().restart().await.expect("it recovers");
    }
}
