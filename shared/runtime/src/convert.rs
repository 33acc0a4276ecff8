//! From typed values to messages. None of it can fail: what is held was validated when it was received.
//!
//! The one way back is [`money_of`], which reads what a service of ours has said.

use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use otdel_api::common;
use otdel_types::{BadMoney, Money, decimal_text};
use rust_decimal::Decimal;

/// A timestamp.
pub fn timestamp(instant: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: instant.timestamp(),
        nanos: i32::try_from(instant.timestamp_subsec_nanos().min(999_999_999)).unwrap_or_default(),
    }
}

/// A date.
pub fn date(date: NaiveDate) -> common::Date {
    common::Date {
        year: date.year(),
        month: i32::try_from(date.month()).unwrap_or_default(),
        day: i32::try_from(date.day()).unwrap_or_default(),
    }
}

/// A sum of money.
pub fn money(money: Money) -> common::Money {
    let (units, nanos) = money.units_nanos();
    common::Money { currency_code: money.currency.code().to_owned(), units, nanos }
}

/// The sum that a message of our own says.
///
/// A fact is read without the limits of a request ([`Violations::money`](crate::violations::Violations::money)): it has
/// happened, and a consumer that refuses it stops for ever.
pub fn money_of(money: &common::Money) -> Result<Money, BadMoney> {
    Money::from_units_nanos(&money.currency_code, money.units, money.nanos)
}

/// A decimal number.
pub fn decimal(value: &Decimal) -> common::Decimal {
    common::Decimal { value: decimal_text(value) }
}

#[cfg(test)]
mod tests {
    use otdel_types::Currency;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_sum_is_read_as_it_was_said(minor: i64) {
            let sum = Money { minor, currency: Currency::RUB };
            prop_assert_eq!(money_of(&money(sum)), Ok(sum));
        }
    }
}
