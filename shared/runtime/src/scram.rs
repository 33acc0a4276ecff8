//! What PostgreSQL keeps of a password (SCRAM-SHA-256, RFC 5802 and RFC 7677), made here so that the password itself never
//! stands in a statement.

use std::num::NonZeroU32;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    digest::{SHA256, digest},
    hmac,
    pbkdf2::{PBKDF2_HMAC_SHA256, derive},
    rand::{SecureRandom as _, SystemRandom},
};
use secrecy::{ExposeSecret as _, SecretString};

/// PostgreSQL's own number of rounds.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("is not zero");

/// The machine gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(crate) struct NoRandomness;

/// The verifier of a password under a fresh salt. Passwords are ASCII, so there is nothing to normalise (`SASLprep`).
pub(crate) fn verifier(password: &SecretString) -> Result<String, NoRandomness> {
    let mut salt = [0_u8; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| NoRandomness)?;
    Ok(with_salt(password.expose_secret(), &salt))
}

fn with_salt(password: &str, salt: &[u8]) -> String {
    let mut salted = [0_u8; 32];
    derive(PBKDF2_HMAC_SHA256, ROUNDS, salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let stored = digest(&SHA256, hmac::sign(&key, b"Client Key").as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let text = |bytes: &[u8]| STANDARD.encode(bytes);
    format!("SCRAM-SHA-256${ROUNDS}:{}${}:{}", text(salt), text(stored.as_ref()), text(server.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_postgresql_makes_of_the_same_password_and_salt() {
        // The password and salt of the example in RFC 7677, section 3.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            with_salt("pencil", &salt),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }
}
