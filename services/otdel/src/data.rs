//! The data folder of `otdel up`: where it is, and the key and the secret in it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
pub use otdel_leads::Key;
use otdel_types::ApiKeyId;
use ring::{digest, hmac};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{postgres, private, secrets};

/// The file with the development principal's key, `{id}.{secret}`.
const KEY: &str = "token";
/// The file with the text that the passwords of the services' database roles are made from.
const SECRET: &str = "database.secret";

/// The folder that is used when none is named: `/var/lib/otdel` as root, else `otdel` in the user's data home.
pub fn default_folder() -> Result<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/otdel"));
    }
    let home = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    home("XDG_DATA_HOME")
        .or_else(|| home("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("otdel"))
        .context("neither XDG_DATA_HOME nor HOME is set: name a data folder with --data-dir")
}

/// The data folder, absolute.
pub fn folder(named: Option<&Path>) -> Result<PathBuf> {
    match named {
        Some(named) => Ok(std::path::absolute(named)?),
        None => default_folder(),
    }
}

/// Makes a key and writes it, as its bearer sends it, to a file that only its owner reads.
pub fn make_key(path: &Path) -> Result<Key> {
    let text = format!("{}.{}", ApiKeyId::new().0, private::random_text()?);
    private::write_file(path, text.as_bytes())?;
    parse_key(&text)
}

/// A key as the suite keeps it, from its bearer's `{id}.{secret}`.
fn parse_key(text: &str) -> Result<Key> {
    let (id, secret) = text.trim().split_once('.').context("the key is not of the form {id}.{secret}")?;
    let id = ApiKeyId(id.parse().context("the key's id is not a UUID")?);
    let digest = digest::digest(&digest::SHA256, secret.as_bytes());
    Ok(Key { id, secret_digest: digest.as_ref().try_into().context("a SHA-256 has 32 bytes")? })
}

/// The file of the development principal's key.
pub fn key_file(folder: &Path) -> PathBuf {
    folder.join(KEY)
}

/// The development principal's key, made at the first start.
pub fn development_key(folder: &Path) -> Result<Key> {
    key_at(&key_file(folder))
}

/// The key in a file, made where there is none.
pub fn key_at(path: &Path) -> Result<Key> {
    if !path.exists() {
        return make_key(path);
    }
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    parse_key(&text).with_context(|| format!("{} is damaged: delete it and start again", path.display()))
}

/// The text of the key, for `otdel token`.
pub fn read_key(folder: &Path) -> Result<String> {
    let path = key_file(folder);
    fs::read_to_string(&path).map(|text| text.trim().to_owned()).with_context(|| {
        format!("there is no key in {}: start `otdel up` first, with the same data folder", folder.display())
    })
}

/// The secret that the passwords are made from, made at the first start.
pub fn database_secret(folder: &Path) -> Result<SecretString> {
    let path = folder.join(SECRET);
    if !path.exists() {
        private::write_file(&path, private::random_text()?.as_bytes())?;
    }
    secrets::password(&path)
}

/// The password of a service's database role. Made from one secret, so that a restart sets the same one again.
pub fn role_password(secret: &SecretString, service: &str) -> SecretString {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
    let tag = hmac::sign(&key, service.as_bytes());
    SecretString::from(private::hex(tag.as_ref()))
}

/// Makes the folder so that the private cluster can lie in it.
pub fn make(folder: &Path) -> Result<PathBuf> {
    postgres::make_data_folder(folder)
}
