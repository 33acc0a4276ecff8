//! What a caller may choose about the private cluster, and the server's command line that follows from it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};

use super::socket;

/// How the server is made to end when the process that started it dies without a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The running executable, called again as `postgres-guard`: for programs that have this command.
    CurrentExe,
    /// Another executable that has the command `postgres-guard`: for test binaries, which have not.
    Path(PathBuf),
    /// The system's `setpriv --pdeathsig`, where there is one that can do it.
    Setpriv,
    /// Nothing: a server whose parent was killed runs on until the next start on the same data ends it.
    Off,
}

/// What a private cluster is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that holds the cluster and what belongs to it. Made when absent.
    pub data_dir: PathBuf,
    /// The folder of `postgres` and `initdb`. `None` looks in `OTDEL_POSTGRES_BIN` and then in the usual places.
    pub binaries: Option<PathBuf>,
    /// Whether to install the server with the system's package manager when no binaries are found.
    pub install: bool,
    /// How the server ends when this process is killed.
    pub guard: Guard,
    /// Server settings beside ours, name and value; they win over ours, durability excepted.
    pub extra: Vec<(String, String)>,
    /// How long a start may take, recovery after a crash included.
    pub start_limit: Duration,
    /// How long a fast shutdown may take before it becomes an immediate one.
    pub stop_limit: Duration,
}

impl Settings {
    /// The settings of a production start on `data_dir`.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            binaries: None,
            install: false,
            guard: Guard::CurrentExe,
            extra: Vec::new(),
            start_limit: Duration::from_mins(2),
            stop_limit: Duration::from_secs(30),
        }
    }
}

/// Modest on purpose: the cluster shares its machine with everything else that `up` runs there.
///
/// Logging is quiet because the values in a statement, in its parameters and in an error's detail are personal data,
/// and passwords of roles are literals in their statements.
const OURS: [(&str, &str); 14] = [
    ("listen_addresses", ""),
    ("port", socket::PORT),
    ("max_connections", "200"),
    ("shared_buffers", "128MB"),
    // Plans of short statements cost less than compiling them.
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_checkpoints", "off"),
    ("log_autovacuum_min_duration", "-1"),
    ("log_error_verbosity", "terse"),
    ("log_min_error_statement", "panic"),
    ("log_parameter_max_length_on_error", "0"),
];

/// Said on the command line although they are the defaults, since it wins over `postgresql.conf` and `alter system`.
const DURABLE: [&str; 3] = ["fsync", "full_page_writes", "synchronous_commit"];

/// The arguments of `postgres` for a cluster in `cluster` whose socket lies in `socket`.
pub(super) fn arguments(cluster: &Path, socket: &str, extra: &[(String, String)]) -> Result<Vec<OsString>> {
    if let Some((name, _)) = extra.iter().find(|(name, _)| fixed(name)) {
        bail!("the setting {name} of the private PostgreSQL cannot be changed: take it out of the extra settings");
    }
    // The setting is a list, and quotes keep a comma in the path from dividing it.
    let folder = format!("\"{}\"", socket.replace('"', "\"\""));
    let ours = OURS.iter().map(|(name, value)| format!("{name}={value}"));
    let theirs = extra.iter().map(|(name, value)| format!("{name}={value}"));
    let durable = DURABLE.iter().map(|name| format!("{name}=on"));
    let own = [format!("cluster_name={}", title(cluster)), format!("unix_socket_directories={folder}")];
    let mut arguments = vec![OsString::from("-D"), cluster.into()];
    for setting in ours.chain(theirs).chain(durable).chain(own) {
        arguments.push("-c".into());
        arguments.push(setting.into());
    }
    Ok(arguments)
}

/// Whether a setting is no matter of taste: durability, and what our own way to the server depends on.
fn fixed(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    DURABLE.contains(&name.as_str())
        || matches!(name.as_str(), "port" | "unix_socket_directories" | "data_directory" | "cluster_name")
}

/// The name that every process of the server carries in its title, by which a later run knows it.
pub(super) fn title(cluster: &Path) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, cluster.as_os_str().as_encoded_bytes());
    digest.as_ref()[..8].iter().fold("otdel-".to_owned(), |title, byte| format!("{title}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.into(), value.into())]
    }

    #[test]
    fn durability_is_always_on_and_never_a_setting() {
        let arguments = arguments(Path::new("/d/postgres"), "/d/run", &[]).unwrap();
        for name in DURABLE {
            assert!(arguments.contains(&format!("{name}=on").into()), "{name}");
        }
        for name in ["fsync", "FSYNC", "full-page-writes", "synchronous_commit"] {
            let refused = super::arguments(Path::new("/d"), "/d", &pair(name, "off")).unwrap_err().to_string();
            assert!(refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn extra_settings_come_after_ours_so_that_they_win() {
        let arguments = arguments(Path::new("/d"), "/d", &pair("max_connections", "500")).unwrap();
        let place = |text: &str| arguments.iter().position(|argument| argument == text);
        assert!(place("max_connections=200") < place("max_connections=500"));
    }

    #[test]
    fn a_comma_or_a_quote_in_the_socket_path_does_not_divide_it() {
        let arguments = arguments(Path::new("/d"), "/a,b\"c", &[]).unwrap();
        assert_eq!(arguments.last().unwrap(), "unix_socket_directories=\"/a,b\"\"c\"");
    }
}
