use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message as _;
use uuid::Uuid;

/// A place in a feed that can be recognised: a reader that comes back with a cursor learns whether the feed before it is
/// still the one it has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The feed's epoch.
    pub epoch: Uuid,
    /// The last position read; 0 before the first.
    pub position: i64,
    /// The chain's hash there; empty before the first.
    pub hash: Vec<u8>,
}

/// A text that no feed has given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor of a feed")]
pub struct BadCursor;

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(bytes = "vec", tag = "1")]
    epoch: Vec<u8>,
    /// The position that comes next: never 0, so that a cursor that was cut off is not taken for one before the first event.
    #[prost(int64, tag = "2")]
    next: i64,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
}

/// Longer than any cursor. A longer text is refused before memory is taken for it.
const LONGEST: usize = 128;

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = Wire {
            epoch: self.epoch.as_bytes().to_vec(),
            next: self.position.saturating_add(1),
            hash: self.hash.clone(),
        };
        f.write_str(&URL_SAFE_NO_PAD.encode(wire.encode_to_vec()))
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        if text.len() > LONGEST {
            return Err(BadCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor)?;
        let Wire { epoch, next, hash } = Wire::decode(bytes.as_slice()).map_err(|_| BadCursor)?;
        let epoch = Uuid::from_slice(&epoch).map_err(|_| BadCursor)?;
        let cursor = Self { epoch, position: next.checked_sub(1).ok_or(BadCursor)?, hash };
        // A place has one text, so that texts may be compared.
        if cursor.is_well_formed() && cursor.to_string() == text { Ok(cursor) } else { Err(BadCursor) }
    }
}

impl Cursor {
    fn is_well_formed(&self) -> bool {
        match self.position {
            0 => self.hash.is_empty(),
            1.. => self.hash.len() == 32,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursor() -> impl Strategy<Value = Cursor> {
        (any::<u128>(), prop_oneof![Just(0), 1..i64::MAX], any::<[u8; 32]>()).prop_map(|(epoch, position, hash)| {
            Cursor {
                epoch: Uuid::from_u128(epoch),
                position,
                hash: if position == 0 { Vec::new() } else { hash.to_vec() },
            }
        })
    }

    proptest! {
        #[test]
        fn cursors_are_read_as_they_were_written(cursor in cursor()) {
            let text = cursor.to_string();
            prop_assert!(text.len() <= LONGEST);
            prop_assert!(text.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
            prop_assert_eq!(text.parse(), Ok(cursor));
        }

        #[test]
        fn damaged_cursors_are_refused_or_are_others(cursor in cursor(), at in 0..40_usize, letter in "[A-Za-z0-9_-]") {
            let mut text = cursor.to_string();
            prop_assert_eq!(text[..at.min(text.len() - 1)].parse::<Cursor>(), Err(BadCursor));
            let at = at % text.len();
            text.replace_range(at..=at, &letter);
            if let Ok(read) = text.parse::<Cursor>() {
                prop_assert_eq!(read.to_string(), text);
            }
        }

        #[test]
        fn garbage_is_refused(text in "\\PC{0,200}|[A-Za-z0-9_-]{0,200}") {
            prop_assert_eq!(text.parse::<Cursor>(), Err(BadCursor));
        }
    }

    #[test]
    fn a_position_and_its_hash_go_together() {
        let epoch = Uuid::from_u128(7);
        for (position, hash) in [(0, vec![1; 32]), (1, vec![]), (1, vec![1; 31]), (-1, vec![1; 32])] {
            assert_eq!(Cursor { epoch, position, hash }.to_string().parse::<Cursor>(), Err(BadCursor));
        }
    }
}
