//! Requests as a caller could send them, made of the protos and a few words.
//!
//! A scenario sends each of them to the suite, so that what a reader copies is understood: a field whose example is not
//! accepted needs a row in [`VALUES`].

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{known, options};

/// The last part of every resource name.
pub(super) const ID: &str = "01976f3c-2a40-7b1e-8c5d-4e6f7a8b9c0d";

/// What a field holds whose type does not tell it: by its own name, or by its message's and its own.
const VALUES: [(&str, &str); 15] = [
    ("request_id", "3f2a8c1e-5b7d-4e9a-8c6f-1d2b3a4c5e6f"),
    ("display_name", "Анна Ёлкина"),
    ("phone", "8 (495) 123-45-67"),
    ("source_ref", "form-1"),
    ("bank_ref", "2026-03-02/117"),
    ("need", "Two tonnes of apples a week"),
    ("currency_code", "RUB"),
    ("unit_code", "KGM"),
    ("stage", "qualified"),
    ("code", "wholesale"),
    ("Stage.id", "qualified"),
    ("document_hash", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    ("secret_digest", "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="),
    ("RejectContractRequest.reason", "The discount is too large"),
    ("update_mask", "displayName"),
];

/// Fields that are optional by themselves and without which the request would ask for nothing.
const GIVEN: [&str; 5] = [
    "LeadContact.phone",
    "UpdateClientRequest.update_mask",
    "Principal.roles",
    "SetShiftRequest.on_shift",
    "SetShiftRequest.capacity",
];

/// A request: its required fields but those that the path holds.
pub(super) fn of_request(request: &MessageDescriptor, in_path: &[String]) -> Value {
    of_message(request, in_path, request.name().starts_with("Create"))
}

fn of_message(message: &MessageDescriptor, in_path: &[String], makes: bool) -> Value {
    let is_elsewhere = |field: &FieldDescriptor| in_path.iter().any(|name| name == field.name());
    let fields = message.fields().filter(|field| is_asked(field, makes) && !is_elsewhere(field));
    fields.map(|field| (field.json_name().to_owned(), of_field(&field, makes))).collect::<Map<_, _>>().into()
}

/// Whether a field is given. Where the request makes a resource, so is what can be given only then.
fn is_asked(field: &FieldDescriptor, makes: bool) -> bool {
    options::is_required(field) || (makes && options::is_immutable(field)) || is_one_of(field, &GIVEN)
}

/// A field's value, in a request that makes a resource or not.
pub(super) fn of_field(field: &FieldDescriptor, makes: bool) -> Value {
    let one = match VALUES.iter().find(|(name, _)| is_one_of(field, &[name])) {
        Some((_, value)) => json!(value),
        None => of_kind(field, makes),
    };
    if field.is_list() { json!([one]) } else { one }
}

/// The name of a resource by its pattern.
pub(super) fn of_resource(pattern: &str) -> String {
    let segment = |segment: &str| if segment.starts_with('{') { ID.to_owned() } else { segment.to_owned() };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn of_kind(field: &FieldDescriptor, makes: bool) -> Value {
    match field.kind() {
        Kind::String => json!(options::pattern(field).map_or_else(|| "text".to_owned(), of_resource)),
        Kind::Message(message) => {
            known::example(message.full_name()).unwrap_or_else(|| of_message(&message, &[], makes))
        }
        Kind::Enum(choices) => choices.values().nth(1).map_or(Value::Null, |value| json!(value.name())),
        Kind::Bytes => json!("AA=="),
        Kind::Bool => json!(true),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => json!("1"),
        _ => json!(1),
    }
}

/// Whether a field is named, by its own name or by its message's and its own.
fn is_one_of(field: &FieldDescriptor, names: &[&str]) -> bool {
    let full = format!("{}.{}", field.parent_message().name(), field.name());
    names.iter().any(|name| *name == full || *name == field.name())
}
