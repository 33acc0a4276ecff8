//! Tokens as an issuer signs them, and as others would like to.

use std::{fs, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use otdel_runtime::clock::system_now;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Issuer, KeySource, Logins};

const ISSUER: &str = "https://id.example";

struct Ed {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Ed {
    fn new(id: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { id, pair: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap() }
    }

    fn jwk(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "use": "sig", "x": base64(self.pair.public_key().as_ref())})
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let signed = signed_part(header, claims);
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", base64(signature.as_ref()))
    }

    fn good(&self) -> String {
        self.token(&json!({"alg": "EdDSA", "kid": self.id}), &claims(&json!({})))
    }
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn signed_part(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()))
}

fn claims(changed: &Value) -> Value {
    let now = system_now().timestamp();
    let mut all = json!({"iss": ISSUER, "aud": "otdel", "sub": "anna", "iat": now, "exp": now + 300});
    for (name, value) in changed.as_object().unwrap() {
        all[name] = value.clone();
    }
    all
}

/// A key set in a file, which goes with it.
struct Published(PathBuf);

impl Published {
    fn new(keys: &[Value]) -> Self {
        let published = Self(std::env::temp_dir().join(format!("otdel-jwks-{}", Uuid::now_v7())));
        published.publish(keys);
        published
    }

    fn publish(&self, keys: &[Value]) {
        fs::write(&self.0, json!({ "keys": keys }).to_string()).unwrap();
    }

    fn logins(&self) -> Logins {
        Logins::new(Issuer::new(ISSUER, "otdel", KeySource::file(&self.0).unwrap()).unwrap())
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn a_good_token_says_whom_it_is_for() {
    let ed = Ed::new("ed");
    let ec_key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let ec_key =
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec_key.as_ref(), &SystemRandom::new()).unwrap();
    let point = ec_key.public_key().as_ref();
    let ec = json!({"kty": "EC", "crv": "P-256", "kid": "ec", "alg": "ES256",
        "x": base64(&point[1..33]), "y": base64(&point[33..])});
    let published = Published::new(&[ed.jwk(), ec]);
    let logins = published.logins();

    let anna = Some(format!("{ISSUER}|anna"));
    assert_eq!(logins.subject(&ed.good()).await.unwrap(), anna);
    assert_eq!(logins.subject(&ed.good()).await.unwrap(), anna, "from the cache too");
    let signed = signed_part(&json!({"alg": "ES256", "kid": "ec", "typ": "at+jwt"}), &claims(&json!({})));
    let signature = ec_key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    assert_eq!(logins.subject(&format!("{signed}.{}", base64(signature.as_ref()))).await.unwrap(), anna);
    let several = ed.token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims(&json!({"aud": ["mail", "otdel"]})));
    assert_eq!(logins.subject(&several).await.unwrap(), anna);
}

#[tokio::test]
async fn nothing_in_a_token_decides_how_it_is_judged() {
    let (ed, other) = (Ed::new("ed"), Ed::new("ed"));
    let published = Published::new(&[ed.jwk()]);
    let logins = published.logins();
    let by = |header: Value| ed.token(&header, &claims(&json!({})));
    let says = |changed: Value| ed.token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims(&changed));
    let now = system_now().timestamp();
    let unsigned = signed_part(&json!({"alg": "none", "kid": "ed"}), &claims(&json!({})));
    let good = ed.good();
    let (head, body) = good.rsplit_once('.').unwrap();
    // A symmetric signature made with the public key as its secret.
    let confused = signed_part(&json!({"alg": "HS256", "kid": "ed"}), &claims(&json!({})));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, ed.pair.public_key().as_ref());
    let confused = format!("{confused}.{}", base64(ring::hmac::sign(&secret, confused.as_bytes()).as_ref()));
    let bad = [
        ("no signature", format!("{unsigned}.")),
        ("a signature cut off", format!("{head}.")),
        (
            "another body",
            format!("{}.{body}", signed_part(&json!({"alg": "EdDSA", "kid": "ed"}), &claims(&json!({"sub": "x"})))),
        ),
        ("HMAC with the public key", confused),
        ("another's key under the same id", other.good()),
        (
            "a key of its own",
            other.token(&json!({"alg": "EdDSA", "kid": "ed", "jwk": other.jwk()}), &claims(&json!({}))),
        ),
        (
            "an address of keys",
            other.token(&json!({"alg": "EdDSA", "kid": "new", "jku": "https://evil"}), &claims(&json!({}))),
        ),
        ("another algorithm", by(json!({"alg": "ES256", "kid": "ed"}))),
        ("no key", by(json!({"alg": "EdDSA"}))),
        ("an unknown key", by(json!({"alg": "EdDSA", "kid": "unknown"}))),
        ("a critical extension", by(json!({"alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": true}))),
        ("another kind", by(json!({"alg": "EdDSA", "kid": "ed", "typ": "logout+jwt"}))),
        ("another issuer", says(json!({"iss": "https://id.example/"}))),
        ("several issuers", says(json!({"iss": [ISSUER]}))),
        ("another audience", says(json!({"aud": "mail"}))),
        ("no audience", says(json!({"aud": null}))),
        ("an audience with more around", says(json!({"aud": "otdel2"}))),
        ("an end in the past", says(json!({"exp": now - 60, "iat": now - 120}))),
        ("no end", says(json!({"exp": null}))),
        ("an end far away", says(json!({"exp": now + 86_400}))),
        ("a beginning in the future", says(json!({"nbf": now + 120}))),
        ("no subject", says(json!({"sub": ""}))),
        ("three words", "a.b.c".into()),
        ("nothing", String::new()),
        ("dots", "..".into()),
        ("five parts", format!("{}.x.y", ed.good())),
    ];
    for (what, token) in bad {
        assert_eq!(logins.subject(&token).await.unwrap(), None, "{what}");
    }
    assert!(logins.subject(&good).await.unwrap().is_some());
}

#[tokio::test]
async fn a_new_key_is_found_and_asked_for_no_more_often_than_every_ten_seconds() {
    let (old, new) = (Ed::new("old"), Ed::new("new"));
    let published = Published::new(&[old.jwk()]);
    let (keys, start) = (published.logins().keys, Instant::now());
    assert!(keys.find_at("old", start).await.unwrap().is_some());
    published.publish(&[new.jwk()]);
    for seconds in 0..10 {
        let found = keys.find_at("new", start + Duration::from_secs(seconds)).await.unwrap();
        assert!(found.is_none(), "it was looked for just now");
    }
    assert!(keys.find_at("new", start + Duration::from_secs(10)).await.unwrap().is_some());
    assert!(keys.find_at("old", start + Duration::from_secs(10)).await.unwrap().is_none());
}

#[tokio::test]
async fn who_takes_back_the_last_key_lets_nobody_in() {
    let ed = Ed::new("ed");
    let published = Published::new(&[ed.jwk()]);
    let (keys, start) = (published.logins().keys, Instant::now());
    assert!(keys.find_at("ed", start).await.unwrap().is_some());
    published.publish(&[]);
    assert!(keys.find_at("other", start + Duration::from_secs(10)).await.unwrap().is_none());
    assert!(keys.find_at("ed", start + Duration::from_secs(10)).await.unwrap().is_none());
}

#[tokio::test]
async fn what_was_known_last_is_good_for_an_hour_and_then_nobody_can_be_judged() {
    let ed = Ed::new("ed");
    let published = Published::new(&[ed.jwk()]);
    let (keys, start) = (published.logins().keys, Instant::now());
    assert!(keys.find_at("ed", start).await.unwrap().is_some());
    fs::write(&published.0, "<html>").unwrap();
    let at = |minutes| start + Duration::from_mins(minutes);
    assert!(keys.find_at("unknown", at(59)).await.unwrap().is_none());
    assert!(keys.find_at("ed", at(60)).await.unwrap().is_some());
    let unknown = keys.find_at("ed", at(61)).await.unwrap_err();
    assert_eq!((unknown.code, unknown.reason), (tonic::Code::Unavailable, "ISSUER_UNREACHABLE"));
    published.publish(&[ed.jwk()]);
    assert!(keys.find_at("ed", at(62)).await.unwrap().is_some());
}
