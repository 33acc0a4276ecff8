//! The account that the server runs as, since PostgreSQL refuses to run as root.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The accounts that root hands the cluster to, best first. `nobody` exists everywhere.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// An account of this machine other than root's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// Its name, for messages.
    pub(super) name: String,
    /// Its user.
    pub(super) uid: u32,
    /// Its primary group.
    pub(super) gid: u32,
}

/// Chooses the account for the cluster in `cluster`, which need not exist. `None` means ourselves.
///
/// `/etc/passwd` is read and not the name service, which has no safe interface in the standard library; initdb wants
/// an entry there, and both accounts are local on every system.
pub(super) fn choose(cluster: &Path) -> Result<Option<Account>> {
    let euid = rustix::process::geteuid().as_raw();
    let owner = fs::metadata(cluster).ok().map(|metadata| metadata.uid());
    if euid != 0 {
        if let Some(owner) = owner.filter(|owner| *owner != euid) {
            bail!(
                "{} belongs to user {owner} and this process is user {euid}: run it as that user or as root, or give \
                 the folder to this user",
                cluster.display()
            );
        }
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let Some(account) = pick(owner, &passwd) else {
        bail!("PostgreSQL does not run as root and there is no user postgres or nobody: run as an ordinary user");
    };
    Ok(Some(account))
}

/// Picks an account for root: the owner of the existing cluster, so that data once made by a user stays with that
/// user, else the first unprivileged one.
fn pick(owner: Option<u32>, passwd: &str) -> Option<Account> {
    let accounts: Vec<Account> = passwd.lines().filter_map(parse).filter(|account| account.uid != 0).collect();
    let owned = accounts.iter().find(|account| Some(account.uid) == owner);
    let named = || UNPRIVILEGED.iter().find_map(|name| accounts.iter().find(|account| account.name == *name));
    owned.or_else(named).cloned()
}

/// Reads one line of `/etc/passwd`.
fn parse(line: &str) -> Option<Account> {
    let mut fields = line.split(':');
    let name = fields.next()?.to_owned();
    Some(Account { name, uid: number(fields.nth(1)?)?, gid: number(fields.next()?)? })
}

/// Reads a user or group number; macOS writes that of `nobody` as -2.
fn number(text: &str) -> Option<u32> {
    text.parse::<u32>().ok().or_else(|| text.parse::<i32>().ok().map(i32::cast_unsigned))
}

/// The folder on the way to `path` that `account` may not enter, by its permission bits.
pub(super) fn blocked_at(path: &Path, account: &Account) -> Option<PathBuf> {
    let mut folders: Vec<&Path> = path.ancestors().filter(|folder| folder.is_dir()).collect();
    folders.reverse();
    let blocks = |folder: &&&Path| fs::metadata(folder).is_ok_and(|metadata| !may_enter(&metadata, account));
    folders.iter().find(blocks).map(|folder| folder.to_path_buf())
}

/// Whether the permission bits let `account` pass through a folder.
fn may_enter(folder: &Metadata, account: &Account) -> bool {
    let bit = if folder.uid() == account.uid {
        0o100
    } else if folder.gid() == account.gid {
        0o010
    } else {
        0o001
    };
    folder.mode() & bit != 0
}

/// Makes a data folder, and returns its path without symbolic links.
///
/// As root others may pass through it but not list it, since the server runs as somebody else. The mode is set whatever
/// the umask; a folder that exists already is its owner's and keeps its mode.
pub fn make_data_folder(data: &Path) -> Result<PathBuf> {
    let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    let make = || -> io::Result<PathBuf> {
        let data = std::path::absolute(data)?;
        let mut missing: Vec<&Path> = data.ancestors().take_while(|folder| !folder.exists()).collect();
        while let Some(folder) = missing.pop() {
            DirBuilder::new().mode(mode).create(folder)?;
            fs::set_permissions(folder, Permissions::from_mode(mode))?;
        }
        fs::canonicalize(data)
    };
    let data = make().with_context(|| format!("cannot make the data folder {}", data.display()))?;
    if data.to_str().is_none() {
        bail!("the path {} is not UTF-8: choose another data folder", data.display());
    }
    Ok(data)
}

/// Makes a folder that only the server's account enters, or makes an existing one so.
pub(super) fn make_private_folder(folder: &Path, account: Option<&Account>) -> Result<()> {
    let make = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        own(folder, account)
    };
    make().with_context(|| format!("cannot make the folder {}", folder.display()))
}

/// Gives one file or folder to the server's account.
pub(super) fn own(path: &Path, account: Option<&Account>) -> io::Result<()> {
    account.map_or(Ok(()), |account| lchown(path, Some(account.uid), Some(account.gid)))
}

/// Gives a whole folder to the server's account, if it is not its own already: a backup restored by root is root's.
pub(super) fn own_all(folder: &Path, account: &Account) -> Result<()> {
    if fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.uid() == account.uid) {
        return Ok(());
    }
    tracing::info!(postgres.folder = %folder.display(), postgres.account = account.name, "changing the cluster's owner");
    let mut folders = vec![folder.to_owned()];
    let mut all = || -> io::Result<()> {
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                own(&entry.path(), Some(account))?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        // Last, because it says that everything below is done.
        own(folder, Some(account))
    };
    all().with_context(|| format!("cannot give {} to the user {}", folder.display(), account.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
                          nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
                          # a comment\n\
                          alice:x:1000:1001::/home/alice:/bin/sh\n";

    fn picked(owner: Option<u32>, passwd: &str) -> Option<(String, u32, u32)> {
        pick(owner, passwd).map(|account| (account.name, account.uid, account.gid))
    }

    #[test]
    fn root_prefers_the_owner_then_postgres_then_nobody() {
        let with_postgres = format!("{PASSWD}postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n");
        assert_eq!(picked(None, PASSWD), Some(("nobody".into(), 65534, 65533)));
        assert_eq!(picked(None, &with_postgres), Some(("postgres".into(), 101, 104)));
        assert_eq!(picked(Some(1000), &with_postgres), Some(("alice".into(), 1000, 1001)));
        assert_eq!(picked(Some(0), &with_postgres), Some(("postgres".into(), 101, 104)));
        assert_eq!(picked(Some(7777), &with_postgres), Some(("postgres".into(), 101, 104)));
        assert_eq!(picked(None, "root:x:0:0:root:/root:/bin/bash\n"), None);
    }

    #[test]
    fn negative_numbers_are_read() {
        assert_eq!(picked(None, "nobody:*:-2:-2:Unprivileged User:/var/empty:/usr/bin/false"), {
            Some(("nobody".into(), u32::MAX - 1, u32::MAX - 1))
        });
    }

    #[test]
    fn the_first_closed_folder_on_the_way_is_named() {
        let root = std::env::temp_dir().join(format!("otdel-blocked-{}", uuid::Uuid::new_v4().simple()));
        let inner = root.join("closed/data");
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(root.join("closed"), Permissions::from_mode(0o700)).unwrap();
        let stranger = Account { name: "stranger".into(), uid: 4_000_000, gid: 4_000_000 };
        let owner = fs::metadata(&root).unwrap();
        let owner = Account { name: "owner".into(), uid: owner.uid(), gid: owner.gid() };
        let (strangers, owners) = (blocked_at(&inner, &stranger), blocked_at(&inner, &owner));
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(strangers, Some(root.join("closed")));
        assert_eq!(owners, None);
    }
}
