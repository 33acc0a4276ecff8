//! One RPC as an operation.

use otdel_runtime::auth::policy_of;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{
    example, known, options,
    refusals::{self, PROBLEM},
    schema::Schemas,
};
use crate::{
    comments::comment,
    json::{problem::PROBLEM_JSON, response::NDJSON, table::Route, template::Parameter},
};

/// The path and the operation of a route. The schemas that it needs are added.
pub(super) fn of_route(route: &Route, schemas: &mut Schemas) -> (String, Value) {
    let (method, request) = (&route.method, route.method.input());
    let service = method.parent_service();
    let (path, in_path) = route.template.parameters(options::singular);
    let bound: Vec<String> = route.template.fields().map(str::to_owned).collect();
    let text = comment(&method.parent_file(), method.path());
    let permission = policy_of(route.rpc).map(|policy| policy.permission.as_str()).unwrap_or_default();
    let mut operation = json!({
        "operationId": format!("{}_{}", service.name(), method.name()),
        "summary": text.split(&['.', ':', ';']).next(),
        "description": format!("{text}\n\nNeeds the permission `{permission}`. In gRPC: `{}`.", route.rpc),
        "tags": [service.name()],
        "security": [{"apiKey": [permission]}, {"jwt": [permission]}],
        "responses": responses(route, schemas),
    });
    let mut parameters: Vec<Value> = in_path.iter().map(|parameter| of_path(parameter, &request)).collect();
    if route.has_body {
        let schema = schemas.body(&request, &bound);
        let example = example::of_request(&request, &bound);
        let content = json!({"application/json": {"schema": schema, "example": example}});
        operation["requestBody"] = json!({"required": true, "content": content});
    } else {
        let fields = request.fields().filter(|field| !bound.iter().any(|name| name == field.name()));
        fields.for_each(|field| of_query("", &field, true, schemas, &mut parameters));
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    (path, operation)
}

fn of_path(parameter: &Parameter, request: &MessageDescriptor) -> Value {
    let field = request.get_field_by_name(parameter.field.split('.').next().unwrap_or_default());
    let text = field.map_or("", |field| comment(&request.parent_file(), field.path()));
    let text = if parameter.form.contains('/') {
        format!("{text} The last part of its name, `{}`.", parameter.form)
    } else {
        text.to_owned()
    };
    json!({
        "name": parameter.name,
        "in": "path",
        "required": true,
        "description": text,
        "schema": {"type": "string"},
        "example": example::ID,
    })
}

/// A field as a parameter of the query; a message as a parameter for each of its fields, after a dot.
fn of_query(prefix: &str, field: &FieldDescriptor, may_be_required: bool, schemas: &mut Schemas, all: &mut Vec<Value>) {
    let name = format!("{prefix}{}", field.json_name());
    let is_required = may_be_required && options::is_required(field);
    match field.kind() {
        // What a query cannot hold, and what would never end.
        Kind::Bytes => return,
        _ if field.is_map() => return,
        Kind::Message(message) if known::in_place(message.full_name()).is_none() => {
            if !field.is_list() && prefix.matches('.').count() < 3 {
                message.fields().for_each(|inner| of_query(&format!("{name}."), &inner, is_required, schemas, all));
            }
            return;
        }
        _ => {}
    }
    let mut schema = schemas.field(field);
    let text = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
    let mut parameter = json!({"name": name, "in": "query", "description": text, "schema": schema});
    if is_required {
        parameter["required"] = true.into();
        parameter["example"] = example::of_field(field, false);
    }
    all.push(parameter);
}

fn responses(route: &Route, schemas: &mut Schemas) -> Value {
    let answer = route.method.output();
    let schema = schemas.message(&answer);
    let problem = json!({"$ref": format!("#/components/schemas/{PROBLEM}")});
    let (form, schema, more) = if route.method.is_server_streaming() {
        let last = json!({"type": "object", "required": ["error"], "properties": {"error": problem}});
        let text = " One JSON object a line, without end until one side ends it. Where it fails in mid-stream, the last \
                    line is `{\"error\": …}` with the problem; without such a line it ended as it should.";
        (NDJSON, json!({"description": "One line.", "anyOf": [schema, last]}), text)
    } else {
        ("application/json", schema, "")
    };
    let text = format!("{}{more}", comment(&answer.parent_file(), answer.path()));
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({"description": text, "content": {form: {"schema": schema}}}));
    let service = service_of(route);
    for status in refusals::of_service(service).into_keys() {
        let name = format!("{service}.{status}");
        responses.insert(status.to_string(), json!({"$ref": format!("#/components/responses/{name}")}));
    }
    let text = "Another refusal.";
    responses
        .insert("default".to_owned(), json!({"description": text, "content": {PROBLEM_JSON: {"schema": problem}}}));
    responses.into()
}

/// The service that answers a route, such as `leads`.
pub(super) fn service_of(route: &Route) -> &str {
    route.rpc.split('.').nth(1).unwrap_or_default()
}
