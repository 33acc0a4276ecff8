//! Page sizes and page tokens of lists (AIP-158).
//!
//! A token tells where a page ended and carries a hash of the request's other arguments, because a position in one list
//! means nothing in another. It is no authorization and is neither signed nor secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Datelike as _, Utc};
use uuid::Uuid;

const DEFAULT_PAGE: i64 = 50;
const LARGEST_PAGE: i64 = 200;

/// The first byte of a token tells its kind and version, so that one kind is never read as another.
const KEYSET_V1: u8 = 1;
const POSITION_V1: u8 = 2;

/// Why a page token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// The text was not made by a list of this kind.
    #[error("is not a token of this list")]
    Unknown,
    /// The token was made for a request with other filters or another order.
    #[error("belongs to other arguments")]
    OtherArguments,
}

/// A page size below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must not be negative")]
pub struct BadPageSize;

/// The last row of a page of a list in the order of `(created_at desc, id desc)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// A hash of the request's other arguments.
    pub arguments: u64,
    /// When the row was created, to the microsecond, as PostgreSQL stores it.
    pub created: DateTime<Utc>,
    /// The row's id.
    pub id: Uuid,
}

impl Token {
    /// Writes the token as base64url without padding. What is finer than a microsecond is dropped.
    pub fn encode(&self) -> String {
        let mut bytes = [0; 33];
        let (head, id) = bytes.split_at_mut(17);
        head.copy_from_slice(&number_bytes(KEYSET_V1, self.arguments, self.created.timestamp_micros()));
        id.copy_from_slice(self.id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that was made for a request of the same `arguments`.
    pub fn decode(text: &str, arguments: u64) -> Result<Self, BadToken> {
        let bytes = bytes_of::<33>(text)?;
        let (head, id) = bytes.split_first_chunk::<17>().ok_or(BadToken::Unknown)?;
        let micros = read_number(KEYSET_V1, *head, arguments)?;
        // No row was created in other years, and PostgreSQL knows fewer of them than can be written here.
        let created = DateTime::from_timestamp_micros(micros).filter(|created| (1..=9999).contains(&created.year()));
        let created = created.ok_or(BadToken::Unknown)?;
        let id = Uuid::from_slice(id).map_err(|_| BadToken::Unknown)?;
        Ok(Self { arguments, created, id })
    }
}

/// The last row of a page of a list in the order of a whole number, such as a feed's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PositionToken {
    /// A hash of the request's other arguments.
    pub arguments: u64,
    /// The row's place in the order.
    pub position: i64,
}

impl PositionToken {
    /// Writes the token as base64url without padding.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(number_bytes(POSITION_V1, self.arguments, self.position))
    }

    /// Reads a token that was made for a request of the same `arguments`.
    pub fn decode(text: &str, arguments: u64) -> Result<Self, BadToken> {
        let position = read_number(POSITION_V1, bytes_of(text)?, arguments)?;
        Ok(Self { arguments, position })
    }
}

/// Decides how many rows a page has: 0 means 50, more than 200 means 200.
pub fn page_size(asked: i32) -> Result<i64, BadPageSize> {
    match i64::from(asked) {
        ..0 => Err(BadPageSize),
        0 => Ok(DEFAULT_PAGE),
        rows => Ok(rows.min(LARGEST_PAGE)),
    }
}

/// Lays out what both kinds of token begin with: the kind, the arguments and a number, most significant byte first.
fn number_bytes(kind: u8, arguments: u64, number: i64) -> [u8; 17] {
    let mut bytes = [kind; 17];
    let (arguments_to, number_to) = bytes[1..].split_at_mut(8);
    arguments_to.copy_from_slice(&arguments.to_be_bytes());
    number_to.copy_from_slice(&number.to_be_bytes());
    bytes
}

fn read_number(kind: u8, bytes: [u8; 17], arguments: u64) -> Result<i64, BadToken> {
    let [found_kind, rest @ ..] = bytes;
    let (found_arguments, number) = rest.split_first_chunk::<8>().ok_or(BadToken::Unknown)?;
    if found_kind != kind {
        return Err(BadToken::Unknown);
    }
    if u64::from_be_bytes(*found_arguments) != arguments {
        return Err(BadToken::OtherArguments);
    }
    number.try_into().map(i64::from_be_bytes).map_err(|_| BadToken::Unknown)
}

/// Decodes a token of exactly `N` bytes. A longer text is refused before memory is taken for it.
fn bytes_of<const N: usize>(text: &str) -> Result<[u8; N], BadToken> {
    let mut bytes = [0; N];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(length) if length == N => Ok(bytes),
        _ => Err(BadToken::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first and the last microsecond of the years 1 to 9999.
    fn years() -> (i64, i64) {
        let micros = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant").timestamp_micros();
        (micros("0001-01-01T00:00:00Z"), micros("9999-12-31T23:59:59.999999Z"))
    }

    fn token() -> impl Strategy<Value = Token> {
        let (earliest, latest) = years();
        (any::<u64>(), earliest..=latest, any::<u128>()).prop_map(|(arguments, micros, id)| Token {
            arguments,
            created: DateTime::from_timestamp_micros(micros).expect("in range"),
            id: Uuid::from_u128(id),
        })
    }

    #[test]
    fn sizes_are_bounded() {
        for (asked, rows) in [(0, 50), (1, 1), (200, 200), (201, 200), (i32::MAX, 200)] {
            assert_eq!(page_size(asked), Ok(rows));
        }
        assert_eq!(page_size(-1), Err(BadPageSize));
        assert_eq!(page_size(i32::MIN), Err(BadPageSize));
    }

    #[test]
    fn what_is_finer_than_a_microsecond_is_dropped() {
        let created = DateTime::from_timestamp(1, 1_999).expect("in range");
        let token = Token { arguments: 0, created, id: Uuid::nil() };
        let read = Token::decode(&token.encode(), 0).expect("a token");
        assert_eq!(read.created, DateTime::from_timestamp(1, 1_000).expect("in range"));
    }

    /// What a token of this instant would look like.
    fn text_at(micros: i64) -> String {
        let mut bytes = [0; 33];
        bytes[..17].copy_from_slice(&number_bytes(KEYSET_V1, 7, micros));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn the_years_of_tokens_are_1_to_9999() {
        let (earliest, latest) = years();
        for (micros, known) in [(earliest, true), (earliest - 1, false), (latest, true), (latest + 1, false)] {
            assert_eq!(Token::decode(&text_at(micros), 7).is_ok(), known, "{micros}");
        }
    }

    #[test]
    fn errors_follow_the_name_of_a_field() {
        assert_eq!(BadToken::Unknown.to_string(), "is not a token of this list");
        assert_eq!(BadToken::OtherArguments.to_string(), "belongs to other arguments");
    }

    proptest! {
        #[test]
        fn sizes_are_never_more_than_asked(asked: i32) {
            match page_size(asked) {
                Ok(rows) => {
                    prop_assert!(asked >= 0 && (1..=200).contains(&rows));
                    prop_assert!(asked == 0 || rows <= i64::from(asked));
                }
                Err(BadPageSize) => prop_assert!(asked < 0),
            }
        }

        #[test]
        fn tokens_are_read_as_they_were_written(token in token(), position: i64) {
            prop_assert_eq!(Token::decode(&token.encode(), token.arguments), Ok(token));
            let place = PositionToken { arguments: token.arguments, position };
            prop_assert_eq!(PositionToken::decode(&place.encode(), token.arguments), Ok(place));
            let url_safe = |text: String| text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_');
            prop_assert!(url_safe(token.encode()) && url_safe(place.encode()));
        }

        #[test]
        fn instants_of_other_years_are_refused(micros in prop_oneof![i64::MIN..years().0, years().1 + 1..=i64::MAX]) {
            prop_assert_eq!(Token::decode(&text_at(micros), 7), Err(BadToken::Unknown));
        }

        #[test]
        fn other_arguments_are_refused(token in token(), position: i64, other: u64) {
            prop_assume!(other != token.arguments);
            prop_assert_eq!(Token::decode(&token.encode(), other), Err(BadToken::OtherArguments));
            let place = PositionToken { arguments: token.arguments, position };
            prop_assert_eq!(PositionToken::decode(&place.encode(), other), Err(BadToken::OtherArguments));
        }

        #[test]
        fn the_kinds_do_not_mix(token in token(), position: i64, kind in 3_u8..) {
            let (arguments, place) = (token.arguments, PositionToken { arguments: token.arguments, position });
            prop_assert_eq!(PositionToken::decode(&token.encode(), arguments), Err(BadToken::Unknown));
            prop_assert_eq!(Token::decode(&place.encode(), arguments), Err(BadToken::Unknown));
            for kind in [0, KEYSET_V1, kind] {
                let other = URL_SAFE_NO_PAD.encode(number_bytes(kind, arguments, position));
                prop_assert_eq!(PositionToken::decode(&other, arguments), Err(BadToken::Unknown));
            }
        }

        #[test]
        fn damaged_tokens_are_refused(token in token(), cut in 0..44_usize, tail in "[A-Za-z0-9_=-]{1,9}|\\PC{1,4}") {
            let text = token.encode();
            prop_assert_eq!(text.len(), 44);
            prop_assert_eq!(Token::decode(&text[..cut], token.arguments), Err(BadToken::Unknown));
            prop_assert_eq!(Token::decode(&format!("{text}{tail}"), token.arguments), Err(BadToken::Unknown));
        }

        #[test]
        fn a_place_has_one_text(arguments: u64, position: i64, last in "[A-Za-z0-9_-]", tail in "[A-Za-z0-9_=]{1,4}") {
            let text = PositionToken { arguments, position }.encode();
            let changed = format!("{}{last}", &text[..text.len() - 1]);
            if let Ok(read) = PositionToken::decode(&changed, arguments) {
                prop_assert_eq!(read.encode(), changed);
            }
            prop_assert_eq!(PositionToken::decode(&format!("{text}{tail}"), arguments), Err(BadToken::Unknown));
        }

        #[test]
        fn garbage_is_refused(text in "\\PC{0,60}|[A-Za-z0-9_-]{22,46}", arguments: u64) {
            prop_assert!(Token::decode(&text, arguments).is_err());
            prop_assert!(PositionToken::decode(&text, arguments).is_err());
        }
    }
}
