//! Making a cluster, all of it or nothing.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use super::account;
use super::binaries::Binaries;
use super::guard::Launch;
use crate::private;

/// The superuser of a private cluster.
pub(super) const SUPERUSER: &str = "otdel_root";

/// How the names of clusters in the making begin.
const MAKING: &str = "postgres.new-";

/// The locales to try, best first: the first two sort by code point and know every letter. `C` knows only ASCII
/// letters, so the search by trigrams finds nothing in Cyrillic there.
const LOCALES: [&str; 4] = ["C.UTF-8", "C.utf8", "en_US.UTF-8", "C"];

/// The folder of the cluster in a data folder.
pub(super) fn cluster_in(data: &Path) -> PathBuf {
    data.join("postgres")
}

/// The major version of the server that made the cluster, or `None` when there is no cluster.
pub(super) fn cluster_version(cluster: &Path) -> Result<Option<u32>> {
    if fs::symlink_metadata(cluster).is_err() {
        return Ok(None);
    }
    let text = fs::read_to_string(cluster.join("PG_VERSION"));
    match text.ok().and_then(|text| text.trim().parse().ok()) {
        Some(major) => Ok(Some(major)),
        None => bail!("{} is not a PostgreSQL cluster: move it away or choose another data folder", cluster.display()),
    }
}

/// Makes the cluster of a data folder.
///
/// initdb works under another name, and the folder gets its own only when it is complete and on disk. What there is under
/// such names is removed at the end: a killed run's initdb may have gone on writing for a moment after it was removed before.
pub(super) fn make(data: &Path, binaries: &Binaries, launch: &Launch, password: &str) -> Result<()> {
    let making = data.join(format!("{MAKING}{}", Uuid::new_v4().simple()));
    account::make_private_folder(&making, launch.account.as_ref())?;
    let made = initialize(&making, binaries, launch, password).and_then(|cluster| {
        fs::rename(&cluster, cluster_in(data)).context("cannot move the new cluster into its place")?;
        File::open(data).and_then(|folder| folder.sync_all()).context("cannot write the data folder to disk")
    });
    remove_unfinished(data);
    made
}

/// Removes clusters that were never finished.
pub(super) fn remove_unfinished(data: &Path) {
    for entry in fs::read_dir(data).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(MAKING.as_bytes()) {
            tracing::debug!(postgres.folder = %entry.path().display(), "removing an unfinished cluster");
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Runs initdb with the best locale that the system knows, and returns the new cluster's folder.
fn initialize(making: &Path, binaries: &Binaries, launch: &Launch, password: &str) -> Result<PathBuf> {
    let cluster = making.join("cluster");
    let secret = making.join("password");
    private::write_file(&secret, password.as_bytes())?;
    account::own(&secret, launch.account.as_ref())?;
    for locale in LOCALES {
        let arguments = arguments(&cluster, &secret, locale);
        let mut command = launch.command(&binaries.program("initdb"), &arguments);
        let output = command.stdin(Stdio::null()).output().context("cannot run initdb")?;
        if output.status.success() {
            if locale == "C" {
                tracing::warn!(
                    "the system has neither the locale C.UTF-8 nor en_US.UTF-8, so search by similarity ignores all \
                     letters but ASCII in this cluster; install one of them and make the cluster anew"
                );
            }
            return Ok(cluster);
        }
        if !String::from_utf8_lossy(&output.stderr).contains("invalid locale name") {
            bail!("initdb could not make the cluster: {}", complaint(&output));
        }
    }
    bail!("initdb knows none of the locales {}: install the locale C.UTF-8", LOCALES.join(", "))
}

/// The arguments of initdb. Checksums, because a page that rotted on disk should be an error and not an answer.
fn arguments(cluster: &Path, secret: &Path, locale: &str) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [
        "--encoding=UTF8",
        "--lc-messages=C",
        "--auth-local=scram-sha-256",
        "--auth-host=scram-sha-256",
        "--data-checksums",
        "--no-instructions",
    ]
    .map(OsString::from)
    .to_vec();
    arguments.push(format!("--locale={locale}").into());
    arguments.push(format!("--username={SUPERUSER}").into());
    arguments.extend(["--pwfile".into(), secret.into(), "-D".into(), cluster.into()]);
    arguments
}

/// What initdb says is wrong, in one line.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = text.lines().filter(|line| line.contains("error: ") || line.contains("FATAL: ")).collect();
    if errors.is_empty() { format!("{}; {}", output.status, text.trim()) } else { errors.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_cluster_is_not_taken_for_one() {
        let data = std::env::temp_dir().join(format!("otdel-initdb-{}", Uuid::new_v4().simple()));
        let cluster = cluster_in(&data);
        assert_eq!(cluster_version(&cluster).unwrap(), None);
        fs::create_dir_all(&cluster).unwrap();
        let refused = cluster_version(&cluster).unwrap_err().to_string();
        fs::write(cluster.join("PG_VERSION"), "16\n").unwrap();
        let version = cluster_version(&cluster).unwrap();
        fs::remove_dir_all(&data).unwrap();
        assert!(refused.contains("is not a PostgreSQL cluster"), "{refused}");
        assert_eq!(version, Some(16));
    }

    #[test]
    fn only_unfinished_clusters_are_removed() {
        let data = std::env::temp_dir().join(format!("otdel-initdb-{}", Uuid::new_v4().simple()));
        for name in ["postgres.new-1/cluster", "postgres", "postgres.run"] {
            fs::create_dir_all(data.join(name)).unwrap();
        }
        remove_unfinished(&data);
        let mut left: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        fs::remove_dir_all(&data).unwrap();
        assert_eq!(left, ["postgres", "postgres.run"]);
    }
}
