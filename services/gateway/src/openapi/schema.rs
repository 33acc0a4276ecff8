//! Messages and enums as schemas.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{known, options};
use crate::comments::comment;

/// The schemas that were needed so far, by name.
#[derive(Debug, Default)]
pub(super) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// All of them.
    pub(super) fn into_value(self) -> Value {
        self.0.into_iter().collect::<Map<_, _>>().into()
    }

    /// Adds a schema that no message is the source of.
    pub(super) fn add(&mut self, name: &str, schema: Value) {
        self.0.insert(name.to_owned(), schema);
    }

    /// The schema of a message: a reference, or a small one in its place.
    pub(super) fn message(&mut self, message: &MessageDescriptor) -> Value {
        match known::in_place(message.full_name()) {
            Some(schema) => schema,
            None => self.named(message.full_name(), |schemas| schemas.object(message, &[])),
        }
    }

    /// The schema of a request's body, which lacks the fields that the path holds. A request belongs to one RPC, so its
    /// name is free for it.
    pub(super) fn body(&mut self, message: &MessageDescriptor, in_path: &[String]) -> Value {
        self.named(message.full_name(), |schemas| schemas.object(message, in_path))
    }

    /// The schema of a field, with what its comment says.
    pub(super) fn field(&mut self, field: &FieldDescriptor) -> Value {
        let one = self.value(&field.kind());
        let mut schema = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let value = self.value(&entry.map_entry_value_field().kind());
                json!({"type": "object", "additionalProperties": value})
            }
            _ if field.is_list() => json!({"type": "array", "items": one}),
            _ => one,
        };
        let mut text = comment(&field.parent_message().parent_file(), field.path()).to_owned();
        if let Some(choice) = field.containing_oneof().filter(|choice| !choice.is_synthetic()) {
            let names: Vec<_> = choice.fields().map(|field| format!("`{}`", field.json_name())).collect();
            if names.len() > 1 {
                text = format!("{text} One of {}.", names.join(", "));
            }
        }
        schema["description"] = text.into();
        if options::is_output_only(field) {
            schema["readOnly"] = true.into();
        }
        if let Some(pattern) = options::pattern(field).filter(|_| !field.is_list()) {
            schema["examples"] = json!([super::example::of_resource(pattern)]);
        }
        schema
    }

    fn value(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Message(message) => self.message(message),
            Kind::Enum(choices) => self.named(choices.full_name(), |_| of_enum(choices)),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            // A number of JSON is exact up to 2^53 only, so protobuf writes these as texts.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "string", "format": "int64", "pattern": r"^-?\d+$"})
            }
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64", "pattern": r"^\d+$"}),
            Kind::Float | Kind::Double => json!({"type": "number"}),
        }
    }

    /// A reference to a schema that is made where it is not there yet.
    fn named(&mut self, full_name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        let name = short(full_name);
        if !self.0.contains_key(&name) {
            // Its place is taken first: a message may hold itself.
            self.0.insert(name.clone(), Value::Null);
            let schema = known::retold(full_name).unwrap_or_else(|| make(self));
            self.0.insert(name.clone(), schema);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn object(&mut self, message: &MessageDescriptor, without: &[String]) -> Value {
        let fields = message.fields().filter(|field| !without.iter().any(|name| name == field.name()));
        let fields: Vec<_> = fields.collect();
        let required = fields.iter().filter(|field| options::is_required(field)).map(FieldDescriptor::json_name);
        let required: Vec<_> = required.collect();
        let properties = fields.iter().map(|field| (field.json_name().to_owned(), self.field(field)));
        let properties: Map<_, _> = properties.collect();
        let mut schema = json!({"type": "object", "properties": properties});
        if !required.is_empty() {
            schema["required"] = json!(required);
        }
        schema["description"] = comment(&message.parent_file(), message.path()).into();
        schema
    }
}

/// An enum by the names of its values. The one that is never used is left out.
fn of_enum(choices: &EnumDescriptor) -> Value {
    let file = choices.parent_file();
    let values: Vec<_> = choices.values().filter(|value| value.number() != 0).collect();
    let list = values.iter().map(|value| format!("- `{}`: {}", value.name(), comment(&file, value.path())));
    let text = format!("{}\n\n{}", comment(&file, choices.path()), list.collect::<Vec<_>>().join("\n"));
    let names: Vec<_> = values.iter().map(|value| value.name().to_owned()).collect();
    json!({"type": "string", "enum": names, "description": text})
}

/// A name without the parts that all of ours share: `leads.Lead` for `otdel.leads.v1.Lead`.
fn short(full_name: &str) -> String {
    full_name.strip_prefix("otdel.").map_or_else(|| full_name.to_owned(), |ours| ours.replacen(".v1.", ".", 1))
}
