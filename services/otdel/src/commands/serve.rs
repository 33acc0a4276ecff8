//! `otdel serve`

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use otdel_gateway::Settings;
use otdel_runtime::{faults::Faults, server::Drain, telemetry};
use sqlx::postgres::PgConnectOptions;

use crate::{
    cli::{CommonArgs, Role, ServeArgs, database_options},
    node::{Node, NodeConfig, RoleConfig, schema},
    private, secrets, signals,
};

/// Runs the named services until a signal ends them.
pub async fn serve(args: &ServeArgs) -> Result<()> {
    let name = match args.roles.as_slice() {
        [one] => one.name(),
        _ => "otdel",
    };
    let telemetry = telemetry::init(&telemetry_settings(&args.common, name))?;
    let mut node = Node::start(config(args)?).await?;
    if let Some(address) = args.common.metrics_listen {
        node.serve_admin(address, &telemetry).await?;
    }
    if let Some(path) = &args.address_file {
        write_addresses(path.clone(), &args.roles, &node)?;
    }
    let signal = signals::terminated().await?;
    tracing::info!(signal, "shutting down");
    node.stop().await;
    Ok(())
}

/// How a process tells about itself.
pub fn telemetry_settings(common: &CommonArgs, service: &str) -> telemetry::Settings {
    telemetry::Settings {
        format: common.log_format,
        filter: common.log.clone(),
        otlp_endpoint: common.otlp_endpoint.clone(),
        service: service.to_owned(),
    }
}

fn config(args: &ServeArgs) -> Result<NodeConfig> {
    if !args.listen.is_empty() && args.listen.len() != args.roles.len() {
        bail!("{} services are named and {} addresses: name one for each", args.roles.len(), args.listen.len());
    }
    let mut roles = Vec::new();
    for (at, role) in args.roles.iter().enumerate() {
        if args.roles[..at].contains(role) {
            bail!("{} is named twice", role.name());
        }
        let folder = args.secrets.join(role.name());
        // The folder of one service's secrets may be given alone, as a container mounts it.
        let folder = if folder.is_dir() { folder } else { args.secrets.clone() };
        roles.push(RoleConfig {
            role: *role,
            database: database(args, *role, &folder)?,
            secrets: secrets::read(role.name(), &folder)?,
            listen: Some(
                args.listen.get(at).copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], role.default_port()))),
            ),
            faults: Faults::default(),
        });
    }
    // The gateway asks the others, so it starts last.
    roles.sort_by_key(|one| Role::ALL.iter().position(|role| *role == one.role));
    Ok(NodeConfig {
        roles,
        elsewhere: HashMap::from([
            ("leads", args.leads.clone()),
            ("contracts", args.contracts.clone()),
            ("billing", args.billing.clone()),
            ("reporting", args.reporting.clone()),
        ]),
        test: args.test,
        connections: args.common.database_connections,
        reflection: !args.common.no_reflection,
        origins: args.common.cors_origins.clone(),
        tls: args.common.tls.clone(),
        connections_per_address: args.common.connections_per_address,
        // One set of variables may configure all roles; the gateway alone reads these.
        door: if args.roles.contains(&Role::Gateway) { args.common.door.settings()? } else { Settings::default() },
        drain: Drain { limit: args.common.drain(), ..Drain::default() },
    })
}

/// The database, as the service's own role.
fn database(args: &ServeArgs, role: Role, folder: &Path) -> Result<Option<PgConnectOptions>> {
    let Some(schema) = schema(role) else { return Ok(None) };
    let options = database_options(args.database_url.as_deref(), None)?;
    let options = options.context("name the database with --database-url")?;
    let password = secrets::password(&folder.join("database.password"))?;
    Ok(Some(schema.as_app(options, &password)))
}

/// Writes where the services listen, whole or not at all: a reader must never see half of it.
fn write_addresses(path: PathBuf, roles: &[Role], node: &Node) -> Result<()> {
    let mut text = String::new();
    for role in roles {
        let address = node.address(*role).with_context(|| format!("{} does not listen", role.name()))?;
        writeln!(text, "{} {address}", role.name())?;
    }
    if let Some(address) = node.admin_address() {
        writeln!(text, "admin {address}")?;
    }
    private::write_file(&path, text.as_bytes())
}
