//! The server as a child process.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::sync::{oneshot, watch};

use super::account::{self, Account};

/// How long an immediate shutdown may take: the server kills what has not ended after 5 s.
const IMMEDIATE: Duration = Duration::from_secs(10);

/// A running server.
///
/// It has a thread of its own that starts it and stays until it has ended. The kernel's signal on a parent's death is
/// sent when the *thread* that started the child ends, and the threads of a runtime come and go.
#[derive(Debug)]
pub(super) struct Server {
    pid: Pid,
    /// Whether the process number is still the server's. Held while signalling, so that no other process is hit.
    ours: Arc<Mutex<bool>>,
    exit: watch::Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts the server.
    pub(super) async fn start(command: Command) -> Result<Self> {
        let (started, start) = oneshot::channel();
        let (exited, exit) = watch::channel(None);
        let ours = Arc::new(Mutex::new(true));
        let shared = Arc::clone(&ours);
        let body = move || keep(command, started, &shared, &exited);
        let thread = thread::Builder::new().name("postgres".into()).spawn(body).context("cannot start a thread")?;
        let pid = start.await.context("the thread of PostgreSQL ended")?.context("cannot start PostgreSQL")?;
        Ok(Self { pid, ours, exit, thread: Some(thread) })
    }

    /// Its process number.
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends a signal, unless it has ended.
    pub(super) fn signal(&self, signal: Signal) {
        let ours = self.ours.lock().unwrap_or_else(PoisonError::into_inner);
        if *ours {
            let _ = kill_process(self.pid, signal);
        }
    }

    /// Waits until it has ended, and says how.
    pub(super) async fn exited(&self) -> String {
        let mut exit = self.exit.clone();
        let status = exit.wait_for(Option::is_some).await.ok().and_then(|status| status.clone());
        status.unwrap_or_else(|| "an unknown status".to_owned())
    }

    /// Ends it: fast, which leaves the data clean, and if that takes longer than `patience`, at once.
    pub(super) async fn stop(self, patience: Duration) -> Result<()> {
        for (signal, patience) in [(Signal::INT, patience), (Signal::QUIT, IMMEDIATE)] {
            self.signal(signal);
            if tokio::time::timeout(patience, self.exited()).await.is_ok() {
                return Ok(());
            }
            tracing::warn!(postgres.pid = self.pid.as_raw_pid(), "postgresql does not stop, trying harder");
        }
        bail!("the PostgreSQL server, process {}, does not stop: end it by hand", self.pid.as_raw_pid())
    }

    /// Ends it at once and blocks until it has ended, for places that cannot await.
    pub(super) fn quit(mut self) {
        self.signal(Signal::QUIT);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    /// Asks for a fast shutdown without waiting: a start or a cluster that is given up leaves no server behind.
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

/// The life of the thread: starts the server, waits for its end and tells both.
fn keep(
    mut command: Command,
    started: oneshot::Sender<std::io::Result<Pid>>,
    ours: &Mutex<bool>,
    exited: &watch::Sender<Option<String>>,
) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    if started.send(Ok(Pid::from_child(&child))).is_err() {
        // Whoever wanted it has given up, and nobody is left to stop it.
        let _ = kill_process(Pid::from_child(&child), Signal::INT);
    }
    exited.send_replace(Some(wait(&mut child, ours)));
}

/// Waits for the end without collecting it, so that the number stays the server's until nobody signals it any more.
fn wait(child: &mut Child, ours: &Mutex<bool>) -> String {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while matches!(waitid(WaitId::Pid(Pid::from_child(child)), options), Err(Errno::INTR)) {}
    let mut ours = ours.lock().unwrap_or_else(PoisonError::into_inner);
    *ours = false;
    child.wait().map_or_else(|error| error.to_string(), |status| status.to_string())
}

/// Opens the server's log to write on, starting a new one when the old has grown large.
pub(super) fn open_log(path: &Path, account: Option<&Account>) -> Result<File> {
    const LARGE: u64 = 16 << 20;
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LARGE) {
        let _ = fs::rename(path, path.with_added_extension("old"));
    }
    let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    // A user whose cluster root started once must still be able to write on.
    let opened = opened.and_then(|file| account::own(path, account).map(|()| file));
    opened.with_context(|| format!("cannot open {}", path.display()))
}

/// The last lines of the log from `offset` on.
pub(super) fn tail(path: &Path, offset: u64) -> String {
    const LINES: usize = 20;
    const BYTES: u64 = 8 << 10;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(offset.max(end.saturating_sub(BYTES))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Whether `postmaster.pid` says that the server `pid` takes connections. `before` is what the file said before the
/// server was started: in a container a restarted server often gets the number of the one before it.
pub(super) fn is_ready(cluster: &Path, pid: Pid, before: &str) -> bool {
    let Ok(text) = fs::read_to_string(cluster.join("postmaster.pid")) else { return false };
    let mut lines = text.lines().map(str::trim);
    let its_own = lines.next() == Some(pid.as_raw_pid().to_string().as_str());
    // The eighth line of the file.
    its_own && lines.nth(6) == Some("ready") && text != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("otdel-server-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn ready_is_the_eighth_line_of_this_server_s_file() {
        let folder = scratch();
        let says = |text: &str, before: &str| {
            fs::write(folder.join("postmaster.pid"), text).unwrap();
            is_ready(&folder, Pid::from_raw(41).unwrap(), before)
        };
        let ready = "41\n/d\n1700000000\n5432\n/s\n\n123 4\nready   \n";
        assert!(says(ready, ""));
        assert!(!says(ready, ready));
        assert!(!says("41\n/d\n1700000000\n5432\n/s\n\n123 4\nstarting\n", ""));
        assert!(!says("40\n/d\n1700000000\n5432\n/s\n\n123 4\nready   \n", ""));
        assert!(!says("41\n", ""));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_tail_starts_where_this_run_started() {
        let folder = scratch();
        let path = folder.join("log");
        fs::write(&path, "old\nnew\n").unwrap();
        assert_eq!(tail(&path, 4), "new");
        assert_eq!(tail(&folder.join("absent"), 0), "");
        let long: Vec<String> = (0..100).map(|line| line.to_string()).collect();
        fs::write(&path, long.join("\n")).unwrap();
        assert_eq!(tail(&path, 0), long[80..].join("\n"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn a_child_s_end_is_told_and_later_signals_are_kept_back() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        let server = Server::start(command).await.unwrap();
        assert_eq!(server.exited().await, "exit status: 7");
        server.signal(Signal::KILL);
        server.quit();
        let absent = Server::start(Command::new("/absent/postgres")).await.unwrap_err().to_string();
        assert_eq!(absent, "cannot start PostgreSQL");
    }
}
