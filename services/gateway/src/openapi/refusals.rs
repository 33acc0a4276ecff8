//! How refusals are told in the document: the problem, and the reasons of each service by HTTP status.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    SERVICE,
    json::problem::{PROBLEM_JSON, http_status},
    reasons::{self, Reason},
};

/// The name of the problem's schema.
pub(super) const PROBLEM: &str = "Problem";

/// What every refusal is told as.
pub(super) fn problem() -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let each = |description: &str, fields: &[(&str, &str)]| {
        let properties: serde_json::Map<_, _> =
            fields.iter().map(|(name, description)| ((*name).to_owned(), text(description))).collect();
        let items = json!({"type": "object", "properties": properties});
        json!({"type": "array", "items": items, "description": description})
    };
    json!({
        "type": "object",
        "description": "A refusal, as RFC 9457 tells it. Branch on `reason`; `detail` is for people.",
        "required": ["type", "title", "status", "detail", "code"],
        "properties": {
            "type": {
                "type": "string",
                "format": "uri",
                "description": "`urn:otdel:{service}:{reason}`; it identifies and leads nowhere.",
            },
            "title": text("What the reason means, the same for every refusal with it."),
            "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status."},
            "detail": text("What is wrong with this call, for people. It carries no personal data."),
            "instance": text("The call's id, `urn:uuid:` and what the header `otdel-request-id` holds."),
            "code": text("The gRPC code, such as `INVALID_ARGUMENT`."),
            "reason": text("Why, in a word that does not change."),
            "domain": text("Who refused, such as `leads.otdel`."),
            "metadata": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "What the reason needs to be acted upon.",
            },
            "violations": each("Every wrong field, or the first ones: then `left_out` in `metadata` counts the rest.", &[
                ("field", "The field's path, in the words of the proto, such as `lines[2].unit_price`."),
                ("description", "What is wrong with it."),
                ("reason", "Why, in a word, where there is one."),
            ]),
            "preconditions": each("All that must be so before the call can be carried out.", &[
                ("type", "The kind of the precondition."),
                ("subject", "What it is about."),
                ("description", "What is lacking."),
            ]),
            "quotaViolations": each("The limits that the caller has passed.", &[
                ("subject", "Whose limit it is."),
                ("description", "The limit."),
            ]),
            "retryDelay": {
                "type": "string",
                "pattern": r"^\d+\.\d{3}s$",
                "description": "How long to wait before the next try; the header `retry-after` says it in whole seconds.",
            },
        },
        "examples": [{
            "type": "urn:otdel:leads:INVALID_FIELDS",
            "title": "One or more fields are wrong",
            "status": 400,
            "detail": "owner: must look like people/{uuid}",
            "instance": "urn:uuid:01976f3c-2a40-7b1e-8c5d-4e6f7a8b9c0d",
            "code": "INVALID_ARGUMENT",
            "reason": "INVALID_FIELDS",
            "domain": "leads.otdel",
            "violations": [{"field": "owner", "description": "must look like people/{uuid}"}],
        }],
    })
}

/// The HTTP statuses with which the RPCs of a service are refused, and the responses that tell them.
pub(super) fn of_service(service: &str) -> BTreeMap<u16, Value> {
    let mut by_status: BTreeMap<u16, BTreeMap<&str, &Reason>> = BTreeMap::new();
    // A call in JSON is refused by the gateway or by the service behind it.
    for reason in reasons::of_service(service).iter().chain(reasons::of_service(SERVICE)) {
        for code in &reason.codes {
            let status = http_status(*code, &reason.name).as_u16();
            by_status.entry(status).or_default().entry(&reason.name).or_insert(reason);
        }
    }
    // Whoever goes by this document calls with the right method.
    by_status.remove(&405);
    by_status.into_iter().map(|(status, reasons)| (status, response(status, &reasons))).collect()
}

fn response(status: u16, reasons: &BTreeMap<&str, &Reason>) -> Value {
    let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Refused");
    let list: Vec<_> = reasons.iter().map(|(name, reason)| format!("- `{name}`: {}", reason.text)).collect();
    let text = format!("{title}. The reasons:\n\n{}", list.join("\n"));
    // Examples and no list of all there can be: a later version may have more.
    let reason = json!({"type": "string", "examples": reasons.keys().collect::<Vec<_>>()});
    let schema = json!({
        "allOf": [{"$ref": format!("#/components/schemas/{PROBLEM}")}],
        "properties": {"status": {"const": status}, "reason": reason},
    });
    json!({"description": text, "content": {PROBLEM_JSON: {"schema": schema}}})
}
