//! The content of a contract and its hash, to which an approval is bound.

use std::{fmt, str::FromStr};

use otdel_types::{ClientId, DealId, decimal_text};
use ring::digest::{Context, SHA256};

use super::line::{Lines, Offer};

/// What both sides agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// The deal.
    pub deal: DealId,
    /// The other side.
    pub client: ClientId,
    /// What is sold, and for how much.
    pub lines: Lines,
}

/// SHA-256 of a contract's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentHash(pub [u8; 32]);

/// A text that is not a document hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits, as the contract shows them")]
pub struct BadHash;

impl Content {
    /// The hash of the content: equal for equal contents and another for any other one.
    ///
    /// It is taken over a canonical text: each value with its length before it, so that no value runs into the next, and
    /// numbers in their shortest form, so that `1.50` and `1.5` are the same. The sums follow from the lines, and the ids
    /// of lines say nothing about what is agreed on: both are left out.
    pub fn hash(&self) -> DocumentHash {
        let mut text = Canonical::begin("otdel.contracts.v1");
        text.put(&self.deal.to_string());
        text.put(&self.client.to_string());
        text.put(self.lines.currency.code());
        text.put(&self.lines.all.len().to_string());
        for line in &self.lines.all {
            text.put_offer(&line.offer);
        }
        text.finish()
    }
}

struct Canonical(Context);

impl Canonical {
    /// Begins with the name of the form, so that a later form never gives the hash of this one.
    fn begin(form: &str) -> Self {
        let mut text = Self(Context::new(&SHA256));
        text.put(form);
        text
    }

    fn put(&mut self, value: &str) {
        self.0.update(format!("{}:", value.len()).as_bytes());
        self.0.update(value.as_bytes());
    }

    fn put_offer(&mut self, offer: &Offer) {
        self.put(&offer.display_name);
        self.put(&decimal_text(&offer.quantity));
        self.put(&offer.unit_code);
        self.put(&decimal_text(&offer.unit_price));
        self.put(offer.vat_rate.text());
        self.put(if offer.vat_included { "included" } else { "on top" });
    }

    fn finish(self) -> DocumentHash {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        DocumentHash(hash)
    }
}

impl fmt::Display for DocumentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for DocumentHash {
    type Err = BadHash;

    /// Reads 64 hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, BadHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(BadHash);
        }
        let mut hash = [0; 32];
        for (to, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *to = text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok()).ok_or(BadHash)?;
        }
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::line::tests::{any_currency, any_offer, offer};
    use otdel_types::{Currency, VatRate};
    use proptest::prelude::*;
    use rust_decimal::Decimal;

    fn content(offers: Vec<Offer>, currency: Currency) -> Content {
        let lines = Lines::price(offers, currency).unwrap();
        Content { deal: DealId::new(), client: ClientId::new(), lines }
    }

    fn with_offers(content: &Content, offers: Vec<Offer>) -> Content {
        Content { lines: Lines::price(offers, content.lines.currency).unwrap(), ..content.clone() }
    }

    fn offers(content: &Content) -> Vec<Offer> {
        content.lines.all.iter().map(|line| line.offer.clone()).collect()
    }

    #[test]
    fn the_form_of_the_hash_stays() {
        let deal = "deals/0198c0de-0000-7abc-8def-0123456789ab".parse().unwrap();
        let client = "clients/0198c0de-0000-7abc-8def-0123456789ac".parse().unwrap();
        let lines = Lines::price(vec![offer("2.50", "100.000", VatRate::Twenty, true)], Currency::RUB).unwrap();
        let hash = Content { deal, client, lines }.hash();
        // Recorded approvals are bound to it: another value here would void every one of them.
        assert_eq!(hash.to_string(), "eb1dc99e4a730914ecf21f38a8c075c62a9b15baf759828e2b60d8216322ddee");
    }

    #[test]
    fn the_same_number_in_another_spelling_is_the_same_content() {
        let one = content(vec![offer("1.5", "10", VatRate::Zero, false)], Currency::RUB);
        let other = with_offers(&one, vec![offer("1.500", "10.000000", VatRate::Zero, false)]);
        assert_eq!(one.hash(), other.hash());
    }

    #[test]
    fn no_value_runs_into_the_next() {
        let named = |display_name: &str, unit_code: &str| {
            let with = |offer: Offer| Offer { display_name: display_name.into(), unit_code: unit_code.into(), ..offer };
            vec![with(offer("1", "1", VatRate::None, false))]
        };
        let one = content(named("ab", "c"), Currency::RUB);
        assert_ne!(one.hash(), with_offers(&one, named("a", "bc")).hash());
        assert_ne!(one.hash(), with_offers(&one, named("ab1:1", "c")).hash());
    }

    #[test]
    fn a_hash_is_read_as_it_was_written() {
        let hash = DocumentHash([0xa5; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(hash.to_string().to_uppercase().parse(), Ok(hash));
        for text in ["", "a5", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65), &"ё".repeat(32)] {
            assert_eq!(text.parse::<DocumentHash>(), Err(BadHash), "{text}");
        }
    }

    /// Changes one thing about a line.
    fn edit(offer: &mut Offer, which: u8) {
        match which {
            0 => offer.display_name.push('!'),
            1 => offer.quantity += Decimal::new(1, 3),
            2 => offer.unit_code.push('!'),
            3 => offer.unit_price += Decimal::new(1, 6),
            4 => {
                let next = if offer.vat_rate == VatRate::Ten { VatRate::Five } else { VatRate::Ten };
                offer.vat_rate = next;
            }
            _ => offer.vat_included = !offer.vat_included,
        }
    }

    proptest! {
        #[test]
        fn any_edit_of_a_line_changes_the_hash(
            asked in prop::collection::vec(any_offer(), 1..8),
            currency in any_currency(),
            at: prop::sample::Index,
            which in 0_u8..6,
        ) {
            let before = content(asked, currency);
            let mut edited = offers(&before);
            let at = at.index(edited.len());
            edit(&mut edited[at], which);
            prop_assert_ne!(before.hash(), with_offers(&before, edited).hash());
        }

        #[test]
        fn any_edit_of_the_list_or_the_head_changes_the_hash(
            asked in prop::collection::vec(any_offer(), 1..8),
            more in any_offer(),
        ) {
            let before = content(asked, Currency::RUB);
            let mut longer = offers(&before);
            longer.push(more);
            prop_assert_ne!(before.hash(), with_offers(&before, longer).hash());
            let mut shorter = offers(&before);
            shorter.pop();
            prop_assert_ne!(before.hash(), with_offers(&before, shorter).hash());
            let mut turned = offers(&before);
            turned.reverse();
            let same = turned == offers(&before);
            prop_assert_eq!(before.hash() == with_offers(&before, turned).hash(), same);
            prop_assert_ne!(before.hash(), Content { deal: DealId::new(), ..before.clone() }.hash());
            prop_assert_ne!(before.hash(), Content { client: ClientId::new(), ..before.clone() }.hash());
            let elsewhere = Currency::from_code("EUR").unwrap();
            let priced = Lines::price(offers(&before), elsewhere).unwrap();
            prop_assert_ne!(before.hash(), Content { lines: priced, ..before.clone() }.hash());
        }

        #[test]
        fn equal_contents_have_equal_hashes(asked in prop::collection::vec(any_offer(), 1..8)) {
            let one = content(asked, Currency::RUB);
            let again = Content { lines: one.lines.copied(), ..one.clone() };
            prop_assert_eq!(one.hash(), again.hash());
        }

        #[test]
        fn garbage_is_no_hash(text in "\\PC{0,70}|[0-9a-fA-F]{60,66}") {
            prop_assert_eq!(text.parse::<DocumentHash>().is_ok(), text.len() == 64 && text.bytes().all(|one| one.is_ascii_hexdigit()));
        }
    }
}
