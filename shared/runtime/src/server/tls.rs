use std::{fmt, path::Path, time::Duration};

use tonic::transport::ServerTlsConfig;

use super::serve::Kind;
use crate::peers::{BadTls, Pems};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// What a listener shows to those who connect, and whom it trusts.
#[derive(Clone)]
pub struct ServerTls(Pems);

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl ServerTls {
    /// Reads `ca.pem`, `cert.pem` and `key.pem` of a folder.
    pub fn load(folder: &Path) -> Result<Self, BadTls> {
        Pems::load(folder).map(Self)
    }

    /// An internal listener lets only those in who show a certificate of the private authority; a public one asks
    /// nobody for one, because callers outside prove themselves by keys and tokens.
    pub(super) fn for_kind(&self, kind: Kind) -> ServerTlsConfig {
        let config = ServerTlsConfig::new().identity(self.0.identity()).timeout(HANDSHAKE);
        match kind {
            Kind::Internal => config.client_ca_root(self.0.ca()),
            Kind::Public | Kind::Admin => config,
        }
    }
}
