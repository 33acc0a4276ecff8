//! The command line. What a deployment configures can be given as a flag or as an environment variable, what an operator
//! says once as a flag alone; every secret can be given as a file.

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use otdel_gateway::Origin;
use otdel_runtime::{peers::HostPort, telemetry::LogFormat};
use otdel_types::Zone;
use secrecy::ExposeSecret as _;
use sqlx::postgres::PgConnectOptions;

use crate::{door::DoorArgs, postgres::guard::GuardArgs, secrets};

mod gateway;
mod help;
mod import;
mod operators;
mod report;

pub use gateway::GatewayArgs;
pub use import::{Import, ImportArgs, ImportLeadsArgs};
pub use operators::{FindingsFormat, NewEpochArgs, RestoreFinishArgs, SERVICES, ServicesArgs, VerifyArgs};
pub use report::{ReportArgs, ReportFormat};

/// A sales department from the first request to the money.
///
/// Without a command it runs the whole suite in one process on a private PostgreSQL cluster: `otdel up`.
#[derive(Debug, Parser)]
#[command(name = "otdel", version, propagate_version = true, after_help = help::EXIT_CODES)]
pub struct Cli {
    /// What to do; `up` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How the suite runs where no command is said.
    #[command(flatten)]
    pub up: UpArgs,
}

impl Cli {
    /// Reads the command line, or ends with what is wrong with it. A variable that is set to nothing is not set: compose
    /// files have no other way to leave one out.
    pub fn read() -> Self {
        let command = without_empty_variables(Self::command());
        // A variable is read by the command that is said: `serve` takes several addresses where `up` takes one.
        let of_no_up = command.clone().mut_args(|arg| arg.env(None::<&'static str>));
        let matches = match of_no_up.try_get_matches() {
            Ok(matches) if matches.subcommand_name().is_some() => matches,
            _ => command.get_matches(),
        };
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
    }
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &clap::Arg| arg.get_env().and_then(env::var_os).is_some_and(|value| value.is_empty());
    let command = command.mut_args(|arg| if is_empty(&arg) { arg.env(None::<&'static str>) } else { arg });
    command.mut_subcommands(without_empty_variables)
}

/// What the binary does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the whole suite in one process, on a private PostgreSQL cluster that it makes and runs itself.
    #[command(after_long_help = help::UP)]
    Up(UpArgs),
    /// Runs one or several services, on databases that `otdel migrate` has prepared.
    #[command(after_long_help = help::SERVE)]
    Serve(ServeArgs),
    /// Makes the secrets and certificates of a deployment, and its first administrator.
    #[command(after_long_help = help::INIT)]
    Init(InitArgs),
    /// Brings the schemas of all services to the version of this binary.
    #[command(after_long_help = help::MIGRATE)]
    Migrate(MigrateArgs),
    /// Asks the gateway for a report and writes it as a table, as CSV or as JSON.
    #[command(after_long_help = help::REPORT)]
    Report(ReportArgs),
    /// Imports leads from a file, through the gateway.
    #[command(after_long_help = help::IMPORT)]
    Import(ImportArgs),
    /// Looks whether the databases are as they should be, and digests what they hold.
    #[command(after_long_help = help::VERIFY)]
    Verify(VerifyArgs),
    /// Does what a restored database needs before services run on it.
    #[command(after_long_help = help::RESTORE_FINISH)]
    RestoreFinish(RestoreFinishArgs),
    /// Makes every older cursor of the feeds refused, so that followers read again.
    #[command(after_long_help = help::NEW_EPOCH)]
    NewEpoch(NewEpochArgs),
    /// Prints every setting as a table: flag, environment variable, default, meaning and the commands that read it.
    #[command(after_long_help = help::SETTINGS)]
    Settings,
    /// Prints the API key that `otdel up` made, for `Authorization: Bearer`.
    #[command(after_long_help = help::TOKEN)]
    Token(TokenArgs),
    /// Asks a running role whether it is ready; exits with 0 if it is, with 1 if not.
    #[command(after_long_help = help::HEALTHCHECK)]
    Healthcheck(HealthcheckArgs),
    /// Starts PostgreSQL so that it ends when this process's parent does.
    #[command(name = crate::postgres::guard::COMMAND, hide = true)]
    PostgresGuard(GuardArgs),
}

/// A database's URL, which holds a password: as it is, or in a file.
#[derive(Clone, Debug, Default, Args)]
pub struct AdminDatabaseArgs {
    /// The database, as a role that may create roles and schemas
    #[arg(long, env = "OTDEL_ADMIN_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// A file with that URL, so that it stands in no process list
    #[arg(long, env = "OTDEL_ADMIN_DATABASE_URL_FILE", value_name = "FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,
    /// A file with that role's password, where the URL has none
    #[arg(long, env = "OTDEL_ADMIN_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
}

impl AdminDatabaseArgs {
    /// The database's options, or what to do about their absence.
    pub fn options(&self) -> Result<PgConnectOptions> {
        let options = database_options(self.database_url.as_deref(), self.database_url_file.as_deref())?;
        let options = options.context("name the database with --database-url or --database-url-file")?;
        let Some(file) = &self.database_password_file else { return Ok(options) };
        Ok(options.password(secrets::password(file)?.expose_secret()))
    }
}

/// A database by its URL or by a file that holds it. None where neither is given.
pub fn database_options(url: Option<&str>, file: Option<&Path>) -> Result<Option<PgConnectOptions>> {
    let url = match (url, file) {
        (Some(url), _) => url.to_owned(),
        (None, Some(path)) => fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?,
        (None, None) => return Ok(None),
    };
    url.trim().parse().context("the database's URL is malformed").map(Some)
}

/// How the suite runs in one process.
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// The folder for the private cluster and the key [default: /var/lib/otdel as root, else otdel in the user's data
    /// home]
    #[arg(long, env = "OTDEL_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The address of the gateway
    #[arg(long, env = "OTDEL_LISTEN", default_value = "127.0.0.1:7400", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The folder of PostgreSQL's server binaries [default: looks for them]
    #[arg(long, env = "OTDEL_POSTGRES_BIN", value_name = "DIR")]
    pub postgres_bin: Option<PathBuf>,
    /// Installs PostgreSQL with the system's package manager where it is not installed
    #[arg(long)]
    pub install_postgres: bool,
    /// Uses this database, as a role that may create roles and schemas, instead of a private cluster. A flag alone, so
    /// that no variable meant for another command makes a development suite of a database
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// A file with that URL, so that it stands in no process list
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,
    /// The zone that decides months and dates; fixed at the first start
    #[arg(long, env = "OTDEL_BUSINESS_ZONE", default_value = "Europe/Moscow", value_name = "ZONE")]
    pub business_zone: Zone,
    /// Makes a test database, whose clock stands until `AdvanceClock` moves it
    #[arg(long)]
    pub test: bool,
    /// What both ways of running share.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Which services run, and where the others are.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// The services
    #[arg(required = true, value_name = "SERVICE")]
    pub roles: Vec<Role>,
    /// The address of each service named, in the same order [default: 127.0.0.1 with ports 7400 (gateway), 7401
    /// (leads), 7402 (contracts), 7403 (billing), 7404 (reporting)]
    #[arg(long, env = "OTDEL_LISTEN", value_delimiter = ',', value_name = "ADDRESS")]
    pub listen: Vec<SocketAddr>,
    /// The folder of the secrets, as `otdel init` writes it, or the folder of one service's alone
    #[arg(long, env = "OTDEL_SECRETS", value_name = "DIR")]
    pub secrets: PathBuf,
    /// The database, without a user and password: those are the service's own
    #[arg(long, env = "OTDEL_DATABASE_URL", hide_env_values = true, value_name = "URL")]
    pub database_url: Option<String>,
    /// Where leads is: one or more `host:port`
    #[arg(
        long,
        env = "OTDEL_LEADS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7401",
        value_name = "HOST:PORT"
    )]
    pub leads: Vec<HostPort>,
    /// Where contracts is
    #[arg(
        long,
        env = "OTDEL_CONTRACTS",
        value_delimiter = ',',
        default_value = "127.0.0.1:7402",
        value_name = "HOST:PORT"
    )]
    pub contracts: Vec<HostPort>,
    /// Where billing is
    #[arg(
        long,
        env = "OTDEL_BILLING",
        value_delimiter = ',',
        default_value = "127.0.0.1:7403",
        value_name = "HOST:PORT"
    )]
    pub billing: Vec<HostPort>,
    /// Where reporting is
    #[arg(
        long,
        env = "OTDEL_REPORTING",
        value_delimiter = ',',
        default_value = "127.0.0.1:7404",
        value_name = "HOST:PORT"
    )]
    pub reporting: Vec<HostPort>,
    /// Runs on a test database, and on no other
    #[arg(long)]
    pub test: bool,
    /// Writes the address of each service, one `service address` a line, and as `admin` that of the metrics, once it
    /// listens
    #[arg(long, value_name = "FILE")]
    pub address_file: Option<PathBuf>,
    /// What both ways of running share.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// What both ways of running share.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// Connections to the database, for each service
    #[arg(long, env = "OTDEL_DATABASE_CONNECTIONS", default_value_t = 16, value_name = "N")]
    pub database_connections: u32,
    /// Connections at once to the gateway from one address. This machine is not counted: its proxies speak for everybody.
    /// A proxy elsewhere, or outside of the gateway's container, needs more
    #[arg(long, env = "OTDEL_CONNECTIONS_PER_ADDRESS", default_value_t = 32, value_name = "N")]
    pub connections_per_address: usize,
    /// How long a stop waits for calls under way, in seconds
    #[arg(long, env = "OTDEL_DRAIN_S", default_value_t = 10, value_name = "SECONDS")]
    pub drain_s: u64,
    /// The folder of `ca.pem`, `cert.pem` and `key.pem` that the gateway serves with. Without it keys and personal data
    /// travel in clear text, for a proxy that ends TLS on the same machine
    #[arg(long, env = "OTDEL_TLS", value_name = "DIR")]
    pub tls: Option<PathBuf>,
    /// The origins whose pages may call the gateway from browsers, such as `https://crm.example.org` [default: none]
    #[arg(long, env = "OTDEL_CORS_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub cors_origins: Vec<Origin>,
    /// Whom the gateway lets in, and how much it takes from each.
    #[command(flatten)]
    pub door: DoorArgs,
    /// Does not describe the services to clients: no reflection, and no `/openapi.json`
    #[arg(long, env = "OTDEL_NO_REFLECTION")]
    pub no_reflection: bool,
    /// The address of the metrics and probes over plain HTTP [default: none]
    #[arg(long, env = "OTDEL_METRICS_LISTEN", value_name = "ADDRESS")]
    pub metrics_listen: Option<SocketAddr>,
    /// Where traces go, as OTLP over gRPC, such as `http://127.0.0.1:4317` [default: nowhere]
    #[arg(long, env = "OTDEL_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// How logs look
    #[arg(long, env = "OTDEL_LOG_FORMAT", default_value = "pretty", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Which logs are written, such as `info,otdel_leads=debug`
    #[arg(long, env = "OTDEL_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

impl CommonArgs {
    /// How long a stop waits for calls under way.
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_s)
    }
}

/// Where the secrets go, and who is the first administrator.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// The folder of the secrets: one folder a service inside it
    #[arg(long, env = "OTDEL_SECRETS", value_name = "DIR")]
    pub secrets: PathBuf,
    /// Makes certificates anew under the same authority, as is done without it when fewer than 45 days are left, and keeps
    /// everything else; restart the roles one by one after
    #[arg(long)]
    pub renew: bool,
    /// Appoints the first administrator, who logs in with tokens of this issuer and subject; refused once there is another
    #[arg(long, value_name = "ISSUER|SUBJECT")]
    pub admin: Option<String>,
    /// Writes an API key for the first administrator to this file: beside --admin, or instead of it where nobody
    /// logs in; refused once there is another one
    #[arg(long, value_name = "FILE")]
    pub admin_key: Option<PathBuf>,
    /// Where the first administrator is written down.
    #[command(flatten)]
    pub database: AdminDatabaseArgs,
}

/// Which database is migrated.
#[derive(Clone, Debug, Args)]
pub struct MigrateArgs {
    /// The database.
    #[command(flatten)]
    pub database: AdminDatabaseArgs,
    /// The folder of the secrets, for the passwords of the services' roles
    #[arg(long, env = "OTDEL_SECRETS", value_name = "DIR")]
    pub secrets: PathBuf,
    /// Makes the services' roles with their passwords and nothing else, before a dump is restored into a fresh cluster
    #[arg(long)]
    pub roles_only: bool,
    /// The zone that decides months and dates; fixed at the first migration
    #[arg(long, env = "OTDEL_BUSINESS_ZONE", default_value = "Europe/Moscow", value_name = "ZONE")]
    pub business_zone: Zone,
}

/// Whose key is printed.
#[derive(Clone, Debug, Args)]
pub struct TokenArgs {
    /// The data folder of `otdel up`
    #[arg(long, env = "OTDEL_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

/// Which role is asked.
#[derive(Clone, Debug, Args)]
pub struct HealthcheckArgs {
    /// The address of the metrics and probes of the role
    #[arg(long, env = "OTDEL_METRICS_LISTEN", value_name = "ADDRESS")]
    pub address: SocketAddr,
}

/// A service of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Requests, clients, deals, staff, principals.
    Leads,
    /// Contracts and orders.
    Contracts,
    /// Invoices, payments, the ledger.
    Billing,
    /// Reports.
    Reporting,
    /// The one door for people and systems.
    Gateway,
}

impl Role {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 5] = [Self::Leads, Self::Contracts, Self::Billing, Self::Reporting, Self::Gateway];

    /// The service's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leads => "leads",
            Self::Contracts => "contracts",
            Self::Billing => "billing",
            Self::Reporting => "reporting",
            Self::Gateway => "gateway",
        }
    }

    /// The port where it listens unless told otherwise.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Gateway => 7400,
            Self::Leads => 7401,
            Self::Contracts => 7402,
            Self::Billing => 7403,
            Self::Reporting => 7404,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn origins_are_named_one_by_one() {
        let cli = Cli::parse_from(["otdel", "--cors-origins", "https://a.example,http://localhost:3000"]);
        assert_eq!(cli.up.common.cors_origins.len(), 2);
        assert!(Cli::try_parse_from(["otdel", "--cors-origins", "*"]).is_err());
    }

    #[test]
    fn nothing_said_is_up_on_loopback() {
        let cli = Cli::parse_from(["otdel"]);
        assert!(cli.command.is_none());
        assert!(cli.up.listen.ip().is_loopback());
    }
}
