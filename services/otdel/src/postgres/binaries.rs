//! Where the PostgreSQL server's binaries are on this machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// The oldest major version that Otdel runs on.
pub const OLDEST_MAJOR: u32 = 15;

/// The environment variable that names the folder of the server's binaries.
const FOLDER_VARIABLE: &str = "OTDEL_POSTGRES_BIN";

/// What a folder must hold; `pg_config` and the client's programs also exist where no server is installed.
const NEEDED: [&str; 3] = ["postgres", "initdb", "pg_ctl"];

/// Folders of packaged servers. A `*` stands for the rest of that one name.
const USUAL: [&str; 10] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/lib64/postgresql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
];

/// A PostgreSQL server that is installed on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    /// The folder of the binaries.
    pub folder: PathBuf,
    /// The major version: 15, 16, ...
    pub major: u32,
    /// The version as the server says it: `15.4`.
    pub version: String,
}

impl Binaries {
    /// The path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Finds the server to use, or `None` when this machine has none at all.
///
/// `explicit` and then the environment variable decide alone when they are given. `wanted` is the major version of an
/// existing cluster, which no other server can open; without it the first server that is new enough is taken.
pub(super) fn find(explicit: Option<&Path>, wanted: Option<u32>) -> Result<Option<Binaries>> {
    let named = explicit.map(Path::to_owned).or_else(|| env::var_os(FOLDER_VARIABLE).map(PathBuf::from));
    if let Some(folder) = named {
        let Some(found) = inspect(&folder) else {
            bail!("{} holds no PostgreSQL server: name a folder with {}", folder.display(), NEEDED.join(", "));
        };
        return choose(vec![found], wanted);
    }
    choose(candidates().iter().filter_map(|folder| inspect(folder)).collect(), wanted)
}

/// Picks the first fitting server in the order of preference, and says why none fits.
fn choose(found: Vec<Binaries>, wanted: Option<u32>) -> Result<Option<Binaries>> {
    let fits = |one: &&Binaries| one.major >= OLDEST_MAJOR && wanted.is_none_or(|major| one.major == major);
    if let Some(fitting) = found.iter().find(fits) {
        return Ok(Some(fitting.clone()));
    }
    if found.is_empty() {
        return Ok(None);
    }
    let there = found.iter().map(|one| format!("{} in {}", one.version, one.folder.display()));
    let there = there.collect::<Vec<_>>().join(", ");
    match wanted {
        Some(major) => bail!(
            "the data folder was made by PostgreSQL {major} and this machine has only {there}: install the server of \
             PostgreSQL {major}, or dump the data there and restore it here"
        ),
        None => bail!(
            "PostgreSQL {OLDEST_MAJOR} or newer is needed and this machine has only {there}: install a newer server, \
             or name its folder with --postgres-bin"
        ),
    }
}

/// Every folder that may hold the server, best first.
fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = pg_config().into_iter().collect();
    folders.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    folders.extend(USUAL.iter().flat_map(|pattern| expand(pattern)));
    folders
}

/// What `pg_config` says, if it is there: the packager's own word on the matter.
fn pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !folder.trim().is_empty()).then(|| folder.trim().into())
}

/// The existing folders that a pattern with at most one `*` means, newest version first.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let names = fs::read_dir(parent).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let versions = newest_first(names.filter_map(|name| name.strip_prefix(prefix).map(str::to_owned)).collect());
    versions.iter().map(|version| format!("{before}{version}{after}").into()).collect()
}

/// Orders version suffixes by number, since as text 9 would come before 17; what is no version comes last.
fn newest_first(mut versions: Vec<String>) -> Vec<String> {
    let key = |text: &String| {
        let parts = text.split('.').map(str::parse::<u32>);
        parts.collect::<Result<Vec<_>, _>>().unwrap_or_default()
    };
    versions.sort_by_key(|text| std::cmp::Reverse(key(text)));
    versions
}

/// Looks whether a folder holds a whole server, and which.
fn inspect(folder: &Path) -> Option<Binaries> {
    if !NEEDED.iter().all(|name| folder.join(name).is_file()) {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").stderr(Stdio::null()).output().ok()?;
    let (major, version) = parse_version(&String::from_utf8(output.stdout).ok()?)?;
    Some(Binaries { folder: folder.to_owned(), major, version })
}

/// Reads `postgres (PostgreSQL) 15.4 (Debian 15.4-1)`, and betas and development versions: `17beta1`, `18devel`.
fn parse_version(text: &str) -> Option<(u32, String)> {
    let version = text.trim().strip_prefix("postgres (PostgreSQL) ")?.split_whitespace().next()?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    Some((version[..digits].parse().ok()?, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(folder: &str, major: u32) -> Binaries {
        Binaries { folder: folder.into(), major, version: format!("{major}.1") }
    }

    #[test]
    fn versions_are_read_from_every_kind_of_build() {
        let read = |text| parse_version(text).map(|(major, version)| format!("{major} {version}"));
        assert_eq!(read("postgres (PostgreSQL) 15.4 (Debian 15.4-1.pgdg)\n").as_deref(), Some("15 15.4"));
        assert_eq!(read("postgres (PostgreSQL) 17.0").as_deref(), Some("17 17.0"));
        assert_eq!(read("postgres (PostgreSQL) 18beta1").as_deref(), Some("18 18beta1"));
        assert_eq!(read("postgres (PostgreSQL) 19devel").as_deref(), Some("19 19devel"));
        assert_eq!(read("postgres (PostgreSQL) 9.6.24").as_deref(), Some("9 9.6.24"));
        assert_eq!(read("psql (PostgreSQL) 15.4"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn newer_versions_come_first_by_number() {
        let order = newest_first(["9.6", "17", "lib", "10", "9.10", "15"].map(String::from).to_vec());
        assert_eq!(order, ["17", "15", "10", "9.10", "9.6", "lib"]);
    }

    #[test]
    fn patterns_expand_to_existing_folders_newest_first() {
        let root = std::env::temp_dir().join(format!("otdel-expand-{}", uuid::Uuid::new_v4().simple()));
        for version in ["9.6", "15", "17"] {
            fs::create_dir_all(root.join(format!("pgsql-{version}/bin"))).unwrap();
        }
        let found = expand(&format!("{}/pgsql-*/bin", root.display()));
        let want = ["17", "15", "9.6"].map(|version| root.join(format!("pgsql-{version}/bin")));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, want);
        assert_eq!(expand("/absent/pgsql-*/bin"), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_first_fitting_server_is_taken() {
        let all = vec![server("/old", 14), server("/a", 16), server("/b", 15)];
        assert_eq!(choose(all.clone(), None).unwrap().unwrap().folder, Path::new("/a"));
        assert_eq!(choose(all, Some(15)).unwrap().unwrap().folder, Path::new("/b"));
        assert_eq!(choose(Vec::new(), None).unwrap(), None);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let old = choose(vec![server("/old", 14)], None).unwrap_err().to_string();
        assert!(old.starts_with("PostgreSQL 15 or newer is needed") && old.contains("14.1 in /old"), "{old}");
        let other = choose(vec![server("/new", 17)], Some(15)).unwrap_err().to_string();
        assert!(other.contains("made by PostgreSQL 15") && other.contains("17.1 in /new"), "{other}");
    }

    #[test]
    fn a_named_folder_without_a_server_is_an_error() {
        let refused = find(Some(Path::new("/absent/bin")), None).unwrap_err().to_string();
        assert!(refused.starts_with("/absent/bin holds no PostgreSQL server"), "{refused}");
    }
}
