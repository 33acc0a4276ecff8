//! Clusters for tests: fresh, in the temporary folder, gone with the test.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use super::account;
use super::cluster::Cluster;
use super::initdb;
use super::leftover;
use super::lock::{self, DataLock};
use super::settings::{Guard, Settings};
use super::socket;

/// How long a dead cluster's server may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// A cluster whose data is removed when it stops or is dropped.
///
/// A test process that is killed leaves its folder behind, and the guard ends the server; the next throwaway of the
/// same prefix removes the folder. A value in a `static` is never dropped and relies on the same.
#[derive(Debug)]
pub struct Throwaway {
    cluster: Option<Cluster>,
    folder: PathBuf,
}

impl Throwaway {
    /// Sweeps the dead of this prefix and starts a fresh cluster under `setpriv`, since a test binary is no guard.
    pub async fn start(prefix: &str) -> Result<Self> {
        Self::start_with(prefix, Guard::Setpriv, Vec::new()).await
    }

    /// The same with a guard and server settings of choice.
    pub async fn start_with(prefix: &str, guard: Guard, extra: Vec<(String, String)>) -> Result<Self> {
        let account = account::choose(Path::new(""))?;
        let parent = socket::temporary_folder(account.as_ref())?;
        sweep(&parent, prefix).await?;
        let folder = parent.join(format!("{prefix}{}", Uuid::new_v4().simple()));
        let mut throwaway = Self { cluster: None, folder };
        let settings = Settings { guard, extra, ..Settings::new(&throwaway.folder) };
        match Cluster::start(settings).await {
            Ok(cluster) => throwaway.cluster = Some(cluster),
            Err(error) => {
                // Its server, if there was one, is ending and still writes to what is about to be removed.
                let _ = leftover::end(&initdb::cluster_in(&throwaway.folder), PATIENCE).await;
                return Err(error);
            }
        }
        Ok(throwaway)
    }

    /// The running cluster.
    pub fn cluster(&self) -> &Cluster {
        self.cluster.as_ref().expect("it is absent only while it starts")
    }

    /// The running cluster, for a test that restarts it.
    pub fn cluster_mut(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("it is absent only while it starts")
    }

    /// Ends the server at once, as there is nothing to keep, and removes the data.
    pub async fn stop(self) -> Result<()> {
        let dropped = tokio::task::spawn_blocking(move || drop(self));
        dropped.await.context("the throwaway cluster was not removed")
    }
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        if let Some(cluster) = &mut self.cluster {
            cluster.quit();
        }
        // What cannot be removed now is swept later.
        let _ = remove(&self.folder);
    }
}

/// Removes the folders in `dir` whose name begins with `prefix` and whose owner is gone, and says how many.
///
/// The owner is known by the lock that it holds on its folder. A process number, even with its start time, would be
/// another's in another container that shares the folder, and this one would remove what lives there.
pub async fn sweep(dir: &Path, prefix: &str) -> Result<usize> {
    if prefix.is_empty() {
        bail!("a sweep needs a prefix: without one it would take every data folder in {}", dir.display());
    }
    let dir = &fs::canonicalize(dir).with_context(|| format!("cannot enter {}", dir.display()))?;
    let mut swept = 0;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?.flatten() {
        let named = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        // The temporary folder is everybody's, and what another user put there is not ours to touch.
        let ours = || entry.metadata().is_ok_and(|found| found.is_dir() && found.uid() == own_user());
        if named && ours() && remove_dead(&entry.path()).await {
            swept += 1;
        }
    }
    Ok(swept)
}

/// The user that this process is.
fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Removes one folder if its owner is gone. The lock is held meanwhile, so that two sweepers do not meet.
async fn remove_dead(folder: &Path) -> bool {
    let Some(_lock) = DataLock::take_abandoned(folder) else { return false };
    let cluster = initdb::cluster_in(folder);
    if leftover::end(&cluster, PATIENCE).await.is_err() {
        return false;
    }
    let account = account::choose(&cluster).ok().flatten();
    socket::remove_remembered(folder, account.as_ref());
    tracing::debug!(postgres.folder = %folder.display(), "removing a dead throwaway cluster");
    remove(folder).is_ok()
}

/// Removes a folder, the lock's file last: a removal that is cut short leaves what a later sweep knows and finishes.
fn remove(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != lock::NAME {
            fs::remove_file(entry.path())?;
        }
    }
    fs::remove_dir_all(folder)
}
