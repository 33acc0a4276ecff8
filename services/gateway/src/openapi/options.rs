//! What the protos say of a field beside its type.

use std::{collections::BTreeMap, sync::LazyLock};

use otdel_api::google::api::FieldBehavior;
use otdel_runtime::auth::DESCRIPTORS;
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

/// The patterns of resource names by the resources' types: `leads/{lead}` for `otdel/Lead`.
static PATTERNS: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    let patterns = DESCRIPTORS.all_messages().filter_map(|message| resource(&message.options()));
    patterns.collect()
});

/// Whether a field must be given.
pub(super) fn is_required(field: &FieldDescriptor) -> bool {
    behaves(field, FieldBehavior::Required)
}

/// Whether a field is only ever told, never asked.
pub(super) fn is_output_only(field: &FieldDescriptor) -> bool {
    behaves(field, FieldBehavior::OutputOnly)
}

/// Whether a field is given when its resource is made, and never after.
pub(super) fn is_immutable(field: &FieldDescriptor) -> bool {
    behaves(field, FieldBehavior::Immutable)
}

/// The pattern of the resource names that a field holds, if it holds such.
pub(super) fn pattern(field: &FieldDescriptor) -> Option<&'static str> {
    let referred = extension(&field.options(), "google.api.resource_reference");
    let referred = referred.as_ref().and_then(|reference| text(reference.as_message()?, "type"));
    let own = || Some(resource(&field.parent_message().options()).filter(|_| field.name() == "name")?.0);
    PATTERNS.get(&referred.or_else(own)?).map(String::as_str)
}

/// What one of a collection is called: `lead` for `leads`.
pub(super) fn singular(collection: &str) -> String {
    let of =
        |pattern: &String| Some(pattern.strip_prefix(collection)?.strip_prefix("/{")?.strip_suffix('}')?.to_owned());
    PATTERNS.values().find_map(of).unwrap_or_else(|| "id".to_owned())
}

fn behaves(field: &FieldDescriptor, behaviour: FieldBehavior) -> bool {
    let said = extension(&field.options(), "google.api.field_behavior");
    let said = said.as_ref().and_then(Value::as_list).unwrap_or_default();
    said.iter().any(|one| one.as_enum_number() == Some(behaviour.into()))
}

/// The type and the pattern of a message that is a resource.
fn resource(options: &DynamicMessage) -> Option<(String, String)> {
    let resource = extension(options, "google.api.resource")?;
    let resource = resource.as_message()?;
    let patterns = resource.get_field_by_name("pattern")?;
    Some((text(resource, "type")?, patterns.as_list()?.first()?.as_str()?.to_owned()))
}

fn text(message: &DynamicMessage, field: &str) -> Option<String> {
    Some(message.get_field_by_name(field)?.as_str()?.to_owned())
}

fn extension(options: &DynamicMessage, name: &str) -> Option<Value> {
    let extension = DESCRIPTORS.get_extension_by_name(name)?;
    options.has_extension(&extension).then(|| options.get_extension(&extension).into_owned())
}
