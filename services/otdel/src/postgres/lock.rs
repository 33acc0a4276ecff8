//! The lock on a data folder: one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The name of the lock's file in the data folder.
pub(super) const NAME: &str = "lock";

/// A held lock. It is the kernel's (`flock`), so it ends with its process, however that ends.
#[derive(Debug)]
pub(super) struct DataLock {
    _file: File,
}

impl DataLock {
    /// Takes the lock on `data`, or says who holds it.
    pub(super) fn take(data: &Path) -> Result<Self> {
        let path = data.join(NAME);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o644);
        let mut file = options.open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "the data folder {} is in use by {}: stop that first, or choose another data folder",
                data.display(),
                holder(&mut file)
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { _file: file })
    }

    /// Takes the lock on a folder that somebody used and nobody uses any more.
    ///
    /// The number in the file is written after the lock is taken, so an empty file belongs to a process that is just
    /// starting and must not find its folder locked by us. A file with anything else in it is no lock of ours.
    pub(super) fn take_abandoned(data: &Path) -> Option<Self> {
        let mut file = OpenOptions::new().read(true).write(true).open(data.join(NAME)).ok()?;
        let mut text = String::new();
        file.read_to_string(&mut text).ok()?;
        (text.trim().parse::<u32>().is_ok() && file.try_lock().is_ok()).then_some(Self { _file: file })
    }
}

/// Who holds the lock, as far as its file says.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!("process {}", text.trim()),
        _ => "another process".to_owned(),
    }
}
