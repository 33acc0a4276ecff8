//! Login tokens: JWTs that an OpenID Connect issuer signs for whoever logs in there.
//!
//! A token says who calls and nothing else: what the caller may do is in leads' directory, under the token's issuer and
//! subject. So roles or groups in a token are not looked at, and whom the directory does not know is a stranger with a
//! good token.
//!
//! Nothing in a token decides how it is judged (RFC 8725): the algorithm is that of the issuer's key which the token
//! names, keys come from the configured place alone (`jku`, `jwk`, `x5u` and `x5c` are not looked at), and a token with a
//! critical extension is refused.
//!
//! Time is the machine's, as for API keys: tokens guard against the world outside.

mod claims;
mod fetch;
mod issuer;
mod keys;
mod signatures;
mod store;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use jsonwebtoken::{Header, Validation, decode, decode_header};
use moka::sync::Cache;
use otdel_runtime::{clock::system_now, fault::Fault};
use ring::digest::{SHA256, digest};
use tokio_util::sync::CancellationToken;

pub use self::issuer::{BadIssuer, Issuer, KeySource};
use self::{claims::Claims, keys::Key, store::KeyStore};

/// How long a verified token is not verified again. A signature's check costs up to 200 µs, the look into the cache 5 µs.
/// Neither its end nor the directory waits for this: both are looked at with each call. A key that the issuer takes back
/// does.
const CACHED: Duration = Duration::from_secs(5);

/// So many tokens are remembered, some 300 bytes each.
const MOST_CACHED: u64 = 10_000;

/// Kinds of tokens (`typ`) that let in. Without one it is what everybody issues; others, such as `logout+jwt`, are signed
/// by the same key for other ends.
const KINDS: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// Judges login tokens of one issuer. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Logins {
    issuer: Arc<Issuer>,
    keys: Arc<KeyStore>,
    verified: Cache<[u8; 32], Arc<Verified>>,
}

/// Whom a token is for and until when, as it said.
#[derive(Clone, Debug)]
struct Verified {
    subject: String,
    claims: Claims,
}

/// Why a token lets nobody in. Said in the log; a caller learns only that it is not let in.
#[derive(Debug, thiserror::Error)]
enum BadToken {
    #[error("malformed, badly signed or for others: {0}")]
    Malformed(#[from] jsonwebtoken::errors::Error),
    #[error("kind {0:?} is for other ends")]
    Kind(String),
    #[error("a critical extension is not understood")]
    Critical,
    #[error("no key is named")]
    NoKey,
    #[error("the issuer has no such key")]
    UnknownKey,
    #[error(transparent)]
    Claims(#[from] claims::Unfit),
}

impl Logins {
    pub(crate) fn new(issuer: Issuer) -> Self {
        signatures::install();
        let verified = Cache::builder().max_capacity(MOST_CACHED).time_to_live(CACHED).build();
        let keys = Arc::new(KeyStore::new(issuer.keys.clone()));
        Self { issuer: Arc::new(issuer), keys, verified }
    }

    /// Keeps the issuer's keys until it is stopped.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        stop.run_until_cancelled(self.keys.keep()).await;
    }

    /// How the directory names whom a token is for: `{issuer}|{subject}`. None: it lets nobody in. UNAVAILABLE: the
    /// issuer's keys are not known.
    pub(crate) async fn subject(&self, token: &str) -> Result<Option<String>, Fault> {
        let now = system_now();
        let digest: [u8; 32] = digest(&SHA256, token.as_bytes()).as_ref().try_into().unwrap_or_default();
        if let Some(verified) = self.verified.get(&digest) {
            return Ok(verified.claims.expect_current(now).is_ok().then(|| verified.subject.clone()));
        }
        match self.verify(token, now).await? {
            Ok(verified) => {
                let subject = verified.subject.clone();
                self.verified.insert(digest, Arc::new(verified));
                Ok(Some(subject))
            }
            Err(cause) => {
                // Strangers must not be able to fill the log.
                tracing::debug!(%cause, "login token refused");
                Ok(None)
            }
        }
    }

    async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Result<Verified, BadToken>, Fault> {
        let kid = match named_key(token) {
            Ok(kid) => kid,
            Err(bad) => return Ok(Err(bad)),
        };
        let key = self.keys.find(&kid).await?;
        Ok(key.ok_or(BadToken::UnknownKey).and_then(|key| self.judge(token, &key, now)))
    }

    fn judge(&self, token: &str, key: &Key, now: DateTime<Utc>) -> Result<Verified, BadToken> {
        let mut rules = Validation::new(key.algorithm);
        rules.set_issuer(&[&self.issuer.name]);
        rules.set_audience(&[&self.issuer.audience]);
        rules.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // Instants are judged with ours, all of them in one place.
        (rules.validate_exp, rules.validate_nbf) = (false, false);
        let claims: Claims = decode(token, &key.key, &rules)?.claims;
        claims.expect_current(now)?;
        Ok(Verified { subject: format!("{}|{}", self.issuer.name, claims.sub()?), claims })
    }
}

/// The key that a token names, which is all that its header is asked for.
fn named_key(token: &str) -> Result<String, BadToken> {
    let Header { typ, crit, kid, .. } = decode_header(token)?;
    if let Some(kind) = typ.filter(|kind| !KINDS.contains(&kind.to_ascii_lowercase().as_str())) {
        return Err(BadToken::Kind(kind));
    }
    if crit.is_some() {
        return Err(BadToken::Critical);
    }
    kid.ok_or(BadToken::NoKey)
}
