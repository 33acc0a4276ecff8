//! An OpenID Connect issuer with a web server of its own, and everything that forgers try.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    http::{StatusCode, header::LOCATION},
    response::IntoResponse as _,
    routing::get,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use otdel_gateway::{KeySource, Quota, Settings};
use otdel_runtime::clock::system_now;
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::AbortHandle};

/// What the issuer calls Otdel.
pub const AUDIENCE: &str = "otdel";

/// A key that signs nothing but what tests make: ring makes no RSA keys, and nobody else is here to make one.
const RSA: &str = include_str!("issuer.rsa");

/// An issuer that publishes its keys on this machine.
pub struct Issuer {
    /// Its name, as in `iss`.
    pub name: String,
    /// Ed25519, named `ed`.
    pub ed: Signer,
    /// P-256, named `ec`.
    pub ec: Signer,
    /// RSA, named `rsa`.
    pub rsa: Signer,
    address: SocketAddr,
    published: Arc<Mutex<Served>>,
    fetched: Arc<AtomicUsize>,
    server: AbortHandle,
}

/// What is answered where keys are asked for.
#[derive(Clone)]
enum Served {
    Text(String),
    Elsewhere(String),
}

/// A key that signs tokens.
pub struct Signer {
    id: String,
    key: Key,
}

enum Key {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl Issuer {
    /// An issuer with three keys, which it publishes.
    pub async fn start() -> Self {
        let published = Arc::new(Mutex::new(Served::Text(String::new())));
        let fetched = Arc::new(AtomicUsize::new(0));
        let (set, count) = (published.clone(), fetched.clone());
        let keys = move || {
            count.fetch_add(1, Ordering::SeqCst);
            let served = set.lock().expect("nobody panicked").clone();
            std::future::ready(match served {
                Served::Text(text) => text.into_response(),
                Served::Elsewhere(address) => (StatusCode::FOUND, [(LOCATION, address)]).into_response(),
            })
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serve = axum::serve(listener, Router::new().route("/keys", get(keys)));
        let server = tokio::spawn(async move { serve.await }).abort_handle();
        let (ed, ec, rsa) = (Signer::ed("ed"), Signer::ec("ec"), Signer::rsa("rsa"));
        let issuer = Self { name: "https://id.example".into(), ed, ec, rsa, address, published, fetched, server };
        issuer.publish(&[&issuer.ed, &issuer.ec, &issuer.rsa]);
        issuer
    }

    /// Publishes these keys and no others.
    pub fn publish(&self, keys: &[&Signer]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        *self.published.lock().expect("nobody panicked") = Served::Text(json!({ "keys": keys }).to_string());
    }

    /// Sends whoever asks for keys to another address.
    pub fn redirect_to(&self, address: &str) {
        *self.published.lock().expect("nobody panicked") = Served::Elsewhere(address.to_owned());
    }

    /// How often keys were fetched.
    pub fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }

    /// A gateway that lets in whom this issuer's tokens are for, and takes so much from each.
    pub fn settings(&self, quota: Option<Quota>) -> Settings {
        let keys = KeySource::web(&self.address_of_keys(), None).expect("this machine");
        let issuer = otdel_gateway::Issuer::new(&self.name, AUDIENCE, keys).expect("an issuer");
        Settings { issuer: Some(issuer), quota }
    }

    /// The same as flags.
    pub fn flags(&self) -> Vec<String> {
        let url = self.address_of_keys();
        ["--oidc-issuer", &self.name, "--oidc-audience", AUDIENCE, "--oidc-jwks-url", &url].map(str::to_owned).to_vec()
    }

    /// Where its keys are.
    pub fn address_of_keys(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// How the directory names somebody who logs in here.
    pub fn login(&self, subject: &str) -> String {
        format!("{}|{subject}", self.name)
    }

    /// What a good token for somebody says.
    pub fn claims(&self, subject: &str) -> Value {
        let now = system_now().timestamp();
        json!({"iss": self.name, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300})
    }

    /// The same with something changed.
    pub fn claims_but(&self, subject: &str, name: &str, value: impl Into<Value>) -> Value {
        let mut claims = self.claims(subject);
        claims[name] = value.into();
        claims
    }

    /// Tokens for somebody that let nobody in, by what is wrong with them.
    pub fn bad_tokens(&self, subject: &str) -> Vec<(&'static str, String)> {
        let (claims, now) = (self.claims(subject), system_now().timestamp());
        let but = |name: &str, value: Value| self.ed.token(&self.claims_but(subject, name, value));
        let forger = Signer::ed("ed");
        let unsigned = signed_part(&json!({"alg": "none", "typ": "JWT", "kid": "ed"}), &claims);
        let own_key = json!({"alg": "EdDSA", "kid": "own", "jwk": forger.jwk()});
        let elsewhere = |name: &str| json!({"alg": "EdDSA", "kid": "own", name: self.address_of_keys()});
        vec![
            ("alg none", format!("{unsigned}.")),
            ("HS256 with a public key", self.ed.confused(&claims)),
            ("HS256 with a public RSA key", self.rsa.confused(&claims)),
            ("an algorithm that is not the key's", self.ed.token_with(&json!({"alg": "RS256", "kid": "rsa"}), &claims)),
            ("an unknown kid", self.ed.token_with(&json!({"alg": "EdDSA", "kid": "nobody's"}), &claims)),
            ("no kid", self.ed.token_with(&json!({"alg": "EdDSA"}), &claims)),
            ("a forger's key", forger.token(&claims)),
            ("a key of its own", forger.token_with(&own_key, &claims)),
            ("keys elsewhere (jku)", forger.token_with(&elsewhere("jku"), &claims)),
            ("keys elsewhere (x5u)", forger.token_with(&elsewhere("x5u"), &claims)),
            ("another issuer", but("iss", "https://id.evil".into())),
            ("another audience", but("aud", "another-system".into())),
            ("no audience", but("aud", Value::Null)),
            (
                "expired",
                self.ed.token(
                    &json!({"iss": self.name, "aud": AUDIENCE, "sub": subject, "iat": now - 600, "exp": now - 300}),
                ),
            ),
            ("no expiry", but("exp", Value::Null)),
            ("expiry in ten years", but("exp", (now + 315_360_000).into())),
            ("not yet good", but("nbf", (now + 600).into())),
            ("a subject whom nobody knows", self.ed.token(&self.claims("nobody"))),
            ("another body", format!("{}.x", signed_part(&json!({"alg": "EdDSA", "kid": "ed"}), &claims))),
            ("cut off", self.ed.token(&claims).chars().take(60).collect()),
        ]
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Signer {
    /// A new Ed25519 key.
    pub fn ed(id: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self { id: id.into(), key: Key::Ed(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key")) }
    }

    /// A new P-256 key.
    pub fn ec(id: &str) -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
        Self { id: id.into(), key: Key::Ec(EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).expect("a key")) }
    }

    /// The RSA key.
    pub fn rsa(id: &str) -> Self {
        let pkcs8 = STANDARD.decode(RSA.split_whitespace().collect::<String>()).expect("base64");
        Self { id: id.into(), key: Key::Rsa(RsaKeyPair::from_pkcs8(&pkcs8).expect("a key")) }
    }

    /// A token that says this, signed as the key's kind is.
    pub fn token(&self, claims: &Value) -> String {
        let algorithm = match self.key {
            Key::Ed(_) => "EdDSA",
            Key::Ec(_) => "ES256",
            Key::Rsa(_) => "RS256",
        };
        self.token_with(&json!({"alg": algorithm, "typ": "JWT", "kid": self.id}), claims)
    }

    /// The same with another header.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let signed = signed_part(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.key {
            Key::Ed(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
            Key::Ec(key) => key.sign(&random, signed.as_bytes()).expect("a signature").as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("a signature");
                signature
            }
        };
        format!("{signed}.{}", base64(&signature))
    }

    /// A token whose symmetric signature is made with the public key, which everybody knows, as its secret.
    fn confused(&self, claims: &Value) -> String {
        let signed = signed_part(&json!({"alg": "HS256", "kid": self.id}), claims);
        let public = match &self.key {
            Key::Ed(key) => key.public_key().as_ref().to_vec(),
            Key::Ec(key) => key.public_key().as_ref().to_vec(),
            Key::Rsa(key) => key.public_key().as_ref().to_vec(),
        };
        let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &public), signed.as_bytes());
        format!("{signed}.{}", base64(signature.as_ref()))
    }

    /// The public key, as issuers publish it.
    fn jwk(&self) -> Value {
        match &self.key {
            Key::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "use": "sig", "x": base64(key.public_key().as_ref())})
            }
            Key::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": self.id, "alg": "ES256", "x": base64(x), "y": base64(y)})
            }
            Key::Rsa(key) => {
                let public = ring::rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "kid": self.id, "use": "sig", "alg": "RS256", "n": base64(&public.n), "e": base64(&public.e)})
            }
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signed_part(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()))
}
