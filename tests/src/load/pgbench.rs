//! pgbench's side.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::{
    cpu::{Cpu, Watched},
    ground::{Base, Ground},
    operation::Operation,
    turn::{Turn, latencies},
};

/// pgbench and where it is told what to do.
pub struct Pgbench {
    program: PathBuf,
    folder: PathBuf,
    turns: u64,
    seed: u64,
    /// How many rows were taken of the stock of each operation.
    taken: BTreeMap<Operation, u64>,
}

/// What one client did in a turn, as the log says.
struct Logged {
    done: u64,
    most_of_a_client: u64,
    latency: hdrhistogram::Histogram<u64>,
}

impl Pgbench {
    /// pgbench of the server's own release. None where it is not installed.
    pub fn find(ground: &Ground, seed: u64) -> Option<Self> {
        let program = ground.program("pgbench")?;
        Some(Self { program, folder: ground.folder().to_owned(), turns: 0, seed, taken: BTreeMap::new() })
    }

    /// One turn: so many clients for so long, each with prepared statements.
    pub async fn turn(
        &mut self,
        ground: &Ground,
        base: &Base,
        operation: Operation,
        clients: usize,
        seconds: u64,
    ) -> Result<Turn> {
        self.turns += 1;
        let script = self.folder.join(format!("{}.sql", operation.name()));
        fs::write(&script, operation.script())?;
        let log = self.folder.join(format!("pgbench-{}", self.turns));
        let first = self.taken.get(&operation).copied().unwrap_or_default();
        let variables = [
            ("n", "-1".to_owned()),
            // Room for 2^32 rows of each turn in ids of 48 bits.
            ("base", (self.turns << 32).to_string()),
            ("clients", clients.to_string()),
            ("first", first.to_string()),
            ("principal", ground.principal.clone()),
            ("leads", ground.stock.leads.to_string()),
            ("invoices", ground.stock.invoices.to_string()),
        ];
        let mut command = Command::new(&self.program);
        command.args(["-n", "-M", "prepared", "-c", &clients.to_string(), "-j", &clients.min(2).to_string()]);
        // A moment cannot be said in seconds.
        let length =
            if seconds == 0 { ["-t".to_owned(), "20".to_owned()] } else { ["-T".to_owned(), seconds.to_string()] };
        command.args(length).args(["-l", "--random-seed", &(self.seed + self.turns).to_string()]);
        command.arg("--log-prefix").arg(&log).arg("-f").arg(&script);
        for (name, value) in variables {
            command.arg("-D").arg(format!("{name}={value}"));
        }
        command.arg(&base.url).stdin(Stdio::null());
        let watched = Watched { services: Vec::new(), server: ground.server() };
        let before = watched.look()?;
        let output = command.output().await?;
        let cpu = watched.look()?.since(before);
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("pgbench failed at {}:\n{text}{}", operation.name(), String::from_utf8_lossy(&output.stderr));
        }
        let logged = read_log(&log)?;
        let taken = first + logged.most_of_a_client * clients as u64;
        self.taken.insert(operation, taken);
        turn(&text, logged, cpu)
    }

    /// How many rows of an operation's stock are used up.
    pub fn taken(&self, operation: Operation) -> u64 {
        self.taken.get(&operation).copied().unwrap_or_default()
    }
}

fn turn(text: &str, logged: Logged, cpu: Cpu) -> Result<Turn> {
    let said = |name: &str| {
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("pgbench says {name}"))?;
        let number = line.split(|c: char| !c.is_ascii_digit() && c != '.').find(|part| !part.is_empty());
        Ok::<f64, anyhow::Error>(number.context("a number")?.parse()?)
    };
    let (done, failed) = (said("number of transactions actually processed:")?, said("number of failed transactions:")?);
    let tps = said("tps =")?;
    if failed > 0.0 {
        bail!("{failed} transactions of pgbench failed");
    }
    let seconds = if tps > 0.0 { done / tps } else { 0.0 };
    Ok(Turn { done: logged.done, refused: 0, refusal: None, seconds, latency: logged.latency, cpu })
}

/// Reads pgbench's logs, one file a thread: `client transaction time script seconds microseconds`, the time in µs.
fn read_log(prefix: &Path) -> Result<Logged> {
    let (folder, name) = (prefix.parent().context("a folder")?, prefix.file_name().context("a name")?);
    let name = format!("{}.", name.to_string_lossy());
    let mut by_client = BTreeMap::<u64, u64>::new();
    let mut latency = latencies();
    for entry in fs::read_dir(folder)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(&name) {
            continue;
        }
        for line in fs::read_to_string(entry.path())?.lines() {
            let mut fields = line.split(' ');
            let client = fields.next().context("a client")?.parse()?;
            let micros: u64 = fields.nth(1).context("a time")?.parse()?;
            *by_client.entry(client).or_default() += 1;
            latency.saturating_record(micros.max(1));
        }
        fs::remove_file(entry.path())?;
    }
    let most_of_a_client = by_client.values().copied().max().unwrap_or_default();
    Ok(Logged { done: by_client.values().sum(), most_of_a_client, latency })
}
