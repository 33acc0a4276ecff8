use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// What a service shows when it calls, and whom it trusts to be called.
#[derive(Clone)]
pub struct ClientTls(Pems);

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// How long a TLS handshake may take, on top of the connection's two seconds.
const HANDSHAKE: Duration = Duration::from_secs(2);

impl ClientTls {
    /// Reads `ca.pem`, `cert.pem` and `key.pem` of a folder.
    pub fn load(folder: &Path) -> Result<Self, BadTls> {
        Pems::load(folder).map(Self)
    }

    /// What a channel to `peer` is set up with: the peer must show a certificate with its service's name.
    pub(super) fn for_peer(&self, peer: &str) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .domain_name(peer)
            .ca_certificate(self.0.ca())
            .identity(self.0.identity())
            .timeout(HANDSHAKE)
    }
}

/// The three files of one side of mutual TLS.
#[derive(Clone)]
pub(crate) struct Pems {
    ca: String,
    cert: String,
    key: SecretString,
}

impl Pems {
    pub(crate) fn load(folder: &Path) -> Result<Self, BadTls> {
        // rustls panics at the first connection where a process has more than one provider and no choice was made.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|source| BadTls::Unreadable { path, source })
        };
        Ok(Self { ca: read("ca.pem")?, cert: read("cert.pem")?, key: read("key.pem")?.into() })
    }

    pub(crate) fn ca(&self) -> Certificate {
        Certificate::from_pem(&self.ca)
    }

    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.cert, self.key.expose_secret())
    }
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadTls {
    /// A file is not there or not readable.
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The files do not hold what their names say, or do not fit each other.
    #[error("the certificate or key cannot be used: {0}")]
    Unusable(tonic::transport::Error),
}
