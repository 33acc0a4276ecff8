use std::time::Duration;

use http::{HeaderMap, HeaderValue};

/// How long the caller waits, as a header.
pub(crate) const TIMEOUT_HEADER: &str = "grpc-timeout";

/// How long the caller waits: up to eight digits and a unit. What is malformed counts as absent, as in tonic.
pub fn parse(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(TIMEOUT_HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// The header's value for a time that is left, in the finest unit that eight digits hold, rounded down.
pub(crate) fn format(left: Duration) -> HeaderValue {
    const EIGHT_DIGITS: u128 = 99_999_999;
    let (amount, unit) = if left.as_micros() <= EIGHT_DIGITS {
        (left.as_micros(), 'u')
    } else if left.as_millis() <= EIGHT_DIGITS {
        (left.as_millis(), 'm')
    } else {
        (u128::from(left.as_secs()).min(EIGHT_DIGITS), 'S')
    };
    HeaderValue::try_from(format!("{amount}{unit}")).unwrap_or_else(|_| HeaderValue::from_static("0u"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Option<Duration> {
        parse(&HeaderMap::from_iter([(http::HeaderName::from_static(TIMEOUT_HEADER), text.parse().unwrap())]))
    }

    #[test]
    fn every_unit_is_understood() {
        assert_eq!(parsed("2H"), Some(Duration::from_hours(2)));
        assert_eq!(parsed("3M"), Some(Duration::from_mins(3)));
        assert_eq!(parsed("42S"), Some(Duration::from_secs(42)));
        assert_eq!(parsed("13m"), Some(Duration::from_millis(13)));
        assert_eq!(parsed("2u"), Some(Duration::from_micros(2)));
        assert_eq!(parsed("82n"), Some(Duration::from_nanos(82)));
        assert_eq!(parsed("99999999H"), Some(Duration::from_hours(99_999_999)));
    }

    #[test]
    fn what_is_malformed_counts_as_absent() {
        for text in ["", "S", "1", "1s", "123456789S", "-1S", "+1S", "oneS", "1 S", "1.5S"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(parse(&HeaderMap::new()), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_never_longer(micros in 0_u64..90_000_000_000_000) {
            let left = Duration::from_micros(micros);
            let read = parsed(format(left).to_str().unwrap()).unwrap();
            prop_assert!(read <= left);
            prop_assert!(left.saturating_sub(read) < Duration::from_secs(1));
        }
    }
}
