//! Five processes with mutual TLS, each behind a proxy with a fixed address, so that a role can be killed and come back.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use otdel::{cli::Role, private, secrets};
use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret as _;
use tokio::process::{Child, Command};

use crate::{
    cluster::{self, Database},
    eventually::{eventually, patience},
    proxy::Proxy,
};

/// The processes of a suite.
pub struct Split {
    folder: PathBuf,
    database: Database,
    flags: Vec<String>,
    proxies: HashMap<&'static str, Proxy>,
    processes: HashMap<&'static str, Process>,
}

/// A role in a process of its own.
pub struct Process {
    child: Child,
    address: SocketAddr,
}

impl Split {
    /// Starts all five and waits until each listens.
    pub async fn start(database: &Database, folder: &Path) -> Self {
        Self::start_with(database, folder, &[]).await
    }

    /// The same with further flags for each.
    pub async fn start_with(database: &Database, folder: &Path, flags: &[&str]) -> Self {
        make_secrets(&folder.join("secrets"));
        let mut proxies = HashMap::new();
        for role in Role::ALL {
            proxies.insert(role.name(), Proxy::start().await.expect("a proxy"));
        }
        let mut split = Self {
            folder: folder.to_owned(),
            database: database.clone(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            proxies,
            processes: HashMap::new(),
        };
        for role in Role::ALL {
            split.run(role).await;
        }
        split
    }

    /// Where the gateway is reached, whichever process it is.
    pub fn gateway(&self) -> SocketAddr {
        self.proxies["gateway"].address()
    }

    /// Starts a role and points its proxy at it.
    pub async fn run(&mut self, role: Role) {
        let process = self.spawn(role, "").await;
        self.proxies[role.name()].point_to(Some(process.address));
        self.processes.insert(role.name(), process);
    }

    /// Starts one more process of a role, which nobody calls: for what it does by itself.
    pub async fn replica(&self, role: Role, name: &str) -> Process {
        self.spawn(role, name).await
    }

    async fn spawn(&self, role: Role, replica: &str) -> Process {
        let address_file = self.folder.join(format!("{}{replica}.address", role.name()));
        let _ = std::fs::remove_file(&address_file);
        let log = self.folder.join(format!("{}{replica}.log", role.name()));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
        // A test that is killed takes its processes along.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(binary());
        command.args(["serve", role.name(), "--listen", "127.0.0.1:0", "--drain-s", "10"]);
        // Tests that are about something else call as fast as they can.
        if !self.flags.iter().any(|flag| flag == "--rate-limit") {
            command.args(["--rate-limit", "0"]);
        }
        command.args(&self.flags);
        if self.database.standing {
            command.arg("--test");
        }
        command.arg("--database-connections").arg("8");
        command.arg("--secrets").arg(self.folder.join("secrets"));
        command.arg("--database-url").arg(&self.database.url);
        command.arg("--address-file").arg(&address_file);
        for other in ["leads", "contracts", "billing", "reporting"] {
            command.arg(format!("--{other}")).arg(self.proxies[other].address().to_string());
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().expect("setpriv and otdel-node can be started");
        let what = format!("{} listens; see its log in {}", role.name(), self.folder.display());
        let address = {
            let child = std::cell::RefCell::new(&mut child);
            eventually(&what, || async {
                if let Ok(Some(status)) = child.borrow_mut().try_wait() {
                    panic!("{what}: it ended with {status}");
                }
                let text = std::fs::read_to_string(&address_file).map_err(|error| error.to_string())?;
                let (_, address) = text.lines().next().and_then(|line| line.split_once(' ')).ok_or("half a line")?;
                address.parse::<SocketAddr>().map_err(|error| error.to_string())
            })
            .await
        };
        Process { child, address }
    }

    /// Kills a role without a word. Whoever is connected to it is cut off.
    pub async fn kill(&mut self, role: Role) {
        self.proxies[role.name()].point_to(None);
        if let Some(process) = self.processes.remove(role.name()) {
            process.kill().await;
        }
    }

    /// Sends a role a signal and leaves it running.
    pub fn signal(&self, role: Role, signal: Signal) {
        if let Some(process) = self.processes.get(role.name()) {
            process.signal(signal);
        }
    }

    /// Asks a role to end, and tells how and how soon it did.
    pub async fn terminate(&mut self, role: Role) -> (ExitStatus, Duration) {
        let mut process = self.processes.remove(role.name()).expect("the role runs");
        let asked = std::time::Instant::now();
        process.signal(Signal::TERM);
        let status = tokio::time::timeout(patience(), process.child.wait()).await.expect("it ends").expect("a status");
        self.proxies[role.name()].point_to(None);
        (status, asked.elapsed())
    }

    /// Where a role's metrics are, if it was told to serve them.
    pub fn metrics(&self, role: Role) -> Option<SocketAddr> {
        let text = std::fs::read_to_string(self.folder.join(format!("{}.address", role.name()))).ok()?;
        text.lines().find_map(|line| line.strip_prefix("admin ")?.parse().ok())
    }

    /// Where a role itself listens, behind its proxy.
    pub fn address(&self, role: Role) -> SocketAddr {
        self.processes[role.name()].address
    }

    /// Ends all processes as a signal would, those first that ask others.
    pub async fn stop(mut self) {
        for role in Role::ALL.into_iter().rev() {
            if self.processes.contains_key(role.name()) {
                self.terminate(role).await;
            }
        }
    }
}

impl Process {
    /// Kills it without a word.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Makes the secrets of a deployment on the cluster that the tests share, whose roles have their passwords already.
pub fn make_secrets(folder: &Path) {
    secrets::init(folder, false).expect("secrets");
    for role in Role::ALL {
        let file = folder.join(role.name()).join("database.password");
        let password = cluster::password(role.name());
        private::write_file(&file, password.expose_secret().as_bytes()).expect("a password");
    }
}

/// The suite's binary.
pub fn binary() -> PathBuf {
    built("otdel-node")
}

/// A binary of this package, which cargo builds beside the tests.
pub fn built(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("a path");
    let beside = tests.parent().and_then(Path::parent).expect("target/…/deps").join(name);
    assert!(beside.exists(), "{} is not built: run the tests with `cargo test`", beside.display());
    beside
}
