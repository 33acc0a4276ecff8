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

/// PostgreSQL's own number of rounds, the least that RFC 7677 recommends: for what a person chose.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("is not zero");

/// For 256 random bits. Rounds make each guess dearer for who has the verifier (RFC 5802, section 9), and those bits are
/// not guessed at any price. Rounds are paid for at each login: sqlx lets other tasks run after every fifth, and tokio
/// lets up to 61 polls pass on each worker before it goes on. Among four tasks that were always ready and worked 50 us at
/// a time, a login of 4,096 rounds took 14 to 34 s on two cores, and one of a single round 30 to 70 ms.
const ONE: NonZeroU32 = NonZeroU32::new(1).expect("is not zero");

/// The machine gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(crate) struct NoRandomness;

/// The verifier of a password under a fresh salt. Passwords are ASCII, so there is nothing to normalise (`SASLprep`).
pub(crate) fn verifier(password: &SecretString) -> Result<String, NoRandomness> {
    let mut salt = [0_u8; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| NoRandomness)?;
    let password = password.expose_secret();
    Ok(with_salt(password, &salt, rounds(password)))
}

/// Passwords that the suite makes are 64 hexadecimal digits. An operator may have put another one in their place.
fn rounds(password: &str) -> NonZeroU32 {
    let is_ours = password.len() == 64 && password.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_ours { ONE } else { ROUNDS }
}

fn with_salt(password: &str, salt: &[u8], rounds: NonZeroU32) -> String {
    let mut salted = [0_u8; 32];
    derive(PBKDF2_HMAC_SHA256, rounds, salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &salted);
    let stored = digest(&SHA256, hmac::sign(&key, b"Client Key").as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let text = |bytes: &[u8]| STANDARD.encode(bytes);
    format!("SCRAM-SHA-256${rounds}:{}${}:{}", text(salt), text(stored.as_ref()), text(server.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_postgresql_makes_of_the_same_password_and_salt() {
        // The password and salt of the example in RFC 7677, section 3.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        assert_eq!(
            with_salt("pencil", &salt, rounds("pencil")),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
    }

    #[test]
    fn only_what_nobody_can_guess_is_not_stretched() {
        let rounds = |password: &str| {
            let kept = verifier(&SecretString::from(password)).unwrap();
            kept.split(['$', ':']).nth(1).unwrap().to_owned()
        };
        assert_eq!(rounds(&"0f".repeat(32)), "1");
        for chosen in ["0f".repeat(31), "0f".repeat(33), "correct horse battery staple".into(), "g".repeat(64)] {
            assert_eq!(rounds(&chosen), "4096", "{chosen}");
        }
    }
}
