//! How a program of PostgreSQL is started: as which account, and so that it does not outlive us.
//!
//! Linux sends a process a signal when its parent dies, if the process asked for it (`PR_SET_PDEATHSIG`). The asking
//! must happen after the change of account, which forgets it, and before the server is executed, which does not. That
//! is between fork and exec, where safe Rust has no foothold; so our own executable is started as `postgres-guard`,
//! asks, and becomes the server.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow};

use super::account::{self, Account};
use super::binaries::Binaries;
use super::settings::Guard;

/// The name of the hidden command that `otdel` hands to [`run`].
pub const COMMAND: &str = "postgres-guard";

/// The arguments of the hidden command.
#[derive(Clone, Debug, clap::Args)]
pub struct GuardArgs {
    /// The process that the server must not outlive.
    parent: u32,
    /// The program to become.
    program: PathBuf,
    /// The program's arguments.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

impl GuardArgs {
    /// The arguments of a guard for `program` under the process `parent`.
    pub fn new(parent: u32, program: PathBuf, args: Vec<OsString>) -> Self {
        Self { parent, program, args }
    }
}

/// Asks for the signal and becomes the program. Returns only with an error.
///
/// The signal is SIGINT, a fast shutdown: clients are cut off, open transactions are rolled back and the data is left
/// clean, so the next start serves at once. SIGQUIT would end sooner and leave a recovery to the next start; nothing is
/// won by it, as the next start waits for the end either way.
pub fn run(guard: GuardArgs) -> Result<Infallible> {
    end_with_parent(guard.parent)?;
    let error = Command::new(&guard.program).args(&guard.args).exec();
    Err(error).with_context(|| format!("cannot execute {}", guard.program.display()))
}

#[cfg(target_os = "linux")]
fn end_with_parent(parent: u32) -> Result<()> {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

    set_parent_process_death_signal(Some(Signal::INT)).context("cannot bind the server's life to ours")?;
    // It may have died before we asked, and then no signal comes.
    if getppid().map(Pid::as_raw_pid).map(i32::cast_unsigned) != Some(parent) {
        anyhow::bail!("process {parent} died before its PostgreSQL started");
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_parent: u32) -> Result<()> {
    Ok(())
}

/// What stands between us and the program.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shield {
    /// An executable with our hidden command.
    Ours(PathBuf),
    /// `setpriv` of util-linux.
    Setpriv,
    /// Nothing.
    None,
}

/// A way to start programs of PostgreSQL that is known to work on this machine.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    shield: Shield,
    /// The account of the programs, or `None` for our own.
    pub(super) account: Option<Account>,
}

impl Launch {
    /// Tries the shields, best first, by letting each start `postgres --version` in the data folder: that needs all
    /// that the server will need, namely that its account may execute the shield and the server and enter the folder.
    pub(super) fn choose(guard: &Guard, account: Option<Account>, data: &Path, binaries: &Binaries) -> Result<Self> {
        let postgres = binaries.program("postgres");
        let mut launch = Self { shield: Shield::None, account };
        for shield in shields(guard) {
            launch.shield = shield;
            let mut probe = launch.command(&postgres, &["--version".into()]);
            let output = probe.current_dir(data).stdin(Stdio::null()).output();
            if output.is_ok_and(|output| output.status.success() && says_version(&output.stdout)) {
                return Ok(launch);
            }
            tracing::debug!(postgres.shield = ?launch.shield, "this guard does not work here");
        }
        Err(launch.obstacle(data, &postgres))
    }

    /// Whether programs start under an executable with our hidden command.
    #[cfg(test)]
    pub(super) fn is_under_guard(&self) -> bool {
        matches!(self.shield, Shield::Ours(_))
    }

    /// Says why not even the bare server starts.
    fn obstacle(&self, data: &Path, postgres: &Path) -> anyhow::Error {
        let Some(account) = &self.account else {
            return anyhow!("cannot run {} in {}", postgres.display(), data.display());
        };
        let name = &account.name;
        let blocked = account::blocked_at(data, account);
        if blocked.as_deref() == Some(data) {
            return anyhow!(
                "started as root, PostgreSQL runs as the user {name}, who may not enter the data folder: let it pass \
                 with `chmod go+x {}`",
                data.display()
            );
        }
        if let Some(folder) = blocked {
            return anyhow!(
                "started as root, PostgreSQL runs as the user {name}, who may not enter {}: choose a data folder \
                 outside it, such as /var/lib/otdel",
                folder.display()
            );
        }
        match account::blocked_at(postgres, account) {
            Some(folder) => anyhow!(
                "started as root, PostgreSQL runs as the user {name}, who may not enter {}: install the server's \
                 binaries outside it",
                folder.display()
            ),
            None => anyhow!("the user {name} cannot run {} in {}", postgres.display(), data.display()),
        }
    }

    /// A command that runs `program` as the account and under the shield.
    ///
    /// The environment is ours to choose: the variables `PG...` would change what the programs do, and the secrets in
    /// our own must not show up in the environment of another account's process. A process group of its own keeps a
    /// Ctrl-C in the terminal from reaching the server before those who still use it.
    pub(super) fn command(&self, program: &Path, args: &[OsString]) -> Command {
        let mut command = match &self.shield {
            Shield::Ours(guard) => {
                let mut command = Command::new(guard);
                command.arg(COMMAND).arg(std::process::id().to_string()).arg(program);
                command
            }
            Shield::Setpriv => {
                let mut command = Command::new("setpriv");
                command.args(["--pdeathsig", "INT", "--"]).arg(program);
                command
            }
            Shield::None => Command::new(program),
        };
        command.args(args).current_dir("/").process_group(0).env_clear().env("LC_ALL", "C").env("TZ", "UTC");
        for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            command.envs(env::var_os(name).map(|value| (name, value)));
        }
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        command
    }
}

/// Whether a program said which version of the server it is.
fn says_version(output: &[u8]) -> bool {
    String::from_utf8_lossy(output).contains("postgres (PostgreSQL) ")
}

/// The shields that a choice of guard allows, best first. The bare server is always the last.
fn shields(guard: &Guard) -> Vec<Shield> {
    match guard {
        Guard::CurrentExe => vec![Shield::Ours(current_exe()), Shield::Setpriv, Shield::None],
        Guard::Path(path) => vec![Shield::Ours(path.clone()), Shield::Setpriv, Shield::None],
        Guard::Setpriv => vec![Shield::Setpriv, Shield::None],
        Guard::Off => vec![Shield::None],
    }
}

/// Our own executable. On Linux by the kernel's link, which leads to the file itself: the server's account can take it
/// although the file lies in a folder closed to it, and it still works after an upgrade has replaced the file.
fn current_exe() -> PathBuf {
    if cfg!(target_os = "linux") {
        return "/proc/self/exe".into();
    }
    env::current_exe().unwrap_or_else(|_| "otdel".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        guard: GuardArgs,
    }

    #[test]
    fn the_server_s_arguments_pass_through_untouched() {
        use clap::Parser;

        let cli = Cli::parse_from(["guard", "12", "/bin/postgres", "-D", "/data", "-c", "a=b", "--version"]);
        let want: Vec<OsString> = ["-D", "/data", "-c", "a=b", "--version"].map(OsString::from).to_vec();
        assert_eq!((cli.guard.parent, cli.guard.args), (12, want));
    }

    #[test]
    fn every_guard_falls_back_to_the_bare_server() {
        for guard in [Guard::CurrentExe, Guard::Path("/guard".into()), Guard::Setpriv, Guard::Off] {
            assert_eq!(shields(&guard).last(), Some(&Shield::None), "{guard:?}");
        }
    }

    #[test]
    fn no_secret_and_no_setting_of_ours_reaches_the_server() {
        let launch = Launch { shield: Shield::None, account: None };
        let command = launch.command(Path::new("/bin/postgres"), &[]);
        let allowed = ["LC_ALL", "TZ", "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];
        assert!(command.get_envs().all(|(name, _)| allowed.iter().any(|allowed| name == *allowed)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_guard_whose_parent_is_gone_starts_nothing() {
        let gone = run(GuardArgs::new(u32::MAX, "/bin/true".into(), Vec::new())).unwrap_err().to_string();
        rustix::process::set_parent_process_death_signal(None).unwrap();
        assert!(gone.contains("died before"), "{gone}");
    }
}
