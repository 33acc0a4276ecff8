//! Messages of Google's that JSON writes in a form of their own, or that are told shorter here than there.

use serde_json::{Value, json};

/// The schema of a message that is not written as an object of its fields. None: it is.
pub(super) fn in_place(message: &str) -> Option<Value> {
    let schema = match message.strip_prefix("google.protobuf.")? {
        "Timestamp" => json!({"type": "string", "format": "date-time"}),
        "Duration" => json!({"type": "string", "pattern": r"^-?\d+(\.\d{1,9})?s$"}),
        "FieldMask" => json!({"type": "string"}),
        "StringValue" => json!({"type": ["string", "null"]}),
        "BytesValue" => json!({"type": ["string", "null"], "contentEncoding": "base64"}),
        "BoolValue" => json!({"type": ["boolean", "null"]}),
        "Int32Value" | "UInt32Value" => json!({"type": ["integer", "null"]}),
        "Int64Value" | "UInt64Value" => json!({"type": ["string", "null"], "format": "int64"}),
        "FloatValue" | "DoubleValue" => json!({"type": ["number", "null"]}),
        "Struct" | "Any" | "Empty" => json!({"type": "object"}),
        "ListValue" => json!({"type": "array"}),
        "Value" => json!({}),
        _ => return None,
    };
    Some(schema)
}

/// The schema of a message that has one under its own name, but not word by word as Google's proto tells it.
pub(super) fn retold(message: &str) -> Option<Value> {
    let schema = match message {
        "google.type.Money" => json!({
            "type": "object",
            "description": "An amount of money: `units` and `nanos` together, both of one sign.",
            "properties": {
                "currencyCode": {"type": "string", "pattern": "^[A-Z]{3}$", "description": "ISO 4217."},
                "units": {"type": "string", "format": "int64", "description": "Whole units, such as roubles."},
                "nanos": {
                    "type": "integer",
                    "minimum": -999_999_999,
                    "maximum": 999_999_999,
                    "description": "Billionths of a unit, no finer than the currency: 500000000 is half a rouble.",
                },
            },
        }),
        "google.type.Decimal" => json!({
            "type": "object",
            "description": "A decimal number, exact.",
            "properties": {"value": {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}},
        }),
        "google.type.Date" => json!({
            "type": "object",
            "description": "A day of the calendar.",
            "properties": {
                "year": {"type": "integer", "minimum": 1, "maximum": 9999},
                "month": {"type": "integer", "minimum": 1, "maximum": 12},
                "day": {"type": "integer", "minimum": 1, "maximum": 31},
            },
        }),
        _ => return None,
    };
    Some(schema)
}

/// An example of such a message.
pub(super) fn example(message: &str) -> Option<Value> {
    let example = match message {
        "google.protobuf.Timestamp" => json!("2026-03-02T09:30:00Z"),
        "google.protobuf.Duration" => json!("1.5s"),
        "google.type.Money" => json!({"currencyCode": "RUB", "units": "1500", "nanos": 500_000_000}),
        "google.type.Decimal" => json!({"value": "2.5"}),
        "google.type.Date" => json!({"year": 2026, "month": 1, "day": 5}),
        _ => return None,
    };
    Some(example)
}
