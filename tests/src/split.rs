//! A process for each role, or two, with mutual TLS: each behind a proxy with a fixed address, so that it can be killed and
//! come back.

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
    proxies: HashMap<Seat, Proxy>,
    processes: HashMap<Seat, Process>,
}

/// One of the processes of a role. A role alone means its first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seat {
    service: &'static str,
    number: usize,
}

impl From<Role> for Seat {
    fn from(role: Role) -> Self {
        Self { service: role.name(), number: 1 }
    }
}

impl Seat {
    /// What its files are called.
    fn name(self) -> String {
        if self.number == 1 { self.service.to_owned() } else { format!("{}-{}", self.service, self.number) }
    }
}

/// The second process of a role.
pub fn second(role: Role) -> Seat {
    Seat { service: role.name(), number: 2 }
}

/// A role in a process of its own.
pub struct Process {
    child: Child,
    address: SocketAddr,
}

impl Split {
    /// Starts one process of each role, with further flags for each, and another of those that run `twice`, and waits until
    /// each listens.
    pub async fn start(database: &Database, folder: &Path, flags: &[&str], twice: &[Role]) -> Self {
        make_secrets(&folder.join("secrets"));
        let firsts = Role::ALL.into_iter().map(Seat::from);
        let seats: Vec<Seat> = firsts.chain(twice.iter().map(|role| second(*role))).collect();
        let mut proxies = HashMap::new();
        for seat in &seats {
            proxies.insert(*seat, Proxy::start().await.expect("a proxy"));
        }
        let mut split = Self {
            folder: folder.to_owned(),
            database: database.clone(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            proxies,
            processes: HashMap::new(),
        };
        for seat in seats {
            split.run(seat).await;
        }
        split
    }

    /// Where the gateway is reached, whichever process it is.
    pub fn gateway(&self) -> SocketAddr {
        self.proxies[&Role::Gateway.into()].address()
    }

    /// The proxy of a process, whichever process it is.
    pub fn proxy(&self, seat: impl Into<Seat>) -> &Proxy {
        &self.proxies[&seat.into()]
    }

    /// Starts a process and points its proxy at it.
    pub async fn run(&mut self, seat: impl Into<Seat>) {
        let seat = seat.into();
        let process = self.spawn(seat.service, &seat.name()).await;
        self.proxies[&seat].point_to(Some(process.address));
        self.processes.insert(seat, process);
    }

    /// Starts one more process of a role, which nobody calls: for what it does by itself.
    pub async fn replica(&self, role: Role, name: &str) -> Process {
        self.spawn(role.name(), &format!("{}{name}", role.name())).await
    }

    async fn spawn(&self, service: &'static str, name: &str) -> Process {
        let address_file = self.folder.join(format!("{name}.address"));
        let _ = std::fs::remove_file(&address_file);
        let log = self.folder.join(format!("{name}.log"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
        // A test that is killed takes its processes along.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(binary());
        command.args(["serve", service, "--listen", "127.0.0.1:0", "--drain-s", "10"]);
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
            command.arg(format!("--{other}")).arg(self.addresses(other));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().expect("setpriv and otdel-node can be started");
        let what = format!("{} listens; see its log in {}", service, self.folder.display());
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

    /// Where others find a service: all its processes.
    fn addresses(&self, service: &str) -> String {
        let of_service = self.proxies.iter().filter(|(seat, _)| seat.service == service);
        of_service.map(|(_, proxy)| proxy.address().to_string()).collect::<Vec<_>>().join(",")
    }

    /// Kills a process without a word. Whoever is connected to it is cut off.
    pub async fn kill(&mut self, seat: impl Into<Seat>) {
        let seat = seat.into();
        self.proxies[&seat].point_to(None);
        if let Some(process) = self.processes.remove(&seat) {
            process.kill().await;
        }
    }

    /// Sends a process a signal and leaves it running.
    pub fn signal(&self, seat: impl Into<Seat>, signal: Signal) {
        if let Some(process) = self.processes.get(&seat.into()) {
            process.signal(signal);
        }
    }

    /// Asks a process to end, and tells how and how soon it did.
    pub async fn terminate(&mut self, seat: impl Into<Seat>) -> (ExitStatus, Duration) {
        let seat = seat.into();
        let mut process = self.processes.remove(&seat).expect("the process runs");
        let asked = std::time::Instant::now();
        process.signal(Signal::TERM);
        let status = tokio::time::timeout(patience(), process.child.wait()).await.expect("it ends").expect("a status");
        self.proxies[&seat].point_to(None);
        (status, asked.elapsed())
    }

    /// Where a process's metrics are, if it was told to serve them.
    pub fn metrics(&self, seat: impl Into<Seat>) -> Option<SocketAddr> {
        let text = std::fs::read_to_string(self.folder.join(format!("{}.address", seat.into().name()))).ok()?;
        text.lines().find_map(|line| line.strip_prefix("admin ")?.parse().ok())
    }

    /// Where a process itself listens, behind its proxy.
    pub fn address(&self, seat: impl Into<Seat>) -> SocketAddr {
        self.processes[&seat.into()].address
    }

    /// Ends all processes as a signal would, those first that ask others.
    pub async fn stop(mut self) {
        for role in Role::ALL.into_iter().rev() {
            for seat in [second(role), role.into()] {
                if self.processes.contains_key(&seat) {
                    self.terminate(seat).await;
                }
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
