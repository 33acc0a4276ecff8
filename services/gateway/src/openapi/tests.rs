use std::collections::{BTreeMap, BTreeSet};

use otdel_runtime::auth::{DESCRIPTORS, policy_of, public_methods};

use super::*;

fn document() -> Value {
    whole(&Table::from_protos().unwrap())
}

/// Every operation with its path and verb.
fn operations(document: &Value) -> Vec<(&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(verb, it)| (path, verb, it)))
        .collect()
}

fn operation<'a>(document: &'a Value, id: &str) -> &'a Value {
    let all = operations(document);
    all.into_iter().find(|(_, _, operation)| operation["operationId"] == id).unwrap_or_else(|| panic!("no {id}")).2
}

#[test]
fn every_public_rpc_is_in_it_once_and_nothing_internal_is() {
    let document = document();
    let ids: Vec<_> =
        operations(&document).iter().map(|(_, _, it)| it["operationId"].as_str().unwrap().to_owned()).collect();
    let id = |rpc: &str| {
        let (service, method) = rpc.rsplit_once('/').unwrap();
        format!("{}_{method}", service.rsplit('.').next().unwrap())
    };
    let public: BTreeSet<_> = public_methods().map(|policy| id(policy.method)).collect();
    assert_eq!(ids.iter().cloned().collect::<BTreeSet<_>>(), public);
    assert_eq!(ids.len(), public.len(), "an operation's id is told twice");

    let text = document.to_string();
    for method in DESCRIPTORS.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        assert_eq!(text.contains(&path), policy_of(&path).is_some_and(|policy| !policy.internal), "{path}");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for internal in
        ["leads.WatchDirectoryResponse", "leads.DirectoryKey", "leads.LocateRequest", "test.SetClockRequest"]
    {
        assert!(!schemas.contains_key(internal), "{internal}");
    }
}

#[test]
fn every_reference_leads_somewhere_and_nothing_is_without_use() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let target = document.pointer(reference.trim_start_matches('#'));
        assert!(target.is_some_and(Value::is_object), "{reference} leads nowhere");
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            assert!(found.contains(&format!("#/components/{kind}/{name}")), "nothing refers to {name}");
        }
    }
}

#[test]
fn paths_have_the_parameters_that_they_name() {
    let document = document();
    for (path, verb, operation) in operations(&document) {
        let named: BTreeSet<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_path = parameters.iter().filter(|parameter| parameter["in"] == "path");
        let told: BTreeSet<_> = in_path.map(|parameter| parameter["name"].as_str().unwrap()).collect();
        assert_eq!(named, told, "{verb} {path}");
    }
    let lead = &document["paths"]["/v1/leads/{lead}:assign"]["post"];
    assert_eq!(lead["parameters"][0]["description"], "Required. The lead. The last part of its name, `leads/{lead}`.");
}

#[test]
fn words_come_from_the_protos() {
    let document = document();
    let submit = operation(&document, "LeadService_SubmitLead");
    let text = submit["description"].as_str().unwrap();
    assert!(text.starts_with("Takes in a request") && text.contains("Needs the permission `leads.submit`"), "{text}");
    let schemas = &document["components"]["schemas"];
    let lead = &schemas["leads.Lead"];
    assert_eq!(lead["properties"]["owner"]["readOnly"], true);
    assert_eq!(lead["properties"]["owner"]["examples"][0], format!("people/{}", example::ID));
    assert_eq!(lead["properties"]["receiveTime"]["format"], "date-time");
    assert!(
        schemas["leads.Lead.State"]["description"].as_str().unwrap().contains("`STATE_POOLED`: Nobody could take it")
    );
    assert!(!schemas["leads.Lead.State"]["enum"].as_array().unwrap().contains(&json!("STATE_UNSPECIFIED")));
    assert_eq!(
        schemas["leads.AssignLeadRequest"]["required"],
        json!(["requestId", "owner"]),
        "the path holds the name"
    );
    assert!(schemas["leads.AssignLeadRequest"]["properties"]["name"].is_null());
    assert_eq!(schemas["google.type.Money"]["properties"]["units"]["type"], "string");
    assert_eq!(
        schemas["billing.RecordPaymentRequest"]["properties"]["amount"]["$ref"],
        "#/components/schemas/google.type.Money"
    );
    for (name, schema) in schemas.as_object().unwrap() {
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} is not described");
    }
    for (path, verb, operation) in operations(&document) {
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{verb} {path}");
    }
}

#[test]
fn a_query_is_told_field_by_field() {
    let document = document();
    let parameters = operation(&document, "ReportService_GetLeadReport")["parameters"].as_array().unwrap();
    let by_name: BTreeMap<_, _> = parameters.iter().map(|one| (one["name"].as_str().unwrap(), one)).collect();
    let names: Vec<_> = by_name.keys().copied().collect();
    assert_eq!(names, ["atLeast", "dimensions", "filter.fromMonth", "filter.owner", "filter.team", "filter.toMonth"]);
    assert_eq!(by_name["dimensions"]["schema"]["type"], "array");
    assert!(by_name["filter.fromMonth"]["description"].as_str().unwrap().contains("`YYYY-MM`"));
}

#[test]
fn a_stream_is_told_line_by_line() {
    let document = document();
    let answer = &operation(&document, "LeadEventService_Subscribe")["responses"]["200"]["content"];
    let line = &answer["application/x-ndjson"]["schema"];
    assert_eq!(line["anyOf"][0]["$ref"], "#/components/schemas/leads.SubscribeResponse");
    assert_eq!(line["anyOf"][1]["properties"]["error"]["$ref"], "#/components/schemas/Problem");
    let item = &document["components"]["schemas"]["leads.SubscribeResponse"]["properties"]["caughtUp"];
    assert!(item["description"].as_str().unwrap().contains("One of `event`, `caughtUp`, `checkpoint`"), "{item}");
}

#[test]
fn refusals_are_told_with_the_reasons_of_the_service() {
    let document = document();
    let assign = operation(&document, "LeadService_AssignLead");
    assert_eq!(assign["responses"]["409"]["$ref"], "#/components/responses/leads.409");
    let conflict = &document["components"]["responses"]["leads.409"];
    let text = conflict["description"].as_str().unwrap();
    assert!(text.contains("- `STALE_ETAG`: The resource changed since it was read;"), "{text}");
    let schema = &conflict["content"]["application/problem+json"]["schema"];
    assert!(schema["properties"]["reason"]["examples"].as_array().unwrap().contains(&json!("STALE_ETAG")));
    for status in ["400", "401", "403", "404", "413", "415", "429", "500", "503", "504", "default"] {
        assert!(assign["responses"][status].is_object(), "{status}");
    }
}
