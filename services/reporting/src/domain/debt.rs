//! The order of debts and the place in it where a page ends.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use otdel_types::{BadToken, ClientId, Currency, Money};
use uuid::Uuid;

/// The first byte of a token tells its kind and version: those of `otdel_types::page` are 1 and 2.
const DEBT_V1: u8 = 3;

const LENGTH: usize = 1 + 8 + 8 + 16 + 3;

/// What a client owes in a currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt {
    /// The client.
    pub client: ClientId,
    /// The sum of the invoices.
    pub invoiced: Money,
    /// How much of them is paid.
    pub paid: Money,
    /// How much is not.
    pub outstanding: Money,
}

/// The last row of a page of debts. They are in the order of the currency, because sums of two cannot be compared, then of
/// the sum, the largest first, then of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The currency.
    pub currency: Currency,
    /// How much is not paid, in minor units.
    pub outstanding: i64,
    /// The client.
    pub client: ClientId,
}

impl Place {
    /// The place of a debt.
    pub fn of(debt: &Debt) -> Self {
        Self { outstanding: debt.outstanding.minor, client: debt.client, currency: debt.outstanding.currency }
    }

    /// Writes a page token for a request of these `arguments`: base64url without padding.
    pub fn encode(&self, arguments: u64) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(DEBT_V1);
        bytes.extend(arguments.to_be_bytes());
        bytes.extend(self.outstanding.to_be_bytes());
        bytes.extend(self.client.0.as_bytes());
        bytes.extend(self.currency.code().bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that was made for a request of the same `arguments`.
    pub fn decode(text: &str, arguments: u64) -> Result<Self, BadToken> {
        let mut bytes = [0; LENGTH];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(LENGTH) if bytes[0] == DEBT_V1 => Self::read(&bytes[1..], arguments),
            _ => Err(BadToken::Unknown),
        }
    }

    fn read(bytes: &[u8], arguments: u64) -> Result<Self, BadToken> {
        let (found, bytes) = bytes.split_first_chunk::<8>().ok_or(BadToken::Unknown)?;
        let (outstanding, bytes) = bytes.split_first_chunk::<8>().ok_or(BadToken::Unknown)?;
        let (client, currency) = bytes.split_first_chunk::<16>().ok_or(BadToken::Unknown)?;
        if u64::from_be_bytes(*found) != arguments {
            return Err(BadToken::OtherArguments);
        }
        let code = std::str::from_utf8(currency).map_err(|_| BadToken::Unknown)?;
        Ok(Self {
            outstanding: i64::from_be_bytes(*outstanding),
            client: ClientId(Uuid::from_bytes(*client)),
            currency: Currency::from_code(code).map_err(|_| BadToken::Unknown)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use otdel_types::PositionToken;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn other_tokens_are_refused() {
        let place = Place { outstanding: 100, client: ClientId::new(), currency: Currency::RUB };
        let token = place.encode(7);
        assert_eq!(Place::decode(&token, 8), Err(BadToken::OtherArguments));
        let other_kind = PositionToken { arguments: 7, position: 1 }.encode();
        for text in ["", "x", &other_kind, &token[1..], &format!("{token}A"), &token.replace('A', "=")] {
            assert_eq!(Place::decode(text, 7), Err(BadToken::Unknown), "{text}");
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        let last = bytes.len() - 1;
        bytes[last] = b'?';
        assert_eq!(Place::decode(&URL_SAFE_NO_PAD.encode(bytes), 7), Err(BadToken::Unknown));
    }

    proptest! {
        #[test]
        fn tokens_are_read_as_they_were_written(
            outstanding in any::<i64>(), client in any::<u128>(), arguments in any::<u64>(),
            code in prop::sample::select(vec!["RUB", "JPY", "KWD"]),
        ) {
            let currency = Currency::from_code(code).expect("a currency");
            let place = Place { outstanding, client: ClientId(Uuid::from_u128(client)), currency };
            prop_assert_eq!(Place::decode(&place.encode(arguments), arguments), Ok(place));
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_-]{0,60}|\\PC{0,60}") {
            let _ = Place::decode(&text, 0);
        }
    }
}
