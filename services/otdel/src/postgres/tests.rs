//! What holds for a real cluster: it needs the server's binaries on this machine.
//!
//! Some tests need a process to kill, and the only executable at hand is the test's own: `as_owner` and `as_guard` are
//! no tests but what that executable does when such a test starts it.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{Connection, Executor};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval};
use uuid::Uuid;

use super::{Cluster, Guard, Settings, Throwaway, guard, leftover, sweep};

/// Tells `as_owner` its data folder.
const OWNER: &str = "OTDEL_TEST_POSTGRES_OWNER";
/// Tells `as_guard` its arguments, one a line.
const GUARD: &str = "OTDEL_TEST_POSTGRES_GUARD";
/// How long a test waits for what must happen.
const LONG: Duration = Duration::from_mins(1);

/// A folder under the temporary one that the server's account can pass through.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("otdel-unit-{}", Uuid::new_v4().simple()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o711)).unwrap();
        Self(fs::canonicalize(path).unwrap())
    }

    fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    fn cluster(&self) -> PathBuf {
        self.data().join("postgres")
    }

    fn settings(&self) -> Settings {
        Settings { guard: Guard::Setpriv, ..Settings::new(self.data()) }
    }

    async fn start(&self) -> Cluster {
        Cluster::start(self.settings()).await.unwrap()
    }

    /// A script that is a guard: it hands its arguments to `as_guard`.
    fn guard(&self) -> PathBuf {
        let path = self.0.join("guard");
        let script = format!(
            "#!/bin/sh\nshift\n{GUARD}=$(printf '%s\\n' \"$@\") exec {} --exact {} --nocapture\n",
            env::current_exe().unwrap().display(),
            name_of("as_guard"),
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Another process that runs `as_owner` here.
    fn owner(&self) -> Child {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", &name_of("as_owner"), "--nocapture"]).env(OWNER, &self.0);
        command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The name by which the test executable knows a test of this module.
fn name_of(test: &str) -> String {
    let module = module_path!();
    format!("{}::{test}", module.split_once("::").unwrap().1)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    let mut tick = interval(Duration::from_millis(2));
    while !holds() {
        assert!(Instant::now() < end, "not within {LONG:?}: {what}");
        tick.tick().await;
    }
}

async fn connect(cluster: &Cluster, database: &str) -> PgConnection {
    PgConnection::connect(&cluster.url(database)).await.unwrap()
}

/// Commits a row that must be there for ever.
async fn write_row(cluster: &Cluster) {
    cluster.create_database_if_absent("sales").await.unwrap();
    let mut db = connect(cluster, "sales").await;
    db.execute("create table if not exists lead (name text)").await.unwrap();
    db.execute("insert into lead values ('Мария')").await.unwrap();
}

async fn rows(cluster: &Cluster) -> i64 {
    let mut db = connect(cluster, "sales").await;
    sqlx::query_scalar("select count(*) from lead where name = 'Мария'").fetch_one(&mut db).await.unwrap()
}

async fn show(db: &mut PgConnection, setting: &str) -> String {
    sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(db).await.unwrap()
}

fn kill(cluster: &Cluster) {
    kill_process(Pid::from_raw(cluster.pid().unwrap()).unwrap(), Signal::KILL).unwrap();
}

/// Waits until an owner says that its cluster runs.
async fn ready(owner: &mut Child) {
    let mut lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("the cluster runs") {
            return;
        }
    }
    panic!("the owner ended before its cluster ran");
}

fn unfinished(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.to_string_lossy().contains("postgres.new-")).collect()
}

/// No test but a process for the others to kill; without their word it does nothing.
#[tokio::test]
async fn as_owner() {
    let Some(folder) = env::var_os(OWNER).map(PathBuf::from) else { return };
    let settings = Settings { guard: Guard::Path(folder.join("guard")), ..Settings::new(folder.join("data")) };
    let cluster = Cluster::start(settings).await.unwrap();
    write_row(&cluster).await;
    println!("the cluster runs");
    cluster.exited().await;
}

/// No test but a guard for the others to start a server with; without their word it does nothing.
#[test]
fn as_guard() {
    let Ok(text) = env::var(GUARD) else { return };
    let mut lines = text.lines();
    let parent = lines.next().unwrap().parse().unwrap();
    let program = lines.next().unwrap().into();
    let error = guard::run(guard::GuardArgs::new(parent, program, lines.map(Into::into).collect())).unwrap_err();
    panic!("{error:#}");
}

#[tokio::test]
async fn a_cluster_is_private_durable_and_knows_cyrillic() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    assert!(cluster.create_database_if_absent("Отдел \"1\" ?&%").await.unwrap());
    assert!(!cluster.create_database_if_absent("Отдел \"1\" ?&%").await.unwrap());
    let twice = tokio::join!(cluster.create_database_if_absent("once"), cluster.create_database_if_absent("once"));
    assert!(twice.0.unwrap() != twice.1.unwrap());

    let mut db = connect(&cluster, "Отдел \"1\" ?&%").await;
    for setting in ["fsync", "full_page_writes", "synchronous_commit", "data_checksums"] {
        assert_eq!(show(&mut db, setting).await, "on", "{setting}");
    }
    assert_eq!(show(&mut db, "listen_addresses").await, "");
    assert_eq!(show(&mut db, "server_encoding").await, "UTF8");
    assert_eq!(show(&mut db, "max_connections").await, "200");
    db.execute("create extension pg_trgm").await.unwrap();
    let similar: f32 = sqlx::query_scalar("select similarity('Мария', 'мария')").fetch_one(&mut db).await.unwrap();
    assert!((similar - 1.0).abs() < 0.01, "{similar}");
    PgConnection::connect_with(&cluster.options("postgres")).await.unwrap();

    let stranger: PgConnectOptions = cluster.url("postgres").replace("password=", "password=x").parse().unwrap();
    let refused = PgConnection::connect_with(&stranger).await.unwrap_err().to_string();
    assert!(refused.contains("password authentication failed"), "{refused}");
    let mode = |name: &str| fs::metadata(scratch.data().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("postgres.password"), mode("postgres.log"), mode("postgres.run")), (0o600, 0o600, 0o700));
    cluster.stop().await.unwrap();
    assert!(leftover::processes(&scratch.cluster()).is_empty());
}

#[tokio::test]
async fn a_commit_survives_the_kill_of_the_server() {
    let scratch = Scratch::new();
    let mut cluster = scratch.start().await;
    write_row(&cluster).await;
    kill(&cluster);
    assert_eq!(cluster.exited().await, "signal: 9 (SIGKILL)");
    cluster.restart().await.unwrap();
    assert_eq!(rows(&cluster).await, 1);

    kill(&cluster);
    drop(cluster);
    let cluster = scratch.start().await;
    assert_eq!(rows(&cluster).await, 1);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_busy_connection_of_a_killed_server_does_not_keep_the_next_from_starting() {
    let scratch = Scratch::new();
    let mut cluster = scratch.start().await;
    write_row(&cluster).await;
    let mut busy = connect(&cluster, "sales").await;
    let sleeper: i32 = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut busy).await.unwrap();
    let long = tokio::spawn(async move {
        // It computes and never waits, so it does not see that its server is gone.
        let count: Result<i64, _> =
            sqlx::query_scalar("select count(*) from generate_series(1, 100000000000)").fetch_one(&mut busy).await;
        count.unwrap_err()
    });
    let mut db = connect(&cluster, "sales").await;
    let active = "select count(*) from pg_stat_activity where pid = $1 and state = 'active'";
    let end = Instant::now() + LONG;
    while sqlx::query_scalar::<_, i64>(active).bind(sleeper).fetch_one(&mut db).await.unwrap() == 0 {
        assert!(Instant::now() < end);
    }
    kill(&cluster);
    cluster.exited().await;
    cluster.restart().await.unwrap();
    assert_eq!(rows(&cluster).await, 1);
    long.await.unwrap();
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_start_on_the_same_folder_says_who_holds_it() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    let refused = Cluster::start(scratch.settings()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("in use by process {}:", std::process::id())), "{refused}");
    cluster.stop().await.unwrap();
    scratch.start().await.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_an_earlier_run_left_running_is_replaced() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    write_row(&cluster).await;
    let old = cluster.pid();
    cluster.abandon();
    assert!(!leftover::processes(&scratch.cluster()).is_empty());
    let cluster = scratch.start().await;
    assert_ne!(cluster.pid(), old);
    assert_eq!(rows(&cluster).await, 1);
    cluster.stop().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_server_ends_with_a_killed_owner_and_its_commits_stay() {
    let scratch = Scratch::new();
    scratch.guard();
    let mut owner = scratch.owner();
    ready(&mut owner).await;
    assert!(!leftover::processes(&scratch.cluster()).is_empty());
    owner.kill().await.unwrap();
    until("the server ends with its owner", || leftover::processes(&scratch.cluster()).is_empty()).await;

    let settings = Settings { guard: Guard::Path(scratch.guard()), ..scratch.settings() };
    let cluster = Cluster::start(settings).await.unwrap();
    assert!(cluster.is_under_guard());
    assert_eq!(rows(&cluster).await, 1);
    cluster.stop().await.unwrap();
    let log = fs::read_to_string(scratch.data().join("postgres.log")).unwrap();
    assert!(!log.contains("automatic recovery in progress"), "the guard's shutdown is a clean one: {log}");
}

#[tokio::test]
async fn an_owner_killed_while_it_makes_the_cluster_leaves_none() {
    let scratch = Scratch::new();
    scratch.guard();
    let mut owner = scratch.owner();
    let halfway = || unfinished(&scratch.data()).iter().any(|path| path.join("cluster/PG_VERSION").exists());
    until("initdb has begun", halfway).await;
    owner.kill().await.unwrap();
    assert!(!scratch.cluster().exists());

    let cluster = scratch.start().await;
    write_row(&cluster).await;
    assert_eq!(rows(&cluster).await, 1);
    cluster.stop().await.unwrap();
    assert_eq!(unfinished(&scratch.data()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_cluster_may_lie_elsewhere_behind_a_link() {
    let scratch = Scratch::new();
    let cluster = scratch.start().await;
    write_row(&cluster).await;
    cluster.stop().await.unwrap();
    let disk = scratch.0.join("disk");
    fs::rename(scratch.cluster(), &disk).unwrap();
    std::os::unix::fs::symlink(&disk, scratch.cluster()).unwrap();
    let cluster = scratch.start().await;
    assert_eq!(rows(&cluster).await, 1);
    cluster.abandon();
    assert!(!leftover::processes(&disk).is_empty());
    let cluster = scratch.start().await;
    assert_eq!(rows(&cluster).await, 1);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_and_full_of_odd_characters_works() {
    let scratch = Scratch::new();
    let data = scratch.0.join(format!("{} 'отдел', \"%41\"", "d".repeat(60)));
    let settings = || Settings { guard: Guard::Setpriv, ..Settings::new(&data) };
    let cluster = Cluster::start(settings()).await.unwrap();
    let socket = cluster.socket_dir().to_owned();
    assert!(!socket.starts_with(&data));
    write_row(&cluster).await;
    kill(&cluster);
    drop(cluster);
    let cluster = Cluster::start(settings()).await.unwrap();
    assert_eq!(cluster.socket_dir(), socket);
    assert_eq!(rows(&cluster).await, 1);
    cluster.stop().await.unwrap();
    assert!(!socket.exists());
}

#[tokio::test]
async fn the_socket_of_an_odd_path_is_found_by_its_url() {
    let scratch = Scratch::new();
    let data = scratch.0.join("a, \"%41\" я");
    let settings = Settings { guard: Guard::Setpriv, ..Settings::new(&data) };
    let cluster = Cluster::start(settings).await.unwrap();
    assert!(cluster.socket_dir().starts_with(&data));
    connect(&cluster, "postgres").await;
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_start_that_fails_shows_what_the_server_said() {
    let scratch = Scratch::new();
    let extra = vec![("max_connections".to_owned(), "many".to_owned())];
    let failed = Cluster::start(Settings { extra, ..scratch.settings() }).await.unwrap_err().to_string();
    assert!(failed.contains("postgres.log") && failed.contains("invalid value for parameter"), "{failed}");
    scratch.start().await.stop().await.unwrap();
}

#[tokio::test]
async fn a_lost_password_is_said_and_not_replaced() {
    let scratch = Scratch::new();
    scratch.start().await.stop().await.unwrap();
    fs::remove_file(scratch.data().join("postgres.password")).unwrap();
    let refused = Cluster::start(scratch.settings()).await.unwrap_err().to_string();
    assert!(refused.contains("postgres.password from a backup"), "{refused}");
}

#[tokio::test]
async fn as_root_a_data_folder_that_the_server_cannot_reach_is_refused_by_name() {
    if !geteuid().is_root() {
        return;
    }
    let scratch = Scratch::new();
    let home = scratch.0.join("home");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
    let settings = Settings { guard: Guard::Off, ..Settings::new(home.join("otdel")) };
    let refused = Cluster::start(settings).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("may not enter {}:", home.display())), "{refused}");

    let settings = Settings { guard: Guard::Off, ..Settings::new(&home) };
    let refused = Cluster::start(settings).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("`chmod go+x {}`", home.display())), "{refused}");
}

#[tokio::test]
async fn an_old_server_is_refused() {
    let scratch = Scratch::new();
    for name in ["postgres", "initdb", "pg_ctl"] {
        let path = scratch.0.join(name);
        fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 14.2'\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let settings = Settings { binaries: Some(scratch.0.clone()), ..scratch.settings() };
    let refused = Cluster::start(settings).await.unwrap_err().to_string();
    assert!(refused.contains("PostgreSQL 15 or newer is needed") && refused.contains("14.2"), "{refused}");
}

#[tokio::test]
async fn a_sweep_removes_the_dead_and_leaves_the_living() {
    let scratch = Scratch::new();
    scratch.guard();
    let mut owner = scratch.owner();
    ready(&mut owner).await;
    assert_eq!(sweep(&scratch.0, "data").await.unwrap(), 0);
    owner.kill().await.unwrap();
    assert_eq!(sweep(&scratch.0, "other").await.unwrap(), 0);
    sweep(&scratch.0, "").await.unwrap_err();
    assert_eq!(sweep(&scratch.0, "data").await.unwrap(), 1);
    assert!(!scratch.data().exists());
}

#[tokio::test]
async fn a_throwaway_cluster_is_gone_after_its_test() {
    let prefix = format!("otdel-throw-{}-", Uuid::new_v4().simple());
    let throwaway = Throwaway::start(&prefix).await.unwrap();
    let data = throwaway.cluster().data_dir().to_owned();
    connect(throwaway.cluster(), "postgres").await;
    throwaway.stop().await.unwrap();
    assert!(!data.exists());

    let throwaway = Throwaway::start(&prefix).await.unwrap();
    let data = throwaway.cluster().data_dir().to_owned();
    drop(throwaway);
    assert!(!data.exists());
}
