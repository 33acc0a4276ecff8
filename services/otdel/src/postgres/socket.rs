//! The folder of the server's Unix socket.

use std::env;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use super::account::{self, Account};
use crate::private;

/// The port number, which for a Unix socket is a part of its file's name only.
pub(super) const PORT: &str = "5432";

/// The longest path that a socket's address can hold.
const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// How the names of folders outside the data folder begin.
const PREFIX: &str = "otdel-socket-";

/// A folder for the socket, inside the data folder or outside.
#[derive(Clone, Debug)]
pub(super) struct SocketFolder {
    /// The folder.
    pub(super) path: PathBuf,
    /// Whether it lies outside the data folder and must be removed with the server.
    outside: bool,
}

impl SocketFolder {
    /// Makes the folder, or finds that of an earlier run.
    ///
    /// A data folder may lie deeper than a socket's address is long. Then the socket has a folder of its own under the
    /// system's temporary folder: private, with a name that nobody can guess and take first, and noted in the data
    /// folder, so that the next run finds it again and no crash leaves a trail of them.
    pub(super) fn make(data: &Path, account: Option<&Account>) -> Result<Self> {
        let inside = data.join("postgres.run");
        if fits(&inside) {
            account::make_private_folder(&inside, account)?;
            return Ok(Self { path: inside, outside: false });
        }
        if let Some(path) = remembered(data, account) {
            return Ok(Self { path, outside: true });
        }
        let name = Uuid::new_v4().simple().to_string();
        let path = temporary_folder(account)?.join(format!("{PREFIX}{}", &name[..12]));
        let made = fs::DirBuilder::new().mode(0o700).create(&path).and_then(|()| account::own(&path, account));
        made.with_context(|| format!("cannot make the folder {}", path.display()))?;
        private::write_file(&note(data), path.display().to_string().as_bytes())?;
        Ok(Self { path, outside: true })
    }

    /// Removes what a dead server left. Its lock file names a process number, which by now may be anybody's.
    pub(super) fn clear(&self) {
        let socket = socket_in(&self.path);
        let _ = fs::remove_file(socket.with_added_extension("lock"));
        let _ = fs::remove_file(socket);
    }

    /// Removes the folder if it lies outside the data folder.
    pub(super) fn remove(&self) {
        if self.outside {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes the folder outside that a data folder of ours remembers.
pub(super) fn remove_remembered(data: &Path, account: Option<&Account>) {
    if let Some(path) = remembered(data, account) {
        let _ = fs::remove_dir_all(path);
    }
}

/// Where the data folder notes a folder outside.
fn note(data: &Path) -> PathBuf {
    data.join("postgres.socket")
}

/// The noted folder, if it is still there and still the server's alone.
fn remembered(data: &Path, account: Option<&Account>) -> Option<PathBuf> {
    let path = PathBuf::from(fs::read_to_string(note(data)).ok()?.trim());
    let ours = path.file_name()?.to_str()?.starts_with(PREFIX);
    let metadata = fs::symlink_metadata(&path).ok()?;
    let uid = account.map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
    let private = metadata.is_dir() && metadata.uid() == uid && metadata.mode() & 0o777 == 0o700;
    (ours && private && fits(&path)).then_some(path)
}

/// The temporary folder that the server's account can enter and that leaves room for the socket's name.
pub(super) fn temporary_folder(account: Option<&Account>) -> Result<PathBuf> {
    let fitting = |folder: &PathBuf| {
        folder.is_dir()
            && fits(&folder.join(format!("{PREFIX}0123456789ab")))
            && account.is_none_or(|account| account::blocked_at(folder, account).is_none())
    };
    let Some(folder) = [env::temp_dir(), PathBuf::from("/tmp")].into_iter().find(fitting) else {
        bail!("there is no temporary folder with a short path for PostgreSQL's socket: set TMPDIR to one");
    };
    fs::canonicalize(&folder).with_context(|| format!("cannot enter {}", folder.display()))
}

/// The path of the socket in a folder.
fn socket_in(folder: &Path) -> PathBuf {
    folder.join(format!(".s.PGSQL.{PORT}"))
}

/// Whether a socket in this folder has a path that its address can hold.
fn fits(folder: &Path) -> bool {
    socket_in(folder).as_os_str().as_bytes().len() <= LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> PathBuf {
        let path = env::temp_dir().join(format!("otdel-sockets-{}", Uuid::new_v4().simple()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn the_limit_is_counted_in_bytes_of_the_whole_path() {
        let name = "/.s.PGSQL.5432".len();
        let longest = format!("/{}", "a".repeat(LONGEST - name - 1));
        assert!(fits(Path::new(&longest)));
        assert!(!fits(Path::new(&format!("{longest}a"))));
        assert!(!fits(Path::new(&format!("/{}", "я".repeat(LONGEST / 2)))));
    }

    #[test]
    fn a_short_data_folder_holds_its_socket() {
        let data = scratch();
        let folder = SocketFolder::make(&data, None).unwrap();
        assert_eq!(folder.path, data.join("postgres.run"));
        folder.remove();
        assert!(folder.path.is_dir());
        fs::remove_dir_all(data).unwrap();
    }

    #[test]
    fn a_long_one_has_a_private_folder_elsewhere_and_finds_it_again() {
        let root = scratch();
        let data = root.join("d".repeat(120));
        fs::create_dir_all(&data).unwrap();
        let first = SocketFolder::make(&data, None).unwrap();
        assert!(fits(&first.path) && !first.path.starts_with(&data));
        assert_eq!(fs::metadata(&first.path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(SocketFolder::make(&data, None).unwrap().path, first.path);
        first.remove();
        let second = SocketFolder::make(&data, None).unwrap();
        assert_ne!(second.path, first.path);
        remove_remembered(&data, None);
        assert!(!second.path.exists());
        fs::remove_dir_all(root).unwrap();
    }
}
