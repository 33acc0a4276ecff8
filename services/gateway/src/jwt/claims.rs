//! What a login token says.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

/// How far the issuer's clock may be from ours.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);

/// How long a token may live: whoever is locked out at the issuer calls until its token ends, unless the directory is
/// told. An hour is what issuers give unless told otherwise, and the least that some can be told.
pub(super) const LONGEST_LIFE: TimeDelta = TimeDelta::hours(1);

/// The longest subject, in characters (OpenID Connect Core 2).
const LONGEST_SUBJECT: usize = 255;

/// The claims that are looked at. Issuer and audience are compared where the signature is checked; here they must only be
/// of the right form: a list of issuers is nobody's name.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(rename = "iss")]
    _iss: String,
    sub: String,
    exp: Instant,
    iat: Instant,
    nbf: Option<Instant>,
}

/// Seconds since 1970. Issuers may write fractions.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Deserialize)]
struct Instant(f64);

/// Which claim lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("it has ended")]
    Ended,
    #[error("it is not yet good")]
    Early,
    #[error("it lives too long")]
    LongLived,
    #[error("its subject is empty, too long or not text")]
    Subject,
}

impl Claims {
    /// Whether it is good at this moment.
    pub(super) fn expect_current(&self, now: DateTime<Utc>) -> Result<(), Unfit> {
        let (early, late) = (Instant::of(now - LEEWAY), Instant::of(now + LEEWAY));
        // Written so that what is not a number is refused.
        let (goes_on, has_begun) = (self.exp > early, self.iat <= late && self.nbf.is_none_or(|nbf| nbf <= late));
        if !goes_on {
            return Err(Unfit::Ended);
        }
        if !has_begun {
            return Err(Unfit::Early);
        }
        let life = self.exp.0 - self.iat.0;
        if !(0.0..=Instant::seconds(LONGEST_LIFE)).contains(&life) {
            return Err(Unfit::LongLived);
        }
        Ok(())
    }

    /// Whom it is for, within the issuer.
    pub(super) fn sub(&self) -> Result<&str, Unfit> {
        let fits = !self.sub.is_empty()
            && self.sub.chars().count() <= LONGEST_SUBJECT
            && !self.sub.chars().any(char::is_control);
        if fits { Ok(&self.sub) } else { Err(Unfit::Subject) }
    }
}

impl Instant {
    fn of(instant: DateTime<Utc>) -> Self {
        Self(Self::seconds(instant - DateTime::UNIX_EPOCH))
    }

    fn seconds(span: TimeDelta) -> f64 {
        span.as_seconds_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn claims(changed: &serde_json::Value) -> Result<(), Unfit> {
        let mut all = json!({"iss": "https://id.example", "sub": "anna", "iat": NOW - 60, "exp": NOW + 240});
        for (name, value) in changed.as_object().unwrap() {
            all[name] = value.clone();
        }
        let claims: Claims = serde_json::from_value(all).unwrap();
        claims.sub()?;
        claims.expect_current(DateTime::from_timestamp(NOW, 0).unwrap())
    }

    #[test]
    fn a_token_is_good_from_its_beginning_to_its_end_and_a_little_around() {
        for good in [
            json!({}),
            json!({"exp": NOW - 29}),
            json!({"exp": NOW + 1, "iat": NOW}),
            json!({"iat": NOW + 30, "exp": NOW + 60}),
            json!({"nbf": NOW + 30}),
            json!({"iat": format!("{}.5", NOW - 1).parse::<f64>().unwrap()}),
            json!({"iat": NOW, "exp": NOW + 3600}),
        ] {
            assert_eq!(claims(&good), Ok(()), "{good}");
        }
        for (bad, why) in [
            (json!({"exp": NOW - 30}), Unfit::Ended),
            (json!({"exp": -1, "iat": -2}), Unfit::Ended),
            (json!({"iat": NOW + 31, "exp": NOW + 60}), Unfit::Early),
            (json!({"nbf": NOW + 31}), Unfit::Early),
            (json!({"iat": NOW, "exp": NOW + 3601}), Unfit::LongLived),
            (json!({"iat": 0}), Unfit::LongLived),
            (json!({"exp": 1e300}), Unfit::LongLived),
            (json!({"iat": NOW + 20, "exp": NOW + 10}), Unfit::LongLived),
        ] {
            assert_eq!(claims(&bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_subject_is_text_of_bounded_length() {
        assert_eq!(claims(&json!({"sub": "я".repeat(255)})), Ok(()));
        for bad in ["", "a\u{0}b", &"a".repeat(256)] {
            assert_eq!(claims(&json!({"sub": bad})), Err(Unfit::Subject), "{bad}");
        }
    }

    #[test]
    fn instants_and_issuers_of_another_form_are_no_claims() {
        for bad in [
            json!({"iss": "x", "sub": "a", "iat": 1}),
            json!({"iss": "x", "sub": "a", "exp": 2}),
            json!({"iss": "x", "sub": "a", "exp": "2", "iat": 1}),
            json!({"iss": ["x"], "sub": "a", "exp": 2, "iat": 1}),
            json!({"iss": "x", "sub": 7, "exp": 2, "iat": 1}),
            json!({"iss": "x", "sub": "a", "exp": 2, "iat": 1, "nbf": "1"}),
        ] {
            assert!(serde_json::from_value::<Claims>(bad.clone()).is_err(), "{bad}");
        }
    }
}
