//! The suite's roles as processes, each with what `otdel serve` gives it: mutual TLS, a pool, its followers.

use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{self, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use otdel::cli::Role;
use otdel_runtime::clock::pause;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::ground::{Base, Ground};

/// How long a role may take to serve.
const PATIENCE: Duration = Duration::from_mins(1);

/// The roles of one side at work.
pub struct Roles {
    node: PathBuf,
    name: &'static str,
    url: String,
    folder: PathBuf,
    connections: u32,
    ports: BTreeMap<&'static str, SocketAddr>,
    running: BTreeMap<&'static str, Running>,
}

struct Running {
    child: Child,
    pid: i32,
    /// From the start of the process until it served.
    started_in: Duration,
}

impl Roles {
    /// No roles yet. Their ports are chosen here, since each must know where the others will be, at a loopback address of
    /// this process's own: at the usual one somebody's connection may have taken a port before its role starts.
    pub fn new(name: &'static str, node: &Path, ground: &Ground, base: &Base, connections: u32) -> Result<Self> {
        let own = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) | ((process::id() << 1) & 0x00ff_ffff));
        let held: Vec<_> =
            Role::ALL.into_iter().map(|role| Ok((role, TcpListener::bind((own, 0))?))).collect::<Result<_>>()?;
        let ports = held.iter().map(|(role, held)| Ok((role.name(), held.local_addr()?))).collect::<Result<_>>()?;
        let folder = ground.folder().to_owned();
        let url = base.url.clone();
        Ok(Self { node: node.to_owned(), name, url, folder, connections, ports, running: BTreeMap::new() })
    }

    /// Sees to it that these roles run and no others, and waits until they serve.
    pub async fn only(&mut self, roles: &[Role]) -> Result<()> {
        let superfluous = |name: &&str| !roles.iter().any(|role| role.name() == *name);
        let ending: Vec<_> = self.running.keys().copied().filter(superfluous).collect();
        for name in ending.into_iter().rev() {
            self.stop(name).await?;
        }
        // All at once: a gateway serves when leads does, and leads may come after it.
        let mut starting = Vec::new();
        for role in roles.iter().filter(|role| !self.running.contains_key(role.name())) {
            starting.push((*role, Instant::now(), self.spawn(*role)?));
        }
        for (role, began, mut child) in starting {
            self.serves(role, &mut child, began + PATIENCE).await?;
            let pid = child.id().and_then(|id| i32::try_from(id).ok()).context("it runs")?;
            self.running.insert(role.name(), Running { child, pid, started_in: began.elapsed() });
        }
        Ok(())
    }

    fn spawn(&self, role: Role) -> Result<Child> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log(role))?;
        // They end with us however we end.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(&self.node).args([
            "serve",
            role.name(),
            "--drain-s",
            "5",
            "--rate-limit",
            "0",
        ]);
        command.arg("--listen").arg(self.ports[role.name()].to_string());
        command.arg("--database-connections").arg(self.connections.to_string());
        command.arg("--secrets").arg(self.folder.join("secrets")).arg("--database-url").arg(&self.url);
        for other in ["leads", "contracts", "billing", "reporting"] {
            command.arg(format!("--{other}")).arg(self.ports[other].to_string());
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        command.spawn().context("setpriv and the suite's binary cannot be started")
    }

    fn log(&self, role: Role) -> PathBuf {
        self.folder.join(format!("{}-{}.log", self.name, role.name()))
    }

    /// Waits until a role says that it serves.
    async fn serves(&self, role: Role, child: &mut Child, until: Instant) -> Result<()> {
        loop {
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(self.log(role)).unwrap_or_default();
                bail!("{} ended with {status}: {}", role.name(), log.lines().last().unwrap_or("it logged nothing"));
            }
            if let Ok(channel) = self.endpoint(role)?.connect().await {
                let asked = HealthClient::new(channel).check(HealthCheckRequest { service: String::new() }).await;
                if asked.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving) {
                    return Ok(());
                }
            }
            if Instant::now() > until {
                bail!("{} does not serve after {PATIENCE:?}: see its log in {}", role.name(), self.folder.display());
            }
            pause(Duration::from_millis(1)).await;
        }
    }

    async fn stop(&mut self, name: &'static str) -> Result<()> {
        let Some(mut running) = self.running.remove(name) else { return Ok(()) };
        if let Some(pid) = Pid::from_raw(running.pid) {
            kill_process(pid, Signal::TERM)?;
        }
        running.child.wait().await?;
        Ok(())
    }

    /// Ends all of them.
    pub async fn end(&mut self) -> Result<()> {
        self.only(&[]).await
    }

    /// Ways to a role: the gateway takes anybody, the others those who show a certificate of the deployment. We call as the
    /// gateway does. One connection carries at most 100 calls at once.
    pub fn channels(&self, role: Role, many: usize) -> Result<Vec<Channel>> {
        (0..many).map(|_| Ok(self.endpoint(role)?.connect_lazy())).collect()
    }

    fn endpoint(&self, role: Role) -> Result<Endpoint> {
        let address = self.ports[role.name()];
        if role == Role::Gateway {
            return Ok(Endpoint::from_shared(format!("http://{address}"))?);
        }
        let read = |file: &str| fs::read(self.folder.join("secrets/gateway").join(file));
        let tls = ClientTlsConfig::new()
            .domain_name(role.name())
            .ca_certificate(Certificate::from_pem(read("ca.pem")?))
            .identity(Identity::from_pem(read("cert.pem")?, read("key.pem")?));
        Ok(Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?)
    }

    /// The process numbers of those that run.
    pub fn pids(&self) -> Vec<i32> {
        self.running.values().map(|one| one.pid).collect()
    }

    /// The process number of a role.
    pub fn pid(&self, role: Role) -> Option<i32> {
        self.running.get(role.name()).map(|one| one.pid)
    }

    /// How long a role took to serve.
    pub fn started_in(&self, role: Role) -> Option<Duration> {
        self.running.get(role.name()).map(|one| one.started_in)
    }
}

/// The suite's binary beside this one, or one folder above where a test runs.
pub fn node_beside_us() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("otdel-node")).find(|path| path.exists());
    found.context("otdel-node is not built: cargo build --release -p otdel-tests")
}
