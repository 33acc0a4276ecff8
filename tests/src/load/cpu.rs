//! Who used the processor, and how much memory.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};

/// Linux counts in hundredths of a second wherever it tells user space.
const TICK_MS: f64 = 10.0;

/// Milliseconds of processor time since the machine or the process began, or between two looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// The suite's roles.
    pub service: f64,
    /// PostgreSQL with all its processes.
    pub postgres: f64,
    /// Who asks: this process, or pgbench.
    pub client: f64,
    /// Everything else on the machine.
    pub other: f64,
}

/// Whose time is looked at.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The roles.
    pub services: Vec<i32>,
    /// The PostgreSQL server.
    pub server: i32,
}

impl Watched {
    /// What was used so far.
    pub fn look(&self) -> Result<Cpu> {
        let processes = processes()?;
        let own = |pid: i32| processes.get(&pid).map_or(0.0, |one| one.own);
        let service = self.services.iter().map(|pid| own(*pid)).sum();
        // Backends that have ended are in their parent's account; guards stand between a server and whoever started it.
        let ended = processes.get(&self.server).map_or(0.0, |one| one.ended);
        let backends: f64 = processes.values().filter(|one| one.parent == self.server).map(|one| one.own).sum();
        let postgres = own(self.server) + ended + backends;
        // pgbench has ended when it is looked at; nothing else that we start ends meanwhile.
        let us = i32::try_from(std::process::id()).ok().and_then(|pid| processes.get(&pid));
        let client = us.map_or(0.0, |us| us.own + us.ended);
        Ok(Cpu { service, postgres, client, other: busy()? - service - postgres - client })
    }
}

impl Cpu {
    /// What was used between two looks.
    pub fn since(self, before: Self) -> Self {
        Self {
            service: self.service - before.service,
            postgres: self.postgres - before.postgres,
            client: self.client - before.client,
            other: self.other - before.other,
        }
    }

    /// Two spans together.
    pub fn and(self, more: Self) -> Self {
        Self {
            service: self.service + more.service,
            postgres: self.postgres + more.postgres,
            client: self.client + more.client,
            other: self.other + more.other,
        }
    }
}

struct Process {
    parent: i32,
    own: f64,
    ended: f64,
}

fn processes() -> Result<BTreeMap<i32, Process>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended since.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        found.extend(parse(&stat).map(|process| (pid, process)));
    }
    Ok(found)
}

/// `pid (name) state parent …`: the name may have blanks and brackets in it.
fn parse(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok().map(|ticks| ticks * TICK_MS);
    Some(Process { parent: fields.get(1)?.parse().ok()?, own: ticks(11)? + ticks(12)?, ended: ticks(13)? + ticks(14)? })
}

/// What all processes together have used.
fn busy() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|text| text.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal: what others on the same hardware took is what else used it.
    Ok([0, 1, 2, 5, 6, 7].iter().filter_map(|at| ticks.get(*at)).sum::<f64>() * TICK_MS)
}

/// The memory of a process that is in use, and the most that ever was, in MiB.
pub fn memory_mib(pid: i32) -> Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("the kernel tells it")?;
        Ok::<f64, anyhow::Error>(line.trim().trim_end_matches(" kB").trim().parse()?)
    };
    Ok((kib("VmRSS:")? / 1024.0, kib("VmHWM:")? / 1024.0))
}

/// The processor's name, how many there are, and the memory.
pub fn machine() -> serde_json::Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        line.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    serde_json::json!({
        "processor": field(&read("/proc/cpuinfo"), "model name"),
        "processors": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "load before": read("/proc/loadavg").trim(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 20 5 20 0 1 0 100 1 1";
        let process = parse(stat).unwrap();
        assert_eq!((process.parent, process.own, process.ended), (7, 2_000.0, 250.0));
    }
}
