//! Until when a certificate is good.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use otdel_runtime::clock::system_now;
use x509_parser::pem::Pem;

/// Until when the certificate in this file (PEM) is good, in seconds since 1970; of a chain the first one, which is the
/// holder's own.
pub fn good_until(path: &Path) -> Result<i64> {
    let text = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let what = || format!("{} holds no certificate", path.display());
    let first = Pem::iter_from_buffer(&text).next().with_context(what)?.with_context(what)?;
    let certificate = first.parse_x509().with_context(what)?;
    Ok(certificate.validity().not_after.timestamp())
}

/// Tells until when the certificate that a process has just read is good, in its metrics, and in its log where that is soon.
/// `side` is who is shown it: the other roles (`mesh`) or the callers (`door`).
pub fn tell(service: &'static str, side: &'static str, folder: &Path) -> Result<()> {
    let until = good_until(&folder.join("cert.pem"))?;
    #[expect(clippy::cast_precision_loss, reason = "a date is far below 2^53 seconds")]
    metrics::gauge!("otdel_certificate_expires_seconds", "service" => service, "side" => side).set(until as f64);
    let days = (until - system_now().timestamp()).div_euclid(24 * 60 * 60);
    if days < SOON_DAYS {
        tracing::warn!(service, side, days, "the certificate is about to expire");
    }
    Ok(())
}

/// When it is time to do something: `OtdelCertificateExpires` in `deploy/alerts.yaml` says the same.
const SOON_DAYS: i64 = 14;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::private;

    #[test]
    fn the_end_of_the_first_certificate_of_a_chain_is_told_and_what_is_none_is_refused() {
        let folder = std::env::temp_dir().join(format!("otdel-certificate-{}", private::random_text().unwrap()));
        private::make_folder(&folder).unwrap();
        let made = |year: i32| {
            let mut params = CertificateParams::new(vec!["crm.example".into()]).unwrap();
            params.not_after = rcgen::date_time_ymd(year, 1, 1);
            params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
        };
        let path = folder.join("cert.pem");
        private::write_file(&path, (made(2031) + &made(2041)).as_bytes()).unwrap();
        assert_eq!(good_until(&path).unwrap(), 1_924_992_000, "the first of January 2031");
        private::write_file(&path, b"nothing").unwrap();
        assert!(good_until(&path).unwrap_err().to_string().contains("cert.pem holds no certificate"));
        fs::remove_dir_all(folder).unwrap();
    }
}
