//! `otdel up`

use std::{collections::HashMap, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use otdel_runtime::{clock, faults::Faults, server::Drain, telemetry};
use secrecy::SecretString;
use sqlx::{PgPool, postgres::PgConnectOptions};

use super::{migrate, serve::telemetry_settings};
use crate::{
    cli::{CommonArgs, Role, UpArgs, database_options},
    data::{self, Key},
    first_call,
    node::{Node, NodeConfig, RoleConfig, schema},
    postgres::{Cluster, Settings},
    say, secrets, signals,
};

/// The database of the suite in its private cluster.
const DATABASE: &str = "otdel";

/// Where the clock of a fresh test database stands: the first Monday of 2026, 09:00 in Moscow.
const TEST_TIME: &str = "2026-01-05T06:00:00Z";

/// Runs the whole suite in this process until a signal ends it.
pub async fn up(args: &UpArgs) -> Result<()> {
    let telemetry = telemetry::init(&telemetry_settings(&args.common, "otdel"))?;
    // A wrong setting is told before anything is made.
    let door = args.common.door.settings()?;
    let folder = data::make(&data::folder(args.data_dir.as_deref())?)?;
    let named = database_options(args.database_url.as_deref(), args.database_url_file.as_deref())?;
    let (mut cluster, admin) = if let Some(options) = named {
        (None, options)
    } else {
        let cluster = start_cluster(args, &folder).await?;
        let options = cluster.options(DATABASE);
        (Some(cluster), options)
    };
    let secret = data::database_secret(&folder)?;
    let test_time = if args.test { Some(TEST_TIME.parse::<DateTime<Utc>>()?) } else { None };
    migrate::all(&admin, |role| Ok(data::role_password(&secret, role.name())), args.business_zone, test_time).await?;
    // Before the gateway learns who may call, so that the first call works at once.
    let admitted = admit_developer(&leads_as_admin(&admin).await?, data::development_key(&folder)?).await;
    admitted.with_context(|| format!("the key in {} lets nobody in", data::key_file(&folder).display()))?;

    let mut node = Node::start(config(args, &admin, &secret, door)?).await?;
    if let Some(address) = args.common.metrics_listen {
        node.serve_admin(address, &telemetry).await?;
    }
    node.ready().await;
    let address = node.address(Role::Gateway).context("the gateway does not listen")?;
    say(&first_call::text(address, &folder))?;

    watch(cluster.as_mut()).await?;
    node.stop().await;
    if let Some(cluster) = cluster {
        cluster.stop().await?;
    }
    Ok(())
}

/// Makes sure that the development principal is there with this key. It may do everything; `otdel serve` never makes one.
pub async fn admit_developer(leads: &PgPool, key: Key) -> Result<()> {
    otdel_leads::ensure_development_principal(leads, key, clock::system_now()).await?;
    Ok(())
}

async fn leads_as_admin(admin: &PgConnectOptions) -> Result<PgPool> {
    Ok(PgPool::connect_with(admin.clone().options([("search_path", "leads")])).await?)
}

async fn start_cluster(args: &UpArgs, folder: &Path) -> Result<Cluster> {
    let settings =
        Settings { binaries: args.postgres_bin.clone(), install: args.install_postgres, ..Settings::new(folder) };
    let cluster = Cluster::start(settings).await?;
    cluster.create_database_if_absent(DATABASE).await?;
    Ok(cluster)
}

/// Waits for the end. A server that ended by itself is started again on the same data: the services wait meanwhile.
async fn watch(cluster: Option<&mut Cluster>) -> Result<()> {
    let signal = tokio::select! {
        signal = signals::terminated() => signal?,
        // A signal is heard during a restart too, however long that takes.
        error = keep_up(cluster) => return Err(error),
    };
    tracing::info!(signal, "shutting down");
    Ok(())
}

/// Starts the server again whenever it ends. Returns only with what prevents that.
async fn keep_up(cluster: Option<&mut Cluster>) -> anyhow::Error {
    let Some(cluster) = cluster else { return std::future::pending().await };
    loop {
        let how = cluster.exited().await;
        tracing::error!(how, "postgresql ended, starting it again");
        if let Err(error) = cluster.restart().await {
            return error;
        }
    }
}

fn config(
    args: &UpArgs,
    admin: &PgConnectOptions,
    secret: &SecretString,
    door: otdel_gateway::Settings,
) -> Result<NodeConfig> {
    let mut roles = Vec::new();
    let mut all = secrets::of_one_process()?;
    for role in Role::ALL {
        let secrets = all.remove(role.name()).context("a role has no secrets")?;
        let password = data::role_password(secret, role.name());
        let database = schema(role).map(|schema| schema.as_app(admin.clone(), &password));
        roles.push(RoleConfig {
            role,
            secrets,
            database,
            listen: listen(args.listen, role),
            faults: Faults::default(),
        });
    }
    Ok(in_one_process(roles, args.test, &args.common, door))
}

/// Only the gateway is reached from outside of the process.
fn listen(gateway: SocketAddr, role: Role) -> Option<SocketAddr> {
    (role == Role::Gateway).then_some(gateway)
}

/// What a process with all roles runs.
pub fn in_one_process(
    roles: Vec<RoleConfig>,
    test: bool,
    common: &CommonArgs,
    door: otdel_gateway::Settings,
) -> NodeConfig {
    NodeConfig {
        roles,
        elsewhere: HashMap::new(),
        test,
        connections: common.database_connections,
        reflection: !common.no_reflection,
        origins: common.cors_origins.clone(),
        tls: common.tls.clone(),
        connections_per_address: common.connections_per_address,
        door,
        // Nobody balances over one process, so nobody needs notice.
        drain: Drain { notice: Duration::ZERO, limit: common.drain() },
    }
}
