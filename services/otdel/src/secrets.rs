//! The secrets of a deployment: one folder a role, with everything that role needs and nothing of another's.
//!
//! ```text
//! authority/                the key and certificate that sign every other; no role is given this folder
//! leads/ca.pem              the authority's certificate
//! leads/cert.pem, key.pem   the role's certificate for mutual TLS and its key
//! leads/token.key           what the role signs internal tokens with (Ed25519, PKCS#8)
//! leads/keyring/*.pub       the public keys of all roles
//! leads/database.password   the password of the role's database user
//! postgres/password         the password of PostgreSQL's superuser, for a server that is made with it
//! ```
//!
//! A container mounts its own folder alone, and the job that makes them has a volume at each: so a folder may be there
//! before what belongs in it.

use std::{
    collections::HashMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use chrono::{Datelike as _, TimeDelta};
use otdel_runtime::{
    auth::{Identity, Keyring, SERVICES},
    clock::system_now,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
use secrecy::SecretString;

use crate::{certificate::good_until, private};

/// How long a role's certificate is good for. `otdel init` makes it anew when its end is near, `otdel init --renew` at any
/// time; a role takes it when it starts. The authority stays the same, so roles with the old and the new certificate trust
/// each other meanwhile.
const CERTIFICATE_DAYS: i64 = 90;

/// How many days before its end a certificate is made anew: long enough that whoever starts the stack once a month, or
/// looks at its alerts once a week, never sees one end.
const RENEWED_BEFORE_DAYS: i64 = 45;

/// How long the authority is good for.
const AUTHORITY_DAYS: i64 = 3650;

/// The shortest password that a role starts with: a shorter one is an example that somebody forgot to replace.
const SHORTEST_PASSWORD: usize = 32;

/// The secrets of one role, read and checked.
#[derive(Debug)]
pub struct RoleSecrets {
    /// What the role signs with.
    pub identity: Identity,
    /// What it verifies with.
    pub keyring: Keyring,
    /// The folder, for the certificates.
    pub folder: PathBuf,
}

/// A fresh Ed25519 key in PKCS#8.
pub fn token_key() -> Result<Vec<u8>> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).ok().context("no token key could be made")?;
    Ok(key.as_ref().to_vec())
}

/// What an `init` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// There was nothing to do.
    Nothing,
    /// Certificates alone; everything else was there.
    Certificates,
    /// Secrets that were not there.
    Secrets,
}

/// Writes the secrets of every role under `root`. Where they are all there already it makes nothing but the roles'
/// certificates anew: if their end is near, or if they are to be renewed.
pub fn init(root: &Path, renew: bool) -> Result<Made> {
    let made = make_superuser_password(&root.join("postgres"))?;
    let whole = SERVICES.iter().all(|role| root.join(role).join("token.key").exists());
    let has_authority = root.join("authority/key.pem").exists();
    if whole && renew && !has_authority {
        bail!(
            "the authority that signed the certificates is gone from {}, and roles with certificates of two do not trust \
             each other: stop all roles and remove the secrets of every role, so that all are made anew",
            root.display()
        );
    }
    // Without its authority a stack starts as long as its certificates are good; the alert tells how long that is.
    if whole && !renew && !(has_authority && is_end_near(root)) {
        return Ok(if made { Made::Secrets } else { Made::Nothing });
    }
    let authority = Authority::open(&root.join("authority"))?;
    let mut keys = Vec::new();
    for role in SERVICES {
        let path = root.join(role).join("token.key");
        let kept = if whole { Some(fs::read(&path)?) } else { None };
        keys.push((role, kept.map_or_else(token_key, Ok)?));
    }
    for (role, key) in &keys {
        let folder = root.join(role);
        private::make_folder(&folder.join("keyring"))?;
        for (other, pkcs8) in &keys {
            let public = Identity::new(other, pkcs8)?.public_key();
            private::write_file(&folder.join("keyring").join(format!("{other}.pub")), &public)?;
        }
        let (certificate, private) = authority.issue(role, CERTIFICATE_DAYS)?;
        private::write_file(&folder.join("ca.pem"), authority.certificate.as_bytes())?;
        private::write_file(&folder.join("cert.pem"), certificate.as_bytes())?;
        private::write_file(&folder.join("key.pem"), private.as_bytes())?;
        if !folder.join("database.password").exists() {
            private::write_file(&folder.join("database.password"), private::random_text()?.as_bytes())?;
        }
        // Last, because its presence says that the folder is whole.
        private::write_file(&folder.join("token.key"), key)?;
    }
    Ok(if whole && !made { Made::Certificates } else { Made::Secrets })
}

/// Whether a role's certificate is about to end, or is none.
fn is_end_near(root: &Path) -> bool {
    let enough = system_now() + TimeDelta::days(RENEWED_BEFORE_DAYS);
    let is_good =
        |role: &&str| good_until(&root.join(role).join("cert.pem")).is_ok_and(|until| until > enough.timestamp());
    !SERVICES.iter().all(is_good)
}

/// The password that a PostgreSQL server is made with, unless it is there. PostgreSQL runs as a user of its own, so the
/// group may read it; a container is given the group, and the folder to itself.
fn make_superuser_password(folder: &Path) -> Result<bool> {
    let path = folder.join("password");
    if path.exists() {
        return Ok(false);
    }
    private::make_folder(folder)?;
    private::write_file(&path, private::random_text()?.as_bytes())?;
    fs::set_permissions(&path, Permissions::from_mode(0o640))?;
    Ok(true)
}

/// Reads the secrets of a role from its folder.
pub fn read(role: &'static str, folder: &Path) -> Result<RoleSecrets> {
    let path = folder.join("token.key");
    let key = fs::read(&path).with_context(|| format!("{} cannot be read: run `otdel init`", path.display()))?;
    let mut keys = HashMap::new();
    for other in SERVICES {
        let path = folder.join("keyring").join(format!("{other}.pub"));
        let public = fs::read(&path).with_context(|| format!("{} cannot be read: run `otdel init`", path.display()))?;
        keys.insert(other.to_owned(), public);
    }
    Ok(RoleSecrets { identity: Identity::new(role, &key)?, keyring: Keyring::new(keys), folder: folder.to_owned() })
}

/// Secrets of one process, made when it starts and gone when it ends.
pub fn of_one_process() -> Result<HashMap<&'static str, RoleSecrets>> {
    let identities =
        SERVICES.iter().map(|role| Ok(Identity::new(role, &token_key()?)?)).collect::<Result<Vec<Identity>>>()?;
    let keyring = Keyring::new(identities.iter().map(|one| (one.service().to_owned(), one.public_key())));
    Ok(identities
        .into_iter()
        .map(|identity| {
            (identity.service(), RoleSecrets { identity, keyring: keyring.clone(), folder: PathBuf::new() })
        })
        .collect())
}

/// Reads a password and refuses one that is missing or too short to be random.
pub fn password(path: &Path) -> Result<SecretString> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let text = text.trim();
    if text.len() < SHORTEST_PASSWORD {
        bail!("the password in {} has fewer than {SHORTEST_PASSWORD} characters: run `otdel init`", path.display());
    }
    Ok(SecretString::from(text))
}

/// The private authority of a deployment.
struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// The authority in this folder, made where there is none.
    fn open(folder: &Path) -> Result<Self> {
        let (key_path, certificate_path) = (folder.join("key.pem"), folder.join("ca.pem"));
        if !key_path.exists() {
            let key = KeyPair::generate()?;
            let certificate = Self::params()?.self_signed(&key)?.pem();
            private::make_folder(folder)?;
            private::write_file(&certificate_path, certificate.as_bytes())?;
            private::write_file(&key_path, key.serialize_pem().as_bytes())?;
        }
        let read = |path: &Path| fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()));
        let key = KeyPair::from_pem(&read(&key_path)?)?;
        Ok(Self { certificate: read(&certificate_path)?, issuer: Issuer::new(Self::params()?, key) })
    }

    fn params() -> Result<CertificateParams> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, "otdel");
        Self::expire(&mut params, AUTHORITY_DAYS);
        Ok(params)
    }

    /// A certificate for a role, named after it and good for so long: for its server and for its calls to others.
    fn issue(&self, role: &str, days: i64) -> Result<(String, String)> {
        let mut params = CertificateParams::new(vec![role.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, role);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Self::expire(&mut params, days);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    fn expire(params: &mut CertificateParams, days: i64) {
        let day = |shift: i64| {
            let date = (system_now() + TimeDelta::days(shift)).date_naive();
            (date.year(), date.month(), date.day())
        };
        let (from, to) = (day(-1), day(days));
        params.not_before = rcgen::date_time_ymd(from.0, u8_of(from.1), u8_of(from.2));
        params.not_after = rcgen::date_time_ymd(to.0, u8_of(to.1), u8_of(to.2));
    }
}

/// A month or a day of one.
fn u8_of(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        let path = std::env::temp_dir().join(format!("otdel-secrets-{}", private::random_text().unwrap()));
        private::make_folder(&path).unwrap();
        path
    }

    #[test]
    fn every_role_gets_what_it_needs_and_only_its_owner_reads_it() {
        let root = folder();
        assert_eq!(init(&root, false).unwrap(), Made::Secrets);
        for role in SERVICES {
            let secrets = read(role, &root.join(role)).unwrap();
            assert!(secrets.keyring.verify(&secrets.identity.own_token()).is_ok());
            password(&root.join(role).join("database.password")).unwrap();
            for file in ["token.key", "key.pem", "database.password"] {
                let mode = fs::metadata(root.join(role).join(file)).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{role}/{file}");
            }
        }
        password(&root.join("postgres/password")).unwrap();
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_second_init_changes_nothing_and_a_renewal_makes_certificates_under_the_same_authority() {
        let root = folder();
        init(&root, false).unwrap();
        let read = |file: &str| fs::read(root.join("billing").join(file)).unwrap();
        let kept =
            || ["token.key", "database.password", "ca.pem", "keyring/leads.pub", "../postgres/password"].map(read);
        let (before, certificate) = (kept(), read("cert.pem"));
        assert_eq!(init(&root, false).unwrap(), Made::Nothing);
        assert_eq!((kept(), read("cert.pem")), (before.clone(), certificate.clone()));
        assert_eq!(init(&root, true).unwrap(), Made::Certificates);
        assert_eq!(kept(), before, "roles with old and new certificates go on trusting each other");
        assert_ne!(read("cert.pem"), certificate);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_certificate_whose_end_is_near_is_made_anew_by_itself_and_only_under_the_same_authority() {
        let root = folder();
        init(&root, false).unwrap();
        let of = |role: &str, file: &str| root.join(role).join(file);
        let days_left = |role: &str| {
            (good_until(&of(role, "cert.pem")).unwrap() - system_now().timestamp()).div_euclid(24 * 60 * 60)
        };
        let age = |days| {
            let (certificate, key) = Authority::open(&root.join("authority")).unwrap().issue("leads", days).unwrap();
            private::write_file(&of("leads", "cert.pem"), certificate.as_bytes()).unwrap();
            private::write_file(&of("leads", "key.pem"), key.as_bytes()).unwrap();
        };
        age(RENEWED_BEFORE_DAYS + 2);
        assert_eq!(init(&root, false).unwrap(), Made::Nothing);
        age(RENEWED_BEFORE_DAYS);
        let kept = || ["ca.pem", "token.key", "database.password"].map(|file| fs::read(of("leads", file)).unwrap());
        let before = kept();
        assert_eq!(init(&root, false).unwrap(), Made::Certificates);
        assert_eq!(kept(), before);
        assert!(SERVICES.iter().all(|role| days_left(role) >= CERTIFICATE_DAYS - 1));

        age(1);
        fs::remove_dir_all(root.join("authority")).unwrap();
        assert_eq!(init(&root, false).unwrap(), Made::Nothing, "it starts while it can");
        let refused = init(&root, true).unwrap_err().to_string();
        assert!(refused.contains("the authority that signed the certificates is gone"), "{refused}");
        assert!(!root.join("authority").exists());
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_short_password_is_refused() {
        let root = folder();
        private::write_file(&root.join("p"), b"postgres").unwrap();
        assert!(password(&root.join("p")).unwrap_err().to_string().contains("fewer than"));
        fs::remove_dir_all(root).unwrap();
    }
}
