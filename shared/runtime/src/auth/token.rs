use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use moka::sync::Cache;
use otdel_api::leads::Role;
use prost::Message as _;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use super::principal::Principal;
use crate::clock::system_now;

/// The metadata that carries the internal token. What comes from outside under this name is thrown away by the gateway.
pub const TOKEN_HEADER: &str = "otdel-token";

/// How long a token is good for, in seconds. Long enough for the longest chain of calls, short enough for a change of
/// rights.
const LIFETIME_S: i64 = 60;

/// How far the clocks of two machines may be apart, in seconds. Without it every callee whose clock is a moment behind
/// refuses what was minted just now. A token that was stolen is good for so much longer.
const SKEW_S: i64 = 30;

/// How long a minted or verified token is kept: a signature costs 25 µs and its check 46 µs. A change of rights waits at
/// most this long on top of the directory's.
const CACHED: Duration = Duration::from_secs(5);

/// What a token says.
#[derive(Clone, PartialEq, prost::Message)]
struct Claims {
    /// `principals/{uuid}` or `service:{name}`.
    #[prost(string, tag = "1")]
    subject: String,
    /// The service that signed.
    #[prost(string, tag = "2")]
    issuer: String,
    #[prost(string, tag = "3")]
    person: String,
    #[prost(enumeration = "Role", repeated, tag = "4")]
    roles: Vec<i32>,
    #[prost(string, repeated, tag = "5")]
    permissions: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    teams: Vec<String>,
    #[prost(int64, tag = "7")]
    directory_version: i64,
    /// Seconds since 1970.
    #[prost(int64, tag = "8")]
    expires_at: i64,
    /// Whether it speaks for no more than `only`, which may be nothing.
    #[prost(bool, tag = "9")]
    narrowed: bool,
    #[prost(string, repeated, tag = "10")]
    only: Vec<String>,
}

/// A service's own name and key: what it signs with.
#[derive(Clone)]
pub struct Identity(Arc<Signer>);

struct Signer {
    service: &'static str,
    key: Ed25519KeyPair,
    minted: Cache<String, String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.service).finish_non_exhaustive()
    }
}

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the token key of {service} is not an Ed25519 key in PKCS#8")]
pub struct BadKey {
    service: &'static str,
}

impl Identity {
    /// The identity of a service with its private key (Ed25519, PKCS#8 in DER).
    pub fn new(service: &'static str, pkcs8: &[u8]) -> Result<Self, BadKey> {
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map_err(|_| BadKey { service })?;
        let minted = Cache::builder().max_capacity(100_000).time_to_live(CACHED).build();
        Ok(Self(Arc::new(Signer { service, key, minted })))
    }

    /// The service.
    pub fn service(&self) -> &'static str {
        self.0.service
    }

    /// The public key that verifies what it signs.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.key.public_key().as_ref().to_vec()
    }

    /// A token for the service acting as itself.
    pub fn own_token(&self) -> String {
        self.mint(&Claims { subject: format!("service:{}", self.0.service), ..Claims::default() })
    }

    /// A token for somebody the gateway let in. `permissions` are those that the principal holds beside its roles'; with
    /// `only` the token speaks for no more than these of all that it holds.
    pub fn token_for(
        &self,
        principal: &Principal,
        permissions: &[String],
        only: Option<&[String]>,
        directory_version: i64,
    ) -> String {
        self.mint(&Claims {
            subject: principal.name.clone(),
            person: principal.person.map(|person| person.to_string()).unwrap_or_default(),
            roles: principal.roles.iter().map(|role| *role as i32).collect(),
            permissions: permissions.to_vec(),
            teams: principal.teams.iter().map(ToString::to_string).collect(),
            directory_version,
            narrowed: only.is_some(),
            only: only.unwrap_or_default().to_vec(),
            ..Claims::default()
        })
    }

    fn mint(&self, claims: &Claims) -> String {
        let mut key = format!("{}@{}", claims.subject, claims.directory_version);
        if claims.narrowed {
            key.push('#');
            key.push_str(&claims.only.join(","));
        }
        self.0.minted.get_with(key, || {
            let claims = Claims {
                issuer: self.0.service.to_owned(),
                expires_at: system_now().timestamp() + LIFETIME_S,
                ..claims.clone()
            };
            self.sign(&claims)
        })
    }

    fn sign(&self, claims: &Claims) -> String {
        let body = claims.encode_to_vec();
        let signature = self.0.key.sign(&body);
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&body), URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// The public keys of the services by name: what a service verifies with.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<HashMap<String, Vec<u8>>>,
    verified: Cache<String, Arc<Principal>>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keyring").field(&self.keys.keys()).finish()
    }
}

/// Why a token does not let its bearer in. Said in the log; a caller learns only that it is not let in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is not of the form of a token.
    #[error("token is malformed")]
    Malformed,
    /// Its issuer is not a service with a key here, or the signature is not the issuer's.
    #[error("token is not signed by a known service")]
    Signature,
    /// Its time is over, or further away than a token lives.
    #[error("token has expired")]
    Expired,
    /// Its issuer may not speak for its subject.
    #[error("token speaks for a subject that its issuer may not speak for")]
    Subject,
}

impl Keyring {
    /// The public keys (Ed25519, 32 bytes) by the services' names.
    pub fn new(keys: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let verified = Cache::builder().max_capacity(100_000).time_to_live(CACHED).build();
        Self { keys: Arc::new(keys.into_iter().collect()), verified }
    }

    /// The principal that a token speaks for.
    pub fn verify(&self, token: &str) -> Result<Arc<Principal>, BadToken> {
        if let Some(principal) = self.verified.get(token) {
            return Ok(principal);
        }
        let (body, signature) = token.split_once('.').ok_or(BadToken::Malformed)?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| BadToken::Malformed)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| BadToken::Malformed)?;
        let claims = Claims::decode(body.as_slice()).map_err(|_| BadToken::Malformed)?;
        let key = self.keys.get(&claims.issuer).ok_or(BadToken::Signature)?;
        UnparsedPublicKey::new(&ED25519, key).verify(&body, &signature).map_err(|_| BadToken::Signature)?;

        let left = claims.expires_at - system_now().timestamp();
        // What is cached may live on for as long as the cache keeps it.
        if left + SKEW_S < i64::try_from(CACHED.as_secs()).unwrap_or(0) || left > LIFETIME_S + SKEW_S {
            return Err(BadToken::Expired);
        }
        let principal = Arc::new(claims.into_principal()?);
        self.verified.insert(token.to_owned(), principal.clone());
        Ok(principal)
    }
}

impl Claims {
    /// The gateway speaks for people and systems, every service for itself alone.
    fn into_principal(self) -> Result<Principal, BadToken> {
        if let Some(service) = self.subject.strip_prefix("service:") {
            return if service == self.issuer { Ok(Principal::service(service)) } else { Err(BadToken::Subject) };
        }
        if self.issuer != "gateway" || !self.subject.starts_with("principals/") {
            return Err(BadToken::Subject);
        }
        let person = match self.person.as_str() {
            "" => None,
            name => Some(name.parse().map_err(|_| BadToken::Malformed)?),
        };
        let roles = self.roles().collect();
        let teams = self.teams.iter().map(|team| team.parse()).collect::<Result<_, _>>();
        let teams = teams.map_err(|_| BadToken::Malformed)?;
        let principal = Principal::new(self.subject.clone(), person, roles, &self.permissions, teams);
        Ok(if self.narrowed { principal.narrowed(&self.only) } else { principal })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::rand::SystemRandom;

    fn identity(service: &'static str) -> Identity {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Identity::new(service, pkcs8.as_ref()).unwrap()
    }

    fn ring(identities: &[&Identity]) -> Keyring {
        Keyring::new(identities.iter().map(|one| (one.service().to_owned(), one.public_key())))
    }

    fn somebody() -> Principal {
        let name = otdel_types::PrincipalId::new().to_string();
        Principal::new(name, None, vec![Role::Manager], &["events.read".into()], vec![])
    }

    #[test]
    fn a_token_gives_back_who_it_was_minted_for() {
        let gateway = identity("gateway");
        let who = somebody();
        let token = gateway.token_for(&who, &["events.read".into()], None, 7);
        let seen = ring(&[&gateway]).verify(&token).unwrap();
        assert_eq!(seen.name, who.name);
        assert_eq!(seen.permissions().collect::<Vec<_>>(), who.permissions().collect::<Vec<_>>());
    }

    #[test]
    fn a_narrowed_token_gives_no_more_than_it_names_and_is_no_others() {
        let gateway = identity("gateway");
        let (who, ring) = (somebody(), ring(&[&gateway]));
        let permissions = |only: Option<&[&str]>| {
            let only = only.map(|only| only.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
            let token = gateway.token_for(&who, &["events.read".into()], only.as_deref(), 7);
            ring.verify(&token).unwrap().permissions().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(permissions(None), who.permissions().collect::<Vec<_>>());
        // What the principal lacks is not given by naming it, and to be told who one is needs no naming.
        assert_eq!(permissions(Some(&["leads.read", "payments.write"])), ["caller.read", "leads.read"]);
        assert_eq!(permissions(Some(&[])), ["caller.read"]);
        assert_eq!(permissions(None), who.permissions().collect::<Vec<_>>());
    }

    #[test]
    fn a_service_speaks_for_itself_alone() {
        let (gateway, billing) = (identity("gateway"), identity("billing"));
        let ring = ring(&[&gateway, &billing]);
        assert_eq!(ring.verify(&billing.own_token()).unwrap().as_service(), Some("billing"));
        assert_eq!(ring.verify(&billing.token_for(&somebody(), &[], None, 1)).unwrap_err(), BadToken::Subject);
        let forged = billing.mint(&Claims { subject: "service:gateway".into(), ..Claims::default() });
        assert_eq!(ring.verify(&forged).unwrap_err(), BadToken::Subject);
    }

    #[test]
    fn clocks_may_be_apart_and_tokens_do_not_live_for_ever() {
        let billing = identity("billing");
        let ring = ring(&[&billing]);
        let expiring_in = |seconds: i64| {
            let (subject, issuer) = ("service:billing".to_owned(), "billing".to_owned());
            let expires_at = system_now().timestamp() + seconds;
            billing.sign(&Claims { subject, issuer, expires_at, ..Claims::default() })
        };
        // Fresh ones of an issuer whose clock is ahead, and old ones where ours is.
        for good in [LIFETIME_S + 1, LIFETIME_S + SKEW_S - 1, 0, -SKEW_S + 10] {
            assert!(ring.verify(&expiring_in(good)).is_ok(), "{good}");
        }
        for bad in [LIFETIME_S + SKEW_S + 5, i64::from(u32::MAX), -SKEW_S, -1000] {
            assert_eq!(ring.verify(&expiring_in(bad)).unwrap_err(), BadToken::Expired, "{bad}");
        }
    }

    #[test]
    fn a_token_of_another_key_or_with_another_body_is_refused() {
        let (gateway, other) = (identity("gateway"), identity("gateway"));
        let ring = ring(&[&gateway]);
        assert_eq!(ring.verify(&other.own_token()).unwrap_err(), BadToken::Signature);
        let (one, two) = (gateway.own_token(), gateway.token_for(&somebody(), &[], None, 1));
        let mixed = format!("{}.{}", one.split_once('.').unwrap().0, two.split_once('.').unwrap().1);
        assert_eq!(ring.verify(&mixed).unwrap_err(), BadToken::Signature);
        for garbage in ["", ".", "a.b", "no token"] {
            assert!(ring.verify(garbage).is_err());
        }
    }
}
