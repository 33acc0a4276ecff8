//! Why calls are refused, as the `errors.proto` of each package tells it.

use std::{collections::BTreeMap, sync::LazyLock};

use otdel_runtime::{auth::DESCRIPTORS, server::code_name};
use prost_reflect::EnumValueDescriptor;
use tonic::Code;

use crate::comments::comment;

/// A reason for a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// Its stable name, such as `REQUEST_ID_REUSED`.
    pub(crate) name: String,
    /// The codes that it comes with.
    pub(crate) codes: Vec<Code>,
    /// What it means, in one clause that is the same for every refusal.
    pub(crate) title: String,
    /// What it means and what to do, with the names of its metadata.
    pub(crate) text: String,
}

/// Why each service refuses calls: its own reasons, and after them those that all services share.
static REASONS: LazyLock<BTreeMap<String, Vec<Reason>>> = LazyLock::new(|| {
    let enums = DESCRIPTORS.all_enums().filter(|reasons| reasons.name() == "ErrorReason");
    let declared = enums.filter_map(|reasons| {
        let package = reasons.package_name().split('.').nth(1)?.to_owned();
        let values = reasons.values().filter(|value| value.number() != 0);
        Some((package, values.map(|value| Reason::read(&value)).collect()))
    });
    let mut declared: BTreeMap<String, Vec<Reason>> = declared.collect();
    let shared = declared.remove("type").unwrap_or_default();
    for own in declared.values_mut() {
        let others = shared.iter().filter(|reason| own.iter().all(|own| own.name != reason.name));
        let others: Vec<_> = others.cloned().collect();
        own.extend(others);
    }
    declared
});

/// The reasons for which a service refuses calls.
pub(crate) fn of_service(service: &str) -> &'static [Reason] {
    REASONS.get(service).map_or(&[], Vec::as_slice)
}

/// A reason by its name and the domain that refused, such as `leads.otdel`.
pub(crate) fn find(domain: &str, name: &str) -> Option<&'static Reason> {
    of_service(domain.strip_suffix(".otdel")?).iter().find(|reason| reason.name == name)
}

impl Reason {
    /// A comment begins with the codes, goes on with what the reason means, and ends with what to do.
    fn read(value: &EnumValueDescriptor) -> Self {
        let text = comment(&value.parent_enum().parent_file(), value.path());
        let (codes, text) = text.split_once(". ").unwrap_or(("", text));
        let title = text.split(['.', ';']).next().unwrap_or(text);
        Self {
            name: value.name().trim_start_matches("ERROR_REASON_").to_owned(),
            codes: codes.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_').filter_map(code).collect(),
            title: title.to_owned(),
            text: text.to_owned(),
        }
    }
}

fn code(name: &str) -> Option<Code> {
    (1..=16).map(Code::from_i32).find(|code| code_name(*code) == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_by_its_comment() {
        let person = find("leads.otdel", "PERSON_NOT_FOUND").unwrap();
        assert_eq!(person.codes, [Code::FailedPrecondition, Code::NotFound]);
        assert_eq!(person.title, "There is no such person");
        assert_eq!(person.text, "There is no such person. Metadata: `person`.");
        let shared = find("billing.otdel", "OVERLOADED").unwrap();
        assert_eq!(
            (shared.codes.as_slice(), shared.title.as_str()),
            (&[Code::Unavailable][..], "Too much is asked at once")
        );
        assert!(find("leads.otdel", "NO_SUCH_REASON").is_none() && find("elsewhere", "OVERLOADED").is_none());
    }

    #[test]
    fn every_reason_has_codes_and_a_title_and_is_there_once() {
        assert!(REASONS.len() >= 5, "{:?}", REASONS.keys());
        for service in REASONS.keys() {
            let mut names = std::collections::HashSet::new();
            for reason in of_service(service) {
                assert!(!reason.codes.is_empty(), "{reason:?}");
                assert!(reason.title.len() > 10 && !reason.title.contains('\n'), "{reason:?}");
                assert!(names.insert(&reason.name), "{reason:?} is told twice");
            }
        }
    }
}
