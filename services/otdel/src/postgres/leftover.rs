//! Servers that outlived the process that started them.
//!
//! The caller holds the lock on the data folder, so whatever still runs on its cluster belongs to nobody.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tokio::time::{Instant, interval};

use super::settings;

/// How long a process may take to end after a signal that it does not argue with.
const SHORT: Duration = Duration::from_secs(10);

/// Ends every process that still runs on the cluster, politely at first.
///
/// A server is ended and not adopted: the new one shall be our child, so that we learn of its end and it of ours. The
/// processes of a server that was killed are cancelled, see that it is gone and follow it; a busy one takes its time.
pub(super) async fn end(cluster: &Path, patience: Duration) -> Result<()> {
    let found = processes(cluster);
    if found.is_empty() {
        forget_stranger(cluster);
        return Ok(());
    }
    tracing::info!(postgres.processes = found.len(), "ending a postgresql that an earlier run left behind");
    let steps = [(Signal::INT, patience), (Signal::QUIT, SHORT), (Signal::KILL, SHORT), (Signal::KILL, SHORT)];
    for (signal, patience) in steps {
        for pid in targets(cluster) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(pid, signal);
        }
        if gone_within(cluster, patience).await {
            return Ok(());
        }
    }
    bail!("a PostgreSQL server of an earlier run still holds {} and does not end: end it by hand", cluster.display())
}

/// The server if it lives, since it ends its processes in order; else those that lost it.
fn targets(cluster: &Path) -> Vec<Pid> {
    postmaster(cluster).map_or_else(|| processes(cluster), |pid| vec![pid])
}

/// Waits until no process runs on the cluster.
async fn gone_within(cluster: &Path, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    let mut tick = interval(Duration::from_millis(20));
    while Instant::now() < until {
        tick.tick().await;
        if processes(cluster).is_empty() {
            return true;
        }
    }
    false
}

/// Removes a `postmaster.pid` whose number now belongs to another program. The server would take that program for a
/// server of the same account and refuse to start.
fn forget_stranger(cluster: &Path) {
    if noted(cluster).is_some_and(|pid| test_kill_process(pid).is_ok()) {
        let _ = fs::remove_file(cluster.join("postmaster.pid"));
    }
}

/// The process number in `postmaster.pid`.
fn noted(cluster: &Path) -> Option<Pid> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let pid = text.lines().next()?.trim().parse::<i32>().ok()?;
    Pid::from_raw(pid.max(0))
}

/// The running server of the cluster.
fn postmaster(cluster: &Path) -> Option<Pid> {
    noted(cluster).filter(|pid| processes(cluster).contains(pid))
}

/// Every process that runs on the cluster, the server's own and those of its connections.
#[cfg(target_os = "linux")]
pub(super) fn processes(cluster: &Path) -> Vec<Pid> {
    let names = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = names.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(Pid::from_raw).filter(|pid| serves(*pid, cluster)).collect()
}

/// Whether a process runs on the cluster. All of the server's processes have its folder as working directory, but a
/// container may forbid even root to see that of another account; their command line is everybody's to see.
#[cfg(target_os = "linux")]
fn serves(pid: Pid, cluster: &Path) -> bool {
    let of = |name: &str| format!("/proc/{}/{name}", pid.as_raw_pid());
    // A shell in the folder is none of ours.
    if fs::read_to_string(of("comm")).is_ok_and(|name| name.trim() != "postgres") {
        return false;
    }
    match fs::read_link(of("cwd")) {
        Ok(folder) => folder == cluster,
        Err(_) => fs::read(of("cmdline")).is_ok_and(|line| {
            let line: Vec<u8> = line.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
            runs_on(&String::from_utf8_lossy(&line), cluster)
        }),
    }
}

/// Every process that runs on the cluster, the server's own and those of its connections.
#[cfg(not(target_os = "linux"))]
pub(super) fn processes(cluster: &Path) -> Vec<Pid> {
    let output = std::process::Command::new("ps").args(["-axww", "-o", "pid=,command="]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.trim().split_once(' '));
    let ours = lines.filter(|(_, line)| runs_on(line.trim(), cluster));
    ours.filter_map(|(pid, _)| Pid::from_raw(pid.parse::<i32>().ok()?)).collect()
}

/// Whether a command line is that of a process of the cluster's server. A shield in front of the server, before it has
/// become the server, is not one yet.
fn runs_on(line: &str, cluster: &Path) -> bool {
    let title = settings::title(cluster);
    let server =
        line.split_once(" -D ").filter(|(program, _)| program.ends_with("/postgres") && !program.contains(' '));
    line.starts_with(&format!("postgres: {title}: "))
        || server.is_some_and(|(_, rest)| rest.contains(&format!(" cluster_name={title} ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_name_their_cluster() {
        let cluster = Path::new("/data/postgres");
        let arguments = settings::arguments(cluster, "/data/run", &[]).unwrap();
        let arguments: Vec<_> = arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
        let server = format!("/usr/bin/postgres {} ", arguments.join(" "));
        let backend = format!("postgres: {}: otdel_root sales [local] idle", settings::title(cluster));
        assert!(runs_on(&server, cluster) && runs_on(&backend, cluster));
        for stranger in [server.as_str(), &backend, &format!("vi {server}"), "postgres: otdel_root sales [local]", ""] {
            assert!(!runs_on(stranger, Path::new("/data/postgres2")), "{stranger}");
        }
        assert!(!runs_on(&format!("grep {server}"), cluster));
    }

    #[tokio::test]
    async fn a_number_that_passed_to_another_program_is_forgotten_and_its_program_left_alone() {
        let cluster = std::env::temp_dir().join(format!("otdel-leftover-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&cluster).unwrap();
        let note = cluster.join("postmaster.pid");
        fs::write(&note, format!("{}\n{}\n", std::process::id(), cluster.display())).unwrap();
        end(&cluster, SHORT).await.unwrap();
        let forgotten = !note.exists();
        fs::remove_dir_all(&cluster).unwrap();
        assert!(forgotten);
    }
}
