//! Installing the server with the system's package manager.

use std::env;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A package manager that has the PostgreSQL server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
    Apk,
    Pacman,
    Brew,
}

/// The managers, their programs, and what a person would type. Brew is last: on Linux it is a guest beside the system's
/// own.
const MANAGERS: [(Manager, &str, &str); 5] = [
    (Manager::Apt, "apt-get", "apt-get install postgresql"),
    (Manager::Dnf, "dnf", "dnf install postgresql-server postgresql-contrib"),
    (Manager::Apk, "apk", "apk add postgresql postgresql-contrib"),
    (Manager::Pacman, "pacman", "pacman -S postgresql"),
    (Manager::Brew, "brew", "brew install postgresql@17"),
];

/// The file that the next command may write.
const CREATE_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";

/// Keeps Debian from making and starting a cluster of its own, which nobody here asked for. A file that is there is
/// the administrator's word and stays.
const NO_MAIN_CLUSTER: &str = "test -e /etc/postgresql-common/createcluster.conf || \
    { mkdir -p /etc/postgresql-common && \
    echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; }";

/// The one sentence that says how to get a server on this machine.
pub(super) fn advice() -> String {
    let way = match detect() {
        Some((_, by_hand)) => format!("install it with `{by_hand}` or let --install-postgres do that"),
        None => "install version 15 or newer".to_owned(),
    };
    format!(
        "the PostgreSQL server is not installed on this machine: {way}, or name the folder of its binaries with \
         --postgres-bin"
    )
}

/// Installs the server, and shows every command before it runs.
pub(super) fn install() -> Result<()> {
    let Some((manager, by_hand)) = detect() else { bail!(advice()) };
    let root = rustix::process::geteuid().is_root();
    if root && manager == Manager::Brew {
        bail!("brew does not run as root: run `{by_hand}` as the user that owns it");
    }
    if manager == Manager::Apt && !Path::new(CREATE_CLUSTER).exists() {
        tracing::info!(file = CREATE_CLUSTER, "telling the package to make no cluster of its own");
    }
    let silent = root || manager == Manager::Brew || sudo_is_silent()?;
    for command in commands(manager, root) {
        run(&command, silent)?;
    }
    Ok(())
}

/// The commands that install the server, in order.
fn commands(manager: Manager, root: bool) -> Vec<Vec<&'static str>> {
    let commands: &[&[&'static str]] = match manager {
        Manager::Apt => &[
            &["sh", "-c", NO_MAIN_CLUSTER],
            &["apt-get", "update"],
            &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                // The file above stays as it is, and no question about it waits for an answer.
                "UCF_FORCE_CONFFOLD=1",
                "apt-get",
                "install",
                "--yes",
                "--no-install-recommends",
                "postgresql",
            ],
        ],
        Manager::Dnf => &[&["dnf", "install", "--assumeyes", "postgresql-server", "postgresql-contrib"]],
        Manager::Apk => &[&["apk", "add", "postgresql", "postgresql-contrib"]],
        Manager::Pacman => &[&["pacman", "-Sy", "--needed", "--noconfirm", "postgresql"]],
        Manager::Brew => return vec![vec!["brew", "install", "postgresql@17"]],
    };
    let sudo: &[&str] = if root { &[] } else { &["sudo"] };
    commands.iter().map(|command| [sudo, command].concat()).collect()
}

/// The package manager of this machine, and what a person would type.
fn detect() -> Option<(Manager, &'static str)> {
    MANAGERS.iter().find(|(_, program, _)| on_path(program)).map(|(manager, _, by_hand)| (*manager, *by_hand))
}

/// Whether a program is on the path.
fn on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Whether sudo works without asking for a password.
fn sudo_is_silent() -> Result<bool> {
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "true"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = sudo.status().with_context(|| format!("there is no sudo to install it with, and {}", advice()))?;
    Ok(status.success())
}

/// Shows one command and runs it. What it says goes to the standard error: the standard output is ours.
fn run(command: &[&str], silent: bool) -> Result<()> {
    let mut words = command.to_vec();
    if silent && words.first() == Some(&"sudo") {
        words.insert(1, "-n");
    }
    let quoted = words.iter().map(|word| if word.contains(' ') { format!("\"{word}\"") } else { (*word).to_owned() });
    let shown = quoted.collect::<Vec<_>>().join(" ");
    writeln!(io::stderr(), "$ {shown}").context("cannot write to the standard error")?;
    let status = Command::new(words[0]).args(&words[1..]).stdout(io::stderr()).status();
    let status = status.with_context(|| format!("cannot run `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed with {status}: install the PostgreSQL server by hand");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(manager: Manager, root: bool) -> Vec<String> {
        commands(manager, root).iter().map(|command| command.join(" ")).collect()
    }

    #[test]
    fn debian_updates_first_and_gets_no_cluster_of_its_own() {
        let lines = lines(Manager::Apt, true);
        assert!(lines[0].contains("create_main_cluster = false") && lines[0].contains("test -e"), "{}", lines[0]);
        assert_eq!(lines[1], "apt-get update");
        assert!(lines[2].starts_with("env DEBIAN_FRONTEND=noninteractive "), "{}", lines[2]);
        assert!(lines[2].ends_with("apt-get install --yes --no-install-recommends postgresql"), "{}", lines[2]);
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn others_take_one_command() {
        assert_eq!(lines(Manager::Dnf, true), ["dnf install --assumeyes postgresql-server postgresql-contrib"]);
        assert_eq!(lines(Manager::Apk, true), ["apk add postgresql postgresql-contrib"]);
        assert_eq!(lines(Manager::Pacman, true), ["pacman -Sy --needed --noconfirm postgresql"]);
    }

    #[test]
    fn sudo_comes_before_every_command_that_is_not_root_s_except_brew_s() {
        for manager in [Manager::Apt, Manager::Dnf, Manager::Apk, Manager::Pacman] {
            assert!(lines(manager, false).iter().all(|line| line.starts_with("sudo ")), "{manager:?}");
            assert!(!lines(manager, true).iter().any(|line| line.starts_with("sudo ")), "{manager:?}");
        }
        assert_eq!(lines(Manager::Brew, false), ["brew install postgresql@17"]);
    }

    #[test]
    fn no_command_can_wait_for_an_answer() {
        let yes = ["--yes", "--assumeyes", "--noconfirm"];
        for (manager, line) in [Manager::Apt, Manager::Dnf, Manager::Pacman].map(|one| (one, lines(one, true))) {
            assert!(yes.iter().any(|yes| line.last().unwrap().contains(yes)), "{manager:?}");
        }
    }
}
