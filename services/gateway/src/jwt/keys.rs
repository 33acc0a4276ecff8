//! The keys of an issuer, from a JSON Web Key Set (RFC 7517).

use std::{collections::HashMap, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;

/// The longest set, in bytes: issuers' have some kilobytes.
pub(super) const LONGEST: usize = 256 * 1024;

/// The most keys that a set has: issuers have one or two for each client at most.
const MOST_KEYS: usize = 100;

/// The keys that tokens may be signed with, by the ids that tokens call them.
pub(super) type Keys = HashMap<String, Arc<Key>>;

/// A key and the one algorithm that it is for.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// Why a set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadKeySet {
    /// It is no JSON, or has no list of keys.
    #[error("it is not a JSON Web Key Set: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It is longer than any set is.
    #[error("it is longer than 256 KiB")]
    Long,
    /// No token could be judged by it.
    #[error("none of its keys is named by `kid` and for EdDSA, ES256 or RS256 signatures")]
    Useless,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

/// Reads a set. Keys that are for something else are left out: issuers publish those for encryption beside them. One
/// without any key is a word too: the issuer has taken all of them back.
pub(super) fn read(json: &[u8]) -> Result<Keys, BadKeySet> {
    if json.len() > LONGEST {
        return Err(BadKeySet::Long);
    }
    let set: Set = serde_json::from_slice(json)?;
    let mut keys = Keys::new();
    for (id, key) in set.keys.into_iter().take(MOST_KEYS).filter_map(key) {
        keys.entry(id).or_insert_with(|| Arc::new(key));
    }
    Ok(keys)
}

fn key(json: serde_json::Value) -> Option<(String, Key)> {
    let jwk: Jwk = serde_json::from_value(json).ok()?;
    let common = &jwk.common;
    let for_signatures = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    let (algorithm, named) = algorithm(&jwk.algorithm)?;
    // A key that says what it is for is for nothing else.
    let as_named = common.key_algorithm.is_none_or(|said| said == named);
    let id = common.key_id.clone().filter(|_| for_signatures && as_named)?;
    Some((id, Key { algorithm, key: DecodingKey::from_jwk(&jwk).ok()? }))
}

/// The algorithm that a kind of key is for: one each, so that no token chooses.
fn algorithm(parameters: &AlgorithmParameters) -> Option<(Algorithm, KeyAlgorithm)> {
    match parameters {
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            Some((Algorithm::EdDSA, KeyAlgorithm::EdDSA))
        }
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => {
            Some((Algorithm::ES256, KeyAlgorithm::ES256))
        }
        AlgorithmParameters::RSA(_) => Some((Algorithm::RS256, KeyAlgorithm::RS256)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ed(changed: &serde_json::Value) -> serde_json::Value {
        let mut key =
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        for (name, value) in changed.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    fn ids(keys: &[serde_json::Value]) -> Vec<String> {
        let set = json!({ "keys": keys }).to_string();
        let mut ids: Vec<_> = read(set.as_bytes()).map(|keys| keys.into_keys().collect()).unwrap_or_default();
        ids.sort();
        ids
    }

    #[test]
    fn keys_for_something_else_are_left_out_and_the_others_taken() {
        let ec = json!({"kty": "EC", "crv": "P-256", "kid": "b", "use": "sig", "alg": "ES256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"});
        let rsa = json!({"kty": "RSA", "kid": "c", "e": "AQAB", "n": "u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u"});
        let left_out = [
            ed(&json!({"kid": "enc", "use": "enc"})),
            ed(&json!({"kid": "ops", "key_ops": ["sign"]})),
            ed(&json!({"kid": "other", "alg": "ES256"})),
            ed(&json!({"kid": "curve", "crv": "X25519"})),
            json!({"kty": "RSA", "kid": "wrap", "alg": "RSA-OAEP-256", "e": "AQAB", "n": "AQAB"}),
            json!({"kty": "RSA", "kid": "longer", "alg": "RS512", "e": "AQAB", "n": "AQAB"}),
            json!({"kty": "oct", "kid": "secret", "alg": "HS256", "k": "c2VjcmV0"}),
            json!({"kty": "EC", "crv": "P-384", "kid": "p384", "x": "AA", "y": "AA"}),
            json!({"kty": "unheard-of", "kid": "new"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}),
            json!("no key"),
        ];
        for one in &left_out {
            assert_eq!(ids(std::slice::from_ref(one)), [""; 0], "{one}");
        }
        let mut all = left_out.to_vec();
        all.extend([ed(&json!({})), ec, rsa]);
        assert_eq!(ids(&all), ["a", "b", "c"]);
    }

    #[test]
    fn what_is_no_set_is_refused_and_an_empty_one_is_a_set() {
        for bad in ["", "[]", "{}", "{\"keys\": 7}", "<html>"] {
            assert!(matches!(read(bad.as_bytes()), Err(BadKeySet::Malformed(_))), "{bad}");
        }
        let long = format!("{{\"keys\": []{}}}", " ".repeat(LONGEST));
        assert!(matches!(read(long.as_bytes()), Err(BadKeySet::Long)));
        assert!(read(b"{\"keys\": []}").unwrap().is_empty());
    }
}
