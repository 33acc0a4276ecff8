//! Which issuer's tokens let in, and where its keys are.

use std::{
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
};

use http::{Uri, uri::Scheme};
use rustls::pki_types::{CertificateDer, pem, pem::PemObject as _};

use super::keys::{self, BadKeySet};

/// An issuer whose tokens let in.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub(super) name: String,
    pub(super) audience: String,
    pub(super) keys: KeySource,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A web server.
    Web {
        /// The address of the key set.
        url: Uri,
        /// The authorities whose certificates are believed. Empty: those that browsers believe.
        authorities: Vec<CertificateDer<'static>>,
    },
    /// A file, which is read again as often as an address.
    File(PathBuf),
}

/// Why an issuer cannot be believed as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum BadIssuer {
    /// The name is compared with that in tokens, letter by letter.
    #[error("the issuer {0:?} is not a URL, as it stands in `iss` of its tokens")]
    Name(String),
    /// Without one everybody who logs in anywhere at the issuer would come in.
    #[error("the audience is empty: name what the issuer writes into `aud` for Otdel")]
    Audience,
    /// Whoever stands between could put keys of their own there.
    #[error("the address of the keys {0:?} must be https, or http on this machine")]
    Address(String),
    /// A file cannot be read.
    #[error("{} cannot be read: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The certificates are none.
    #[error("{} holds no certificate in PEM: {}", .0.display(), .1)]
    Authorities(PathBuf, pem::Error),
    /// The key set cannot be used.
    #[error("{} cannot be used: {}", .0.display(), .1)]
    Keys(PathBuf, BadKeySet),
}

impl Issuer {
    /// An issuer by its name (`iss`), with what it calls Otdel (`aud`).
    pub fn new(name: &str, audience: &str, keys: KeySource) -> Result<Self, BadIssuer> {
        let is_url = name.parse::<Uri>().is_ok_and(|url| url.scheme().is_some() && url.host().is_some());
        // The directory names callers `{issuer}|{subject}`: the first bar must be the one between the two.
        if !is_url || name.contains('|') {
            return Err(BadIssuer::Name(name.to_owned()));
        }
        if audience.trim().is_empty() {
            return Err(BadIssuer::Audience);
        }
        Ok(Self { name: name.to_owned(), audience: audience.to_owned(), keys })
    }
}

impl KeySource {
    /// A web server, whose certificate one of these authorities has signed (PEM). None: one that browsers believe.
    pub fn web(address: &str, authorities: Option<&Path>) -> Result<Self, BadIssuer> {
        let url = address.parse::<Uri>().ok().filter(is_safe);
        let url = url.ok_or_else(|| BadIssuer::Address(address.to_owned()))?;
        let authorities = authorities.map(certificates).transpose()?.unwrap_or_default();
        Ok(Self::Web { url, authorities })
    }

    /// A file, which must hold a key from the start: nobody else would put one there.
    pub fn file(path: &Path) -> Result<Self, BadIssuer> {
        let json = fs::read(path).map_err(|error| BadIssuer::File(path.to_owned(), error))?;
        let keys = keys::read(&json).and_then(|keys| if keys.is_empty() { Err(BadKeySet::Useless) } else { Ok(keys) });
        keys.map_err(|error| BadIssuer::Keys(path.to_owned(), error))?;
        Ok(Self::File(path.to_owned()))
    }
}

/// Whether nobody between here and there can change what is fetched.
fn is_safe(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    !host.is_empty() && (url.scheme() == Some(&Scheme::HTTPS) || (url.scheme() == Some(&Scheme::HTTP) && is_here))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BadIssuer> {
    let wrong = |error| BadIssuer::Authorities(path.to_owned(), error);
    let read = CertificateDer::pem_file_iter(path).map_err(wrong)?.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    if read.is_empty() { Err(wrong(pem::Error::NoItemsFound)) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for good in ["https://id.example/keys", "http://127.0.0.1:8080/jwks", "http://[::1]/k", "http://localhost:1/k"]
        {
            assert!(KeySource::web(good, None).is_ok(), "{good}");
        }
        for bad in
            ["http://id.example/keys", "ftp://id.example", "id.example/keys", "/keys", "", "http://127.0.0.1.evil"]
        {
            assert!(matches!(KeySource::web(bad, None), Err(BadIssuer::Address(_))), "{bad}");
        }
    }

    #[test]
    fn an_issuer_is_a_url_and_has_an_audience() {
        let keys = || KeySource::web("https://id.example/keys", None).unwrap();
        assert!(Issuer::new("https://id.example/realms/sales", "otdel", keys()).is_ok());
        for bad in ["", "init", "https://id.example|x", "id.example"] {
            assert!(matches!(Issuer::new(bad, "otdel", keys()), Err(BadIssuer::Name(_))), "{bad}");
        }
        assert!(matches!(Issuer::new("https://id.example", " ", keys()), Err(BadIssuer::Audience)));
    }

    #[test]
    fn a_file_that_is_no_key_set_is_told_at_once() {
        let missing = KeySource::file(Path::new("/no/such/file")).unwrap_err();
        assert!(missing.to_string().starts_with("/no/such/file cannot be read"), "{missing}");
        let useless = KeySource::file(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(useless, BadIssuer::Keys(..)), "{useless}");
        let no_ca = KeySource::web("https://id.example/keys", Some(Path::new("/dev/null"))).unwrap_err();
        assert!(matches!(no_ca, BadIssuer::Authorities(..)), "{no_ca}");
    }
}
