//! The password of the private cluster's superuser.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::private;

/// The path of the password in a data folder.
fn path(data: &Path) -> PathBuf {
    data.join("postgres.password")
}

/// Reads the password, or makes one when there is no cluster yet that would not know it.
pub(super) fn read_or_make(data: &Path, cluster_exists: bool) -> Result<String> {
    let path = path(data);
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => bail!("{} is empty: restore it from a backup", path.display()),
        Err(error) if error.kind() == ErrorKind::NotFound && cluster_exists => bail!(
            "the password of the cluster in {} is missing: restore {} from a backup",
            data.display(),
            path.display()
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let password = private::random_text()?;
            private::write_file(&path, password.as_bytes())?;
            Ok(password)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}
