//! How somebody is reached, in the one form in which it is compared.

/// The shortest and longest phone number in digits (ITU-T E.164 and the shortest national numbers in use).
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 5..=15;

/// What stands between the digits of a phone number.
const SEPARATORS: &str = " ()-.+\u{a0}";

/// The longest notation of a phone number, in characters.
const LONGEST_PHONE: usize = 40;

/// How many digits in a row look like a phone number in a text of another purpose.
const LIKE_A_PHONE: usize = 10;

/// Why a phone number or an e-mail address is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadContact {
    /// Not a phone number.
    #[error("must be a phone number of 5 to 15 digits, such as +74951234567")]
    Phone,
    /// A phone number with too much between its digits.
    #[error("must not be longer than 40 characters")]
    LongPhone,
    /// Not an e-mail address.
    #[error("must be an e-mail address, such as name@example.org")]
    Email,
}

/// A phone number as `+` and digits (K3). A number in the national notation of Russia, `8` and ten digits, becomes
/// `+7…`; empty stays empty.
pub fn phone(text: &str) -> Result<String, BadContact> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    if text.chars().count() > LONGEST_PHONE {
        return Err(BadContact::LongPhone);
    }
    let international = text.starts_with('+');
    if !text.chars().all(|letter| letter.is_ascii_digit() || SEPARATORS.contains(letter)) || text.rfind('+') > Some(0) {
        return Err(BadContact::Phone);
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if !PHONE_DIGITS.contains(&digits.len()) {
        return Err(BadContact::Phone);
    }
    match digits.strip_prefix('8') {
        Some(national) if !international && national.len() == 10 => Ok(format!("+7{national}")),
        _ => Ok(format!("+{digits}")),
    }
}

/// An e-mail address as it was given, without the blanks around it; empty stays empty. Only what every address has is
/// asked for: a stricter rule refuses real people.
pub fn email(text: &str) -> Result<String, BadContact> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(String::new());
    }
    let well_formed = text.chars().count() <= 254
        && !text.chars().any(|letter| letter.is_whitespace() || letter.is_control())
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.')
        });
    if well_formed { Ok(text.to_owned()) } else { Err(BadContact::Email) }
}

/// Whether a text that names a source, and so stands in events, seems to say how to reach a person: it holds an e-mail
/// address, or a row of digits as long as a phone number's, with or without separators.
pub fn reaches_a_person(text: &str) -> bool {
    let mut digits = 0;
    text.chars().any(|letter| {
        if letter.is_numeric() {
            digits += 1;
        } else if !SEPARATORS.contains(letter) {
            digits = 0;
        }
        letter == '@' || digits >= LIKE_A_PHONE
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn notations_of_one_number_are_one_number() {
        for text in ["8 (495) 123-45-67", "+74951234567", "+7 495 123 45 67", "8.495.123.45.67"] {
            assert_eq!(phone(text).as_deref(), Ok("+74951234567"), "{text}");
        }
        assert_eq!(phone("112-33"), Ok("+11233".into()));
        assert_eq!(phone(" "), Ok(String::new()));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["1234", "+1234567890123456", "eight", "+7495+1234567", "495,1234567", "++74951234567"] {
            assert_eq!(phone(text), Err(BadContact::Phone), "{text}");
        }
    }

    #[test]
    fn a_phone_number_has_a_longest_notation() {
        let padded = |blanks| format!("+7{}4951234567", " ".repeat(blanks));
        assert_eq!(phone(&padded(28)).as_deref(), Ok("+74951234567"));
        assert_eq!(phone(&padded(29)), Err(BadContact::LongPhone));
    }

    #[test]
    fn sources_are_told_from_persons() {
        for text in [
            "",
            "yandex_direct",
            "spring-2026",
            "e-mail «весна»",
            "campaign 123456",
            "1234_5678_90",
            "spring 2026-01-15",
        ] {
            assert!(!reaches_a_person(text), "{text}");
        }
        for text in ["ivan@example.org", "@ivan", "call 8 (495) 123-45-67", "4951234567", "от +7.495.1234567"] {
            assert!(reaches_a_person(text), "{text}");
        }
    }

    #[test]
    fn addresses_need_a_name_and_a_domain() {
        for text in ["a@b.org", "имя@почта.рф", "o'neil+x@example.co.uk"] {
            assert_eq!(email(text).as_deref(), Ok(text));
        }
        for text in ["a", "@b.org", "a@b", "a@.org", "a@org.", "a b@c.org"] {
            assert_eq!(email(text), Err(BadContact::Email), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(text in "[+0-9 ()-]{0,20}") {
            if let Ok(once) = phone(&text) {
                prop_assert_eq!(phone(&once), Ok(once));
            }
        }

        #[test]
        fn a_phone_number_is_seen_in_any_text(before in "[a-z ]{0,9}", text in "[+]?[0-9](-?[0-9]){9,14}", after in "[a-z ]{0,9}") {
            prop_assert!(phone(&text).is_ok());
            let holding = format!("{before}{text}{after}");
            prop_assert!(reaches_a_person(&holding), "{}", holding);
        }
    }
}
