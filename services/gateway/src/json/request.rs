//! From path, query and body to the request's message.

use http::{HeaderMap, Uri, header};
use otdel_runtime::{fault::Fault, server::MAX_REQUEST, violations::Violations};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value, prost::Message as _,
};
use tonic::Code;

use super::{table::Route, template::Bindings};

/// Reads the request of an RPC: the body or the query, and over them what the path says. Every wrong field is told.
pub(crate) fn read(route: &Route, bindings: &Bindings, uri: &Uri, body: &[u8]) -> Result<DynamicMessage, Fault> {
    let mut message =
        if route.has_body { from_body(route.method.input(), body)? } else { no_body(route.method.input(), body)? };
    let mut wrong = Violations::default();
    for (field, value) in bindings {
        if let Err(text) = bind(&mut message, field, value) {
            wrong.add(field, text);
        }
    }
    for (field, value) in query(uri)? {
        if route.has_body {
            wrong.add(field, "belongs into the body: this call takes nothing from the query");
        } else if bindings.iter().any(|(bound, _)| *bound == field) {
            wrong.add(field, "stands in the path already");
        } else if let Err(text) = put(&mut message, &field, &value) {
            wrong.add(field, text);
        }
    }
    wrong.into_result().map_err(|wrong| Fault::fields(&wrong))?;
    if message.encoded_len() > MAX_REQUEST {
        return Err(too_large());
    }
    Ok(message)
}

/// The request is longer than any RPC takes.
pub(crate) fn too_large() -> Fault {
    Fault::new(Code::InvalidArgument, "REQUEST_TOO_LARGE", format_args!("a request has at most {MAX_REQUEST} bytes"))
}

fn malformed(text: impl std::fmt::Display) -> Fault {
    Fault::new(Code::InvalidArgument, "MALFORMED_REQUEST", text)
}

/// Refuses a body that says to be something else than JSON. One that says nothing is taken for JSON, and so is what
/// curl's `-d` says of everything.
pub(crate) fn of_json(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(said) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let said = said.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if matches!(said.as_str(), "application/json" | "application/x-www-form-urlencoded") || said.ends_with("+json") {
        return Ok(());
    }
    Err(Fault::new(Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", "the body of a call is application/json"))
}

/// The message whose JSON form the body is. An absent body is an empty message.
fn from_body(descriptor: MessageDescriptor, body: &[u8]) -> Result<DynamicMessage, Fault> {
    if body.is_empty() {
        return Ok(DynamicMessage::new(descriptor));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("the body is not UTF-8"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let wrong = |error: serde_json::Error| {
        malformed(format_args!("the body is not a {}: {}", descriptor.name(), without_values(&error.to_string())))
    };
    let message = DynamicMessage::deserialize(descriptor.clone(), &mut json).map_err(wrong)?;
    json.end().map_err(wrong)?;
    Ok(message)
}

/// An empty message; a call without a body must not be given one, or the caller believes that it is read.
fn no_body(descriptor: MessageDescriptor, body: &[u8]) -> Result<DynamicMessage, Fault> {
    if body.is_empty() {
        return Ok(DynamicMessage::new(descriptor));
    }
    Err(malformed("this call takes no body: its fields belong into the query"))
}

/// What is wrong, without the value that is wrong: a refusal carries no personal data. The value may hold anything, also
/// what looks like its end: the last one is it.
fn without_values(text: &str) -> String {
    if let Some(value) = text.strip_prefix("unrecognized enum value ") {
        let place = value.rfind("' at line ").map_or("", |end| &value[end + 1..]);
        return format!("unrecognized enum value{place}");
    }
    match text.rfind(", expected ") {
        Some(at) if text.starts_with("invalid ") => text[at + 2..].to_owned(),
        _ => text.to_owned(),
    }
}

fn query(uri: &Uri) -> Result<Vec<(String, String)>, Fault> {
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
    query.map(|query| query.0).map_err(|_| malformed("the query is not of the form name=value&name=value"))
}

/// Sets the text that the path holds. A body may repeat it, but not contradict it.
fn bind(message: &mut DynamicMessage, path: &str, value: &str) -> Result<(), String> {
    let (owner, field) = walk(message, path)?;
    let given = owner.get_field(&field);
    if given.as_str().is_some_and(|given| !given.is_empty() && given != value) {
        return Err("is another one in the body than in the path".to_owned());
    }
    owner.set_field(&field, Value::String(value.to_owned()));
    Ok(())
}

/// Sets a field that the query names, or adds to it where it is repeated.
fn put(message: &mut DynamicMessage, path: &str, text: &str) -> Result<(), String> {
    let (owner, field) = walk(message, path)?;
    if field.is_map() {
        return Err("is a map, which a query cannot hold".to_owned());
    }
    let value = parse(&field.kind(), text)?;
    if field.is_list() {
        if let Some(list) = owner.get_field_mut(&field).as_list_mut() {
            list.push(value);
        }
    } else if owner.has_field(&field) {
        return Err("is given more than once".to_owned());
    } else {
        owner.set_field(&field, value);
    }
    Ok(())
}

/// The message that a dotted path leads to, and its last field. Both spellings of a name are taken: `page_size` as in
/// the proto and `pageSize` as in JSON.
fn walk<'a>(message: &'a mut DynamicMessage, path: &str) -> Result<(&'a mut DynamicMessage, FieldDescriptor), String> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let descriptor = message.descriptor();
    let field = descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
    let field = field.ok_or_else(|| format!("{} has no such field", descriptor.name()))?;
    let Some(rest) = rest else { return Ok((message, field)) };
    if field.is_list() {
        return Err("leads through a repeated field, which a query cannot hold".to_owned());
    }
    match message.get_field_mut(&field).as_message_mut() {
        Some(inner) => walk(inner, rest),
        None => Err(format!("leads through {name}, which has no fields")),
    }
}

/// A value by its text: numbers in decimal digits, enums by name, well-known messages in their JSON form.
fn parse(kind: &Kind, text: &str) -> Result<Value, String> {
    let digits = |_| "is not a whole number of its range".to_owned();
    match kind {
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bool => text.parse().map(Value::Bool).map_err(|_| "is neither true nor false".to_owned()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => text.parse().map(Value::I32).map_err(digits),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => text.parse().map(Value::I64).map_err(digits),
        Kind::Uint32 | Kind::Fixed32 => text.parse().map(Value::U32).map_err(digits),
        Kind::Uint64 | Kind::Fixed64 => text.parse().map(Value::U64).map_err(digits),
        Kind::Float => text.parse().map(Value::F32).map_err(|_| "is not a number".to_owned()),
        Kind::Double => text.parse().map(Value::F64).map_err(|_| "is not a number".to_owned()),
        Kind::Enum(choices) => match choices.get_value_by_name(text) {
            Some(choice) => Ok(Value::EnumNumber(choice.number())),
            None => Err(format!("is no value of {}", choices.name())),
        },
        Kind::Bytes => Err("is bytes, which a query cannot hold".to_owned()),
        Kind::Message(message) if message.package_name() == "google.protobuf" => {
            let json = serde_json::Value::String(text.to_owned());
            let message = DynamicMessage::deserialize(message.clone(), json);
            message.map(Value::Message).map_err(|error| without_values(&error.to_string()))
        }
        Kind::Message(message) => Err(format!("is a {}: name one of its fields, after a dot", message.name())),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use otdel_api::{billing, leads, reporting};

    use super::{
        super::table::{Found, Table},
        *,
    };

    fn asked(verb: &Method, uri: &str, body: &str) -> Result<DynamicMessage, Fault> {
        let uri: Uri = uri.parse().unwrap();
        let table = Table::from_protos().unwrap();
        let Found::Route(route, bindings) = table.find(verb, uri.path()) else { panic!("no route for {verb} {uri}") };
        read(route, &bindings, &uri, body.as_bytes())
    }

    fn get(uri: &str) -> Result<DynamicMessage, Fault> {
        asked(&Method::GET, uri, "")
    }

    /// The only wrong field and what is said about it.
    fn wrong(fault: &Fault) -> (&str, &str) {
        let [violation] = fault.violations.0.as_slice() else { panic!("{fault:?}") };
        (&violation.field, &violation.text)
    }

    #[test]
    fn path_and_query_fill_the_request_in() {
        let message = get("/v1/leads?page_size=7&pageToken=abc&state=STATE_POOLED").unwrap();
        let ask: leads::ListLeadsRequest = message.transcode_to().unwrap();
        assert_eq!((ask.page_size, ask.page_token.as_str(), ask.state()), (7, "abc", leads::lead::State::Pooled));
        let ask: leads::GetLeadRequest = get("/v1/leads/7").unwrap().transcode_to().unwrap();
        assert_eq!(ask.name, "leads/7");
    }

    #[test]
    fn a_query_takes_messages_by_their_fields_and_lists_by_repeating() {
        let uri =
            "/v1/reports/revenue?filter.from_month=2026-03&filter.team=teams/1&at_least=billing/1&at_least=leads/2";
        let ask: reporting::GetRevenueReportRequest = get(uri).unwrap().transcode_to().unwrap();
        assert_eq!(ask.at_least, ["billing/1", "leads/2"]);
        assert_eq!(ask.filter.unwrap().team, "teams/1");
    }

    #[test]
    fn every_wrong_field_of_a_query_is_told() {
        let fault = get("/v1/leads?page_size=x&state=NEW&nothing=1&page_token.a=1").unwrap_err();
        let fields: Vec<_> = fault.violations.0.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["page_size", "state", "nothing", "page_token.a"]);
        assert_eq!(fault.code, Code::InvalidArgument);
        assert_eq!(
            wrong(&get("/v1/leads?page_size=1&page_size=2").unwrap_err()),
            ("page_size", "is given more than once")
        );
        assert_eq!(wrong(&get("/v1/leads/7?name=leads/8").unwrap_err()), ("name", "stands in the path already"));
    }

    #[test]
    fn a_body_is_the_request_and_the_path_is_part_of_it() {
        let body =
            r#"{"requestId": "r", "client": {"display_name": "Ёлкин и Ко", "etag": "3"}, "updateMask": "displayName"}"#;
        let ask: leads::UpdateClientRequest =
            asked(&Method::PATCH, "/v1/clients/7", body).unwrap().transcode_to().unwrap();
        let client = ask.client.unwrap();
        assert_eq!((client.name.as_str(), client.display_name.as_str()), ("clients/7", "Ёлкин и Ко"));
        assert_eq!(ask.update_mask.unwrap().paths, ["display_name"]);
        assert_eq!(ask.request_id, "r");
        assert!(asked(&Method::POST, "/v1/leads/7:close", "").is_ok(), "an absent body is an empty request");
    }

    #[test]
    fn a_body_may_repeat_the_path_and_not_contradict_it() {
        assert!(asked(&Method::POST, "/v1/leads/7:assign", r#"{"name": "leads/7"}"#).is_ok());
        let fault = asked(&Method::POST, "/v1/leads/7:assign", r#"{"name": "leads/8"}"#).unwrap_err();
        assert_eq!(wrong(&fault).0, "name");
        let fault = asked(&Method::POST, "/v1/leads/7:assign?etag=1", "{}").unwrap_err();
        assert_eq!(wrong(&fault).0, "etag");
    }

    #[test]
    fn a_malformed_body_is_told_by_its_place_and_never_by_its_values() {
        let told = |body: &str| {
            let fault = asked(&Method::POST, "/v1/payments", body).unwrap_err();
            assert_eq!((fault.code, fault.reason), (Code::InvalidArgument, "MALFORMED_REQUEST"), "{body}");
            fault.text
        };
        assert!(told("{\"client\": \n nonsense}").contains("line 2"));
        assert!(told(r#"{"no_such_field": 1}"#).contains("no_such_field"));
        assert!(told("[]").contains("expected"));
        assert!(told("{} {}").contains("trailing"));
        let text = told(r#"{"amount": "+79991234567"}"#);
        assert!(text.contains("expected") && !text.contains("+7999"), "{text}");
        let text = told(r#"{"amount": "a, expected +79991234567"}"#);
        assert!(text.contains("expected") && !text.contains("+7999"), "{text}");
        let body = r#"{"reason": "+7999' at line 1"}"#;
        let text = asked(&Method::POST, "/v1/leads/7:close", body).unwrap_err().text;
        assert!(text.contains("enum value at line 1") && !text.contains("+7999"), "{text}");
        let fault = asked(&Method::GET, "/v1/leads", "{}").unwrap_err();
        assert_eq!(fault.reason, "MALFORMED_REQUEST", "a call without a body is not given one");
        let raw = asked(
            &Method::POST,
            "/v1/payments",
            r#"{"requestId": "1", "amount": {"units": "12", "currencyCode": "RUB"}}"#,
        );
        let ask: billing::RecordPaymentRequest = raw.unwrap().transcode_to().unwrap();
        assert_eq!(ask.amount.unwrap().units, 12);
    }

    #[test]
    fn every_body_that_json_knows_is_read_or_refused() {
        for body in [
            "null",
            "1",
            "\"x\"",
            "{\"amount\": null}",
            "{\"valueDate\": \"yesterday\"}",
            "\u{0}",
            "{\"amount\":{\"units\":1e30}}",
        ] {
            if let Err(fault) = asked(&Method::POST, "/v1/payments", body) {
                assert_eq!(fault.code, Code::InvalidArgument, "{body}");
            }
        }
    }
}
