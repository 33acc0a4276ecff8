//! pgbench's side.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
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

/// How long pgbench works before its clock starts, in seconds. Each of its turns is a new process, with connections that have
/// prepared and cached nothing; the suite keeps its own.
pub const WARM_UP: u64 = 2;

/// What was done in a turn, as the log says.
struct Logged {
    warm: u64,
    done: u64,
    /// From the end of the warming up to the last commit.
    seconds: f64,
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
        let (length, warm_up) = if seconds == 0 {
            (["-t".to_owned(), "20".to_owned()], 0)
        } else {
            (["-T".to_owned(), (seconds + WARM_UP).to_string()], WARM_UP)
        };
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
        let logged = read_log(&log, warm_up)?;
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
    let failed = said("number of failed transactions:")?;
    if failed > 0.0 {
        bail!("{failed} transactions of pgbench failed");
    }
    let Logged { warm, done, seconds, latency, .. } = logged;
    Ok(Turn { warm, latency, cpu, ..Turn::of(done, seconds) })
}

/// A transaction, as a line of the log has it.
struct Transaction {
    client: u64,
    /// When it was committed, in microseconds since 1970.
    end: u64,
    /// How long it took, in microseconds.
    took: u64,
}

/// Reads pgbench's logs, one file a thread, and takes them away.
fn read_log(prefix: &Path, warm_up: u64) -> Result<Logged> {
    let (folder, name) = (prefix.parent().context("a folder")?, prefix.file_name().context("a name")?);
    let name = format!("{}.", name.to_string_lossy());
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(&name) {
            continue;
        }
        for line in fs::read_to_string(entry.path())?.lines() {
            all.push(transaction(line).with_context(|| format!("pgbench logs {line}"))?);
        }
        fs::remove_file(entry.path())?;
    }
    Ok(logged(&all, warm_up))
}

/// `client transaction took script seconds microseconds`, the time that it took in µs.
fn transaction(line: &str) -> Option<Transaction> {
    let numbers = line.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    let [client, _, took, _, seconds, micros] = numbers[..] else { return None };
    Some(Transaction { client, end: seconds * 1_000_000 + micros, took })
}

/// What was done after so many seconds of warming up.
fn logged(all: &[Transaction], warm_up: u64) -> Logged {
    let mut by_client = BTreeMap::<u64, u64>::new();
    let mut latency = latencies();
    let began = all.iter().map(|one| one.end.saturating_sub(one.took)).min().unwrap_or_default();
    let clock = began + warm_up * 1_000_000;
    for one in all {
        *by_client.entry(one.client).or_default() += 1;
        if one.end > clock {
            latency.saturating_record(one.took.max(1));
        }
    }
    let end = all.iter().map(|one| one.end).max().unwrap_or_default();
    let done = latency.len();
    Logged {
        warm: all.len() as u64 - done,
        done,
        seconds: Duration::from_micros(end.saturating_sub(clock)).as_secs_f64(),
        most_of_a_client: by_client.values().copied().max().unwrap_or_default(),
        latency,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_while_it_warmed_up_is_in_neither_rate_nor_latency() {
        // Two clients that begin at second 100: one needs 1.5 s for its first transaction.
        let lines =
            ["0 1 1500000 0 101 500000", "1 1 900000 0 100 900000", "1 2 1400000 0 102 300000", "0 2 2500000 0 104 0"];
        let all: Vec<_> = lines.iter().map(|line| transaction(line).unwrap()).collect();
        let logged = logged(&all, 2);
        assert_eq!((logged.warm, logged.done, logged.most_of_a_client), (2, 2, 2));
        assert!((logged.seconds - 2.0).abs() < 1e-9, "{}", logged.seconds);
        assert!((1_399_000..1_402_000).contains(&logged.latency.min()), "{}", logged.latency.min());
        assert!(transaction("0 1 failed 0 101 5").is_none());
    }
}
