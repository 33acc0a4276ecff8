//! Every reason for a refusal is in a proto, and every one in a proto is given somewhere.

use std::{collections::BTreeSet, path::Path};

use prost_reflect::DescriptorPool;

use crate::walls::{root, sources};

/// The reasons of a package's enum, without their prefix.
fn declared(package: &str) -> BTreeSet<String> {
    let pool = DescriptorPool::decode(otdel_api::DESCRIPTORS).unwrap();
    let reasons = pool.get_enum_by_name(&format!("otdel.{package}.v1.ErrorReason")).unwrap();
    let names = reasons.values().filter(|value| value.number() != 0);
    names.map(|value| value.name().trim_start_matches("ERROR_REASON_").to_owned()).collect()
}

/// The reasons that the code below a folder gives: the first literal after each place where a refusal is made.
fn given(folder: &Path) -> BTreeSet<String> {
    let mut reasons = BTreeSet::new();
    for (path, text) in sources(folder) {
        if path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for maker in ["Fault::new(", "Fault::unavailable(", "Self::unavailable(", "Self::new(Code::"] {
            for after in code.split(maker).skip(1) {
                let literal = after.split('"').nth(1).unwrap_or_default();
                let is_reason =
                    literal.len() > 3 && literal.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
                if is_reason {
                    reasons.insert(literal.to_owned());
                }
            }
        }
    }
    reasons
}

#[test]
fn every_reason_that_is_given_is_declared() {
    let common = declared("type");
    let runtime = given(&root().join("shared/runtime/src"));
    assert!(runtime.len() > 15, "the runtime's reasons were not found: {runtime:?}");
    assert_eq!(runtime.difference(&common).collect::<Vec<_>>(), Vec::<&String>::new(), "of the runtime");
    for service in ["leads", "contracts", "billing", "reporting", "gateway"] {
        let own = declared(service);
        let known: BTreeSet<_> = common.union(&own).cloned().collect();
        let given = given(&root().join("services").join(service).join("src"));
        assert_eq!(given.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "of {service}");
    }
}

#[test]
fn every_reason_that_a_service_declares_is_given_somewhere() {
    let runtime: String = sources(&root().join("shared/runtime/src")).into_iter().map(|(_, text)| text).collect();
    for service in ["leads", "contracts", "billing", "reporting", "gateway"] {
        let own: String =
            sources(&root().join("services").join(service).join("src")).into_iter().map(|(_, text)| text).collect();
        for reason in declared(service) {
            let literal = format!("\"{reason}\"");
            assert!(
                own.contains(&literal) || runtime.contains(&literal),
                "{service} declares {reason} and never gives it"
            );
        }
    }
}
