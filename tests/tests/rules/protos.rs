//! What buf cannot check of the protos' style (`AIP` numbers in the messages say which rule).

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value,
};

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| DescriptorPool::decode(otdel_api::DESCRIPTORS).unwrap());

fn ours() -> impl Iterator<Item = MessageDescriptor> {
    POOL.all_messages().filter(|message| message.package_name().starts_with("otdel.") && !message.is_map_entry())
}

fn methods() -> Vec<MethodDescriptor> {
    POOL.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn option(options: &DynamicMessage, name: &str) -> Option<Value> {
    let extension = POOL.get_extension_by_name(name)?;
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}

/// Leading comments by the full names of fields.
fn comments() -> HashMap<String, String> {
    let mut comments = HashMap::new();
    for message in ours() {
        let file = message.parent_file();
        let proto = file.file_descriptor_proto();
        let Some(info) = &proto.source_code_info else { panic!("{} has no comments", file.name()) };
        for field in message.fields() {
            let path = field.path();
            let found = info.location.iter().find(|location| location.path == path);
            let text = found.and_then(|location| location.leading_comments.clone()).unwrap_or_default();
            comments.insert(field.full_name().to_owned(), text.trim().to_owned());
        }
    }
    comments
}

fn behaviours(field: &FieldDescriptor) -> Vec<String> {
    let Some(Value::List(list)) = option(&field.options(), "google.api.field_behavior") else { return Vec::new() };
    let names = POOL.get_enum_by_name("google.api.FieldBehavior").unwrap();
    list.iter()
        .filter_map(Value::as_enum_number)
        .filter_map(|number| names.get_value(number))
        .map(|value| value.name().to_owned())
        .collect()
}

#[test]
fn a_fields_first_word_says_what_its_behaviour_says() {
    let comments = comments();
    assert!(comments.len() > 200, "descriptors carry no comments");
    for field in ours().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        let comment = &comments[field.full_name()];
        let said = match comment.split_once('.').map(|(word, _)| word) {
            Some("Required") => vec!["REQUIRED".to_owned()],
            Some("Output only") => vec!["OUTPUT_ONLY".to_owned()],
            Some("Immutable") => vec!["IMMUTABLE".to_owned()],
            _ => vec![],
        };
        assert_eq!(said, behaviours(&field), "{} (AIP-203): {comment}", field.full_name());
    }
}

#[test]
fn every_mutating_request_carries_a_required_id_and_answers_with_its_change() {
    // What is repeated safely by its own nature and writes no event.
    let natural = ["AdvanceClock", "SetClock", "RunDue", "RebuildProjection"];
    for method in methods() {
        let level = method.options().get_field_by_name("idempotency_level").and_then(|value| value.as_enum_number());
        let reads = level == Some(1);
        let request = method.input().get_field_by_name("request_id");
        if natural.contains(&method.name()) {
            assert!(request.is_none() && !reads, "{}", method.full_name());
            continue;
        }
        assert_eq!(request.is_none(), reads, "{} (AIP-155)", method.full_name());
        if let Some(request) = request {
            assert_eq!(behaviours(&request), ["REQUIRED"], "{}", request.full_name());
            assert_eq!(level, Some(2), "{} says IDEMPOTENT", method.full_name());
            assert!(method.output().get_field_by_name("change").is_some(), "{} answers `change`", method.full_name());
        }
    }
}

#[test]
fn every_public_rpc_can_be_called_with_json() {
    for method in methods() {
        let Some(Value::Message(policy)) = option(&method.options(), "otdel.policy.v1.policy") else {
            panic!("{} declares no policy", method.full_name());
        };
        let internal = policy.get_field_by_name("internal").and_then(|value| value.as_bool()).unwrap_or_default();
        let http = option(&method.options(), "google.api.http").is_some();
        assert_eq!(http, !internal, "{}", method.full_name());
    }
}

#[test]
fn lists_are_paged_from_the_first_day() {
    for method in methods().iter().filter(|method| method.name().starts_with("List")) {
        for field in ["page_size", "page_token"] {
            assert!(method.input().get_field_by_name(field).is_some(), "{} (AIP-158)", method.full_name());
        }
        assert!(method.output().get_field_by_name("next_page_token").is_some(), "{} (AIP-158)", method.full_name());
        let first = method.output().fields().min_by_key(FieldDescriptor::number).unwrap();
        assert!(first.is_list() && first.number() == 1, "{} begins with its rows", method.output().full_name());
    }
}

#[test]
fn no_field_is_a_float_and_no_package_imports_another_services() {
    for message in ours() {
        for field in message.fields() {
            assert!(!matches!(field.kind(), Kind::Float | Kind::Double), "{} is a float", field.full_name());
        }
    }
    let services = ["leads", "contracts", "billing", "reporting", "gateway"];
    for file in POOL.files().filter(|file| file.package_name().starts_with("otdel.")) {
        let own = file.package_name().split('.').nth(1).unwrap().to_owned();
        for import in file.dependencies() {
            let other = import.package_name().split('.').nth(1).unwrap_or_default().to_owned();
            let foreign = import.package_name().starts_with("otdel.") && services.contains(&other.as_str());
            assert!(!foreign || other == own, "{} imports {} (AIP-215)", file.name(), import.name());
        }
    }
}

#[test]
fn events_carry_no_personal_data() {
    let personal =
        ["display_name", "phone", "email", "text", "note", "need", "competitor", "family_name", "given_name"];
    for event in ours().filter(|message| message.oneofs().any(|oneof| oneof.name() == "fact")) {
        let mut queue: Vec<MessageDescriptor> = vec![event];
        let mut seen = std::collections::HashSet::new();
        while let Some(message) = queue.pop() {
            if !seen.insert(message.full_name().to_owned()) {
                continue;
            }
            for field in message.fields() {
                assert!(!personal.contains(&field.name()), "{} is in an event", field.full_name());
                if let Kind::Message(inner) = field.kind() {
                    queue.push(inner);
                }
            }
        }
    }
}
