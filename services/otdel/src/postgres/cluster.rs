//! The private cluster as the rest of the program sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, Connection};
use tokio::time::{Instant, interval};

use super::account;
use super::binaries::{self, Binaries};
use super::guard::Launch;
use super::initdb::{self, SUPERUSER};
use super::install;
use super::leftover;
use super::lock::DataLock;
use super::password;
use super::server::{self, Server};
use super::settings::{self, Settings};
use super::socket::{self, SocketFolder};

/// A private PostgreSQL cluster that runs as long as this value lives, and no longer than this process.
///
/// Dropping it asks the server for a fast shutdown and does not wait; [`stop`](Self::stop) does.
#[derive(Debug)]
pub struct Cluster {
    settings: Settings,
    ground: Ground,
    server: Option<Server>,
}

/// All that a start needs and a restart need not find out again.
struct Ground {
    data: PathBuf,
    folder: PathBuf,
    binaries: Binaries,
    launch: Launch,
    socket: SocketFolder,
    password: String,
    /// The last field: it is let go when everything else is.
    _lock: DataLock,
}

impl std::fmt::Debug for Ground {
    /// Leaves the password out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ground").field("data", &self.data).field("binaries", &self.binaries).finish_non_exhaustive()
    }
}

/// How one attempt to start the server ended.
enum Attempt {
    Ready(Server),
    /// Processes of a killed server still hold its shared memory.
    StillHeld,
}

impl Cluster {
    /// Starts the cluster of a data folder, and makes it first when there is none.
    pub async fn start(settings: Settings) -> Result<Self> {
        let started = Instant::now();
        let wanted = settings.clone();
        // A thread that stays for as long as initdb runs, since the guard of a child looks at its parent's thread.
        let prepared = tokio::task::spawn_blocking(move || Ground::prepare(&wanted));
        let ground = prepared.await.context("the preparation of PostgreSQL ended early")??;
        let mut cluster = Self { settings, ground, server: None };
        cluster.launch().await?;
        tracing::info!(
            postgres.version = cluster.ground.binaries.version,
            postgres.folder = %cluster.ground.folder.display(),
            took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "private postgresql is ready"
        );
        Ok(cluster)
    }

    /// Starts the server again on the same data, after it has ended or to have it read its settings anew.
    pub async fn restart(&mut self) -> Result<()> {
        if let Some(server) = self.server.take() {
            server.stop(self.settings.stop_limit).await?;
        }
        self.launch().await
    }

    /// Waits until the server ends without being asked to, and says with which status.
    pub async fn exited(&self) -> String {
        match &self.server {
            Some(server) => server.exited().await,
            None => "never started".to_owned(),
        }
    }

    /// Ends the server with a fast shutdown, or an immediate one when that takes too long, and waits for it.
    pub async fn stop(mut self) -> Result<()> {
        let stopped = match self.server.take() {
            Some(server) => server.stop(self.settings.stop_limit).await,
            None => Ok(()),
        };
        self.ground.socket.remove();
        stopped
    }

    /// Ends the server at once and blocks until it has ended: for drops of clusters whose data is thrown away.
    pub(super) fn quit(&mut self) {
        if let Some(server) = self.server.take() {
            server.quit();
        }
        self.ground.socket.remove();
    }

    /// The URL of a database, with the superuser's name and password.
    ///
    /// Every part is given, since sqlx takes what is missing from the environment's `PG...` variables.
    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres:///{}?host={}&port={}&user={SUPERUSER}&password={}&sslmode=disable",
            percent_encode(database),
            percent_encode(&self.socket()),
            socket::PORT,
            self.ground.password
        )
    }

    /// The same as [`url`](Self::url) for those who need no text.
    pub fn options(&self, database: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass().socket(self.ground.socket.path.clone());
        let options = options.port(socket::PORT.parse().unwrap_or(5432)).username(SUPERUSER).database(database);
        options.password(&self.ground.password).ssl_mode(PgSslMode::Disable)
    }

    /// Makes a database if there is none of that name, and says whether it did.
    pub async fn create_database_if_absent(&self, name: &str) -> Result<bool> {
        let mut db = PgConnection::connect_with(&self.options("postgres")).await.context("cannot reach PostgreSQL")?;
        let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
            .bind(name)
            .fetch_one(&mut db)
            .await?;
        let made = !there && create_database(&mut db, name).await?;
        db.close().await?;
        Ok(made)
    }

    /// The process number of the server, for those who want to kill it.
    pub fn pid(&self) -> Option<i32> {
        self.server.as_ref().map(|server| server.pid().as_raw_pid())
    }

    /// The server that runs the cluster.
    pub fn binaries(&self) -> &Binaries {
        &self.ground.binaries
    }

    /// The data folder, free of symbolic links.
    pub fn data_dir(&self) -> &Path {
        &self.ground.data
    }

    /// The folder of the server's Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.ground.socket.path
    }

    /// The server's log.
    pub fn log(&self) -> PathBuf {
        self.ground.data.join("postgres.log")
    }

    /// Whether the server runs under an executable with our hidden command.
    #[cfg(test)]
    pub(super) fn is_under_guard(&self) -> bool {
        self.ground.launch.is_under_guard()
    }

    /// Lets go of the server without a word, as a killed process does.
    #[cfg(test)]
    pub(super) fn abandon(mut self) {
        std::mem::forget(self.server.take());
    }

    /// The socket's folder as text: it is in the data folder, whose path was found to be UTF-8, or in a temporary one.
    fn socket(&self) -> String {
        self.ground.socket.path.to_string_lossy().into_owned()
    }

    /// Ends what an earlier run left and starts the server, until it takes connections.
    async fn launch(&mut self) -> Result<()> {
        let Ground { folder, socket, .. } = &self.ground;
        leftover::end(folder, self.settings.stop_limit).await?;
        let until = Instant::now() + self.settings.start_limit;
        let mut tick = interval(Duration::from_millis(100));
        loop {
            tick.tick().await;
            socket.clear();
            if let Attempt::Ready(server) = self.attempt(until).await? {
                self.server = Some(server);
                return Ok(());
            }
            leftover::end(folder, self.settings.stop_limit).await?;
        }
    }

    /// Starts the server once.
    async fn attempt(&self, until: Instant) -> Result<Attempt> {
        let path = self.log();
        let command = self.command(&path)?;
        let before = fs::read_to_string(self.ground.folder.join("postmaster.pid")).unwrap_or_default();
        let offset = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let server = Server::start(command).await?;
        let ready = ready(&self.ground.folder, &server, &before);
        let problem = tokio::select! {
            biased;
            () = ready => return Ok(Attempt::Ready(server)),
            status = server.exited() => format!("ended with {status}"),
            () = tokio::time::sleep_until(until) => {
                format!("was not ready within {} s", self.settings.start_limit.as_secs())
            }
        };
        let tail = server::tail(&path, offset);
        if tail.contains("is still in use") && Instant::now() < until {
            return Ok(Attempt::StillHeld);
        }
        bail!("PostgreSQL {problem}; the end of its log {}:\n{tail}", path.display())
    }

    /// The command of the server, which writes to the log.
    fn command(&self, log: &Path) -> Result<Command> {
        let Ground { folder, binaries, launch, .. } = &self.ground;
        let arguments = settings::arguments(folder, &self.socket(), &self.settings.extra)?;
        let mut command = launch.command(&binaries.program("postgres"), &arguments);
        let log = server::open_log(log, launch.account.as_ref())?;
        command.stdin(Stdio::null()).stderr(log.try_clone()?).stdout(log);
        Ok(command)
    }
}

impl Ground {
    /// Takes the data folder and finds or makes in it what the server needs.
    fn prepare(settings: &Settings) -> Result<Self> {
        let data = account::make_data_folder(&settings.data_dir)?;
        let lock = DataLock::take(&data)?;
        let folder = initdb::cluster_in(&data);
        let version = initdb::cluster_version(&folder)?;
        let binaries = find_or_install(settings, version)?;
        let account = account::choose(&folder)?;
        let launch = Launch::choose(&settings.guard, account, &data, &binaries)?;
        let password = password::read_or_make(&data, version.is_some())?;
        initdb::remove_unfinished(&data);
        match (version, &launch.account) {
            (None, _) => initdb::make(&data, &binaries, &launch, &password)?,
            (Some(_), Some(account)) => account::own_all(&folder, account)?,
            (Some(_), None) => {}
        }
        let socket = SocketFolder::make(&data, launch.account.as_ref())?;
        // It may be a link to a larger disk, and the server's processes are known by the folder itself.
        let folder = fs::canonicalize(&folder).with_context(|| format!("cannot enter {}", folder.display()))?;
        Ok(Self { data, folder, binaries, launch, socket, password, _lock: lock })
    }
}

/// Finds the server, and installs it when it is absent and that is wanted.
fn find_or_install(settings: &Settings, version: Option<u32>) -> Result<Binaries> {
    let find = || binaries::find(settings.binaries.as_deref(), version);
    if let Some(found) = find()? {
        return Ok(found);
    }
    if !settings.install {
        bail!(install::advice());
    }
    install::install()?;
    find()?.context("the PostgreSQL server was installed and is still not found: name its folder with --postgres-bin")
}

/// Returns when the server takes connections.
async fn ready(folder: &Path, server: &Server, before: &str) {
    let mut tick = interval(Duration::from_millis(5));
    while !server::is_ready(folder, server.pid(), before) {
        tick.tick().await;
    }
}

/// Creates a database, and says whether it was this call that did.
async fn create_database(db: &mut PgConnection, name: &str) -> Result<bool> {
    // A name cannot be a parameter; doubled quotes are all that can stand in a quoted one.
    let statement = format!("create database \"{}\"", name.replace('"', "\"\""));
    match sqlx::raw_sql(AssertSqlSafe(statement)).execute(db).await {
        Ok(_) => Ok(true),
        // Another call was faster: `duplicate_database`, or `unique_violation` when both were under way at once.
        Err(sqlx::Error::Database(error)) if matches!(error.code().as_deref(), Some("42P04" | "23505")) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot create the database {name}")),
    }
}

/// Writes text so that it can stand anywhere in a URL.
fn percent_encode(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
