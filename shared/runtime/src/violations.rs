//! Reading a request: every field becomes a typed value, or a violation; all violations are told at once.

use std::fmt;

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use otdel_api::common;
use otdel_types::{Currency, Money, PositionToken, ResourceId, Token, parse_decimal, parse_name};
use rust_decimal::Decimal;
use uuid::Uuid;

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path, such as `lines[2].unit_price`.
    pub field: String,
    /// What is wrong with it.
    pub text: String,
}

/// Everything wrong with one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

/// How much of them a refusal tells, in bytes: a refusal travels in headers, of which gRPC's clients take 8 KiB, and in
/// base64 this much is 6 KiB. Some hundred violations fit.
const MOST_TOLD: usize = 4 * 1024;

/// What a violation takes beside its words: tags and lengths.
const FRAME: usize = 8;

/// How long a list of fields in a sentence is at most, in bytes.
const LONGEST_LIST: usize = 256;

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = match self.0.as_slice() {
            [one] => return write!(f, "{}: {}", one.field, one.text),
            all => all,
        };
        let fields: Vec<_> = all.iter().map(|violation| violation.field.as_str()).collect();
        let named = fitting(fields.iter().map(|field| field.len()), LONGEST_LIST);
        write!(f, "{} fields are wrong: {}", all.len(), fields[..named].join(", "))?;
        match all.len() - named {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for Violations {}

/// The longest text that any field takes, in characters, where its proto names no other limit.
const LONGEST_TEXT: usize = 10_000;

/// The largest sum that a field takes, in minor units: 900,000 of them added up still fit 64 bits. Who makes sums out of
/// fields keeps to it too, so that whatever was said can be added up as well.
pub const MOST_MINOR_UNITS: u64 = 10_000_000_000_000;
const _: () = assert!(MOST_MINOR_UNITS <= i64::MAX.unsigned_abs() / 900_000);

/// How many things of these sizes there is room for, one after the other.
fn fitting(sizes: impl Iterator<Item = usize>, room: usize) -> usize {
    let sums = sizes.scan(0, |sum, size| {
        *sum += size;
        Some(*sum)
    });
    sums.take_while(|sum| *sum <= room).count()
}

impl Violations {
    /// The first ones, as many as a refusal has room for, and how many it leaves out.
    pub(crate) fn told(&self) -> (&[Violation], usize) {
        let sizes = self.0.iter().map(|violation| violation.field.len() + violation.text.len() + FRAME);
        let (told, left_out) = self.0.split_at(fitting(sizes, MOST_TOLD));
        (told, left_out.len())
    }

    /// Notes that a field is wrong.
    pub fn add(&mut self, field: impl Into<String>, text: impl fmt::Display) {
        self.0.push(Violation { field: field.into(), text: text.to_string() });
    }

    /// Keeps the value, or notes why the field is wrong and goes on.
    pub fn take<T, E: fmt::Display>(&mut self, field: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(field, error)).ok()
    }

    /// Whether a sub-message is there.
    pub fn message<'a, T>(&mut self, field: &str, message: Option<&'a T>) -> Option<&'a T> {
        if message.is_none() {
            self.add(field, "must be given");
        }
        message
    }

    /// A resource name, such as `leads/{uuid}`.
    pub fn name<I: ResourceId>(&mut self, field: &str, text: &str) -> Option<I> {
        self.take(field, parse_name(text))
    }

    /// A resource name or nothing.
    pub fn optional_name<I: ResourceId>(&mut self, field: &str, text: &str) -> Option<Option<I>> {
        if text.is_empty() { Some(None) } else { self.name(field, text).map(Some) }
    }

    /// The id of a mutating request.
    pub fn request_id(&mut self, text: &str) -> Option<Uuid> {
        match Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() && text.len() == 36 => Some(id),
            _ => {
                self.add("request_id", "must be a UUID, such as 0190b3c1-7d5a-7c3e-9f59-2f1f6f0d3a11");
                None
            }
        }
    }

    /// The version that the caller has read. Empty: not checked.
    pub fn etag(&mut self, field: &str, text: &str) -> Option<Option<i64>> {
        if text.is_empty() {
            return Some(None);
        }
        self.take(field, text.parse::<i64>().map(Some).map_err(|_| "is not an etag of this resource"))
    }

    /// A text of 1 to `longest` characters, without control characters but line breaks and tabs.
    pub fn text(&mut self, field: &str, text: &str, longest: usize) -> Option<String> {
        if text.trim().is_empty() {
            self.add(field, "must not be empty");
            return None;
        }
        self.optional_text(field, text, longest)
    }

    /// A text of at most `longest` characters, or nothing.
    pub fn optional_text(&mut self, field: &str, text: &str, longest: usize) -> Option<String> {
        let longest = longest.min(LONGEST_TEXT);
        if text.chars().count() > longest {
            self.add(field, format_args!("must not be longer than {longest} characters"));
            None
        } else if text.chars().any(|letter| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t')) {
            self.add(field, "must not contain control characters");
            None
        } else {
            Some(text.to_owned())
        }
    }

    /// A value of an enum that is neither unspecified nor unknown.
    pub fn choice<E: TryFrom<i32> + Default + PartialEq>(&mut self, field: &str, value: i32) -> Option<E> {
        match E::try_from(value) {
            Ok(choice) if choice != E::default() => Some(choice),
            Ok(_) => {
                self.add(field, "must be given");
                None
            }
            Err(_) => {
                self.add(field, format_args!("has no value {value}"));
                None
            }
        }
    }

    /// A value of an enum, or nothing where it is unspecified.
    pub fn optional_choice<E: TryFrom<i32> + Default + PartialEq>(
        &mut self,
        field: &str,
        value: i32,
    ) -> Option<Option<E>> {
        if value == 0 { Some(None) } else { self.choice(field, value).map(Some) }
    }

    /// An instant of the years 1 to 9999.
    pub fn instant(&mut self, field: &str, value: Option<&prost_types::Timestamp>) -> Option<DateTime<Utc>> {
        let Some(value) = value else {
            self.add(field, "must be given");
            return None;
        };
        let nanos = u32::try_from(value.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        let instant = nanos
            .and_then(|nanos| DateTime::from_timestamp(value.seconds, nanos - nanos % 1_000))
            .filter(|instant| (1..=9999).contains(&instant.year()));
        if instant.is_none() {
            self.add(field, "must be an instant of the years 1 to 9999");
        }
        instant
    }

    /// An instant, or nothing.
    pub fn optional_instant(
        &mut self,
        field: &str,
        value: Option<&prost_types::Timestamp>,
    ) -> Option<Option<DateTime<Utc>>> {
        if value.is_none() { Some(None) } else { self.instant(field, value).map(Some) }
    }

    /// A whole date of the years 1 to 9999.
    pub fn date(&mut self, field: &str, value: Option<&common::Date>) -> Option<NaiveDate> {
        let Some(value) = value else {
            self.add(field, "must be given");
            return None;
        };
        let date = match (value.year, u32::try_from(value.month), u32::try_from(value.day)) {
            (1..=9999, Ok(month), Ok(day)) => NaiveDate::from_ymd_opt(value.year, month, day),
            _ => None,
        };
        if date.is_none() {
            self.add(field, "must be a date with year, month and day");
        }
        date
    }

    /// A sum of money that its currency can express of at most [`MOST_MINOR_UNITS`].
    pub fn money(&mut self, field: &str, value: Option<&common::Money>) -> Option<Money> {
        let Some(value) = value else {
            self.add(field, "must be given");
            return None;
        };
        let money = self.take(field, Money::from_units_nanos(&value.currency_code, value.units, value.nanos))?;
        if money.minor.unsigned_abs() > MOST_MINOR_UNITS {
            self.add(field, "must not be more than 10,000,000,000,000 of its smallest unit");
            return None;
        }
        Some(money)
    }

    /// A currency by its ISO 4217 code.
    pub fn currency(&mut self, field: &str, code: &str) -> Option<Currency> {
        self.take(field, Currency::from_code(code))
    }

    /// A decimal number of bounded size.
    pub fn decimal(
        &mut self,
        field: &str,
        value: Option<&common::Decimal>,
        integer_digits: u32,
        scale: u32,
    ) -> Option<Decimal> {
        let Some(value) = value else {
            self.add(field, "must be given");
            return None;
        };
        self.take(field, parse_decimal(&value.value, integer_digits, scale))
    }

    /// The number of rows of a page.
    pub fn page_size(&mut self, asked: i32) -> Option<i64> {
        self.take("page_size", otdel_types::page_size(asked))
    }

    /// The place after which a page begins, in a list ordered by creation. `arguments` as `page::arguments` makes them.
    pub fn page_token(&mut self, text: &str, arguments: u64) -> Option<Option<Token>> {
        if text.is_empty() { Some(None) } else { self.take("page_token", Token::decode(text, arguments).map(Some)) }
    }

    /// The same in a list ordered by a number.
    pub fn position_token(&mut self, text: &str, arguments: u64) -> Option<Option<PositionToken>> {
        if text.is_empty() {
            Some(None)
        } else {
            self.take("page_token", PositionToken::decode(text, arguments).map(Some))
        }
    }

    /// Nothing, or all that was noted.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(many: usize) -> Violations {
        let of = |at| Violation { field: format!("lines[{at}].vat_rate"), text: "must be given".into() };
        Violations((0..many).map(of).collect())
    }

    #[test]
    fn a_sentence_names_the_first_fields_and_counts_the_rest() {
        assert_eq!(wrong(1).to_string(), "lines[0].vat_rate: must be given");
        assert_eq!(wrong(2).to_string(), "2 fields are wrong: lines[0].vat_rate, lines[1].vat_rate");
        let text = wrong(1000).to_string();
        assert!(
            text.starts_with("1000 fields are wrong: lines[0].vat_rate, ") && text.ends_with(" and 986 more"),
            "{text}"
        );
    }

    #[test]
    fn what_is_told_fits_and_the_rest_is_counted() {
        assert_eq!(wrong(100).told(), (wrong(100).0.as_slice(), 0));
        let all = wrong(1000);
        let (told, left_out) = all.told();
        assert_eq!(told.len() + left_out, 1000);
        assert!((100..150).contains(&told.len()), "{}", told.len());
        let mut long = Violations::default();
        long.add("x".repeat(MOST_TOLD), "is no field");
        assert_eq!(long.told(), ([].as_slice(), 1));
    }
}
