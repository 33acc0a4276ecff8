//! The forms in which the gateway is called: JSON, lines of JSON, gRPC-Web, and the document that describes them.

use std::process::Stdio;

use futures_util::StreamExt as _;
use http::{Method, StatusCode, header};
use otdel_api::leads::{
    self as pb, lead_event_service_client::LeadEventServiceClient, lead_service_client::LeadServiceClient,
};
use otdel_tests::{
    http::Lines,
    refusal::{fields, reason},
    staff::{self, id},
    suite::{Suite, Topology},
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, process::Command};
use tonic::Code;

const EVENTS: &str = "/v1/leadEvents:subscribe";

fn submission() -> Value {
    json!({
        "requestId": id(),
        "channel": "CHANNEL_SITE",
        "sourceRef": format!("forms-{}", id()),
        "contact": {"displayName": "Анна Ёлкина", "phone": "8 (495) 123-45-67"},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_in_one_form_is_read_in_every_other() {
    let suite = Suite::start(Topology::AllInOne).await;
    staff::department(&suite.admin).await;
    let submission = submission();
    let (status, told) = suite.admin.json(Method::POST, "/v1/leads:submit", Some(&submission)).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let again = suite.admin.json(Method::POST, "/v1/leads:submit", Some(&submission)).await;
    assert_eq!(again, (status, told.clone()), "the same request gets the same answer in JSON too");
    let name = told["lead"]["name"].as_str().unwrap().to_owned();

    let ask = pb::GetLeadRequest { name: name.clone() };
    let by_grpc = suite.admin.leads().get_lead(ask.clone()).await.unwrap().into_inner();
    let by_web = LeadServiceClient::new(suite.admin.web()).get_lead(ask).await.unwrap().into_inner();
    assert_eq!(by_grpc, by_web);
    let (_, by_json) = suite.admin.json(Method::GET, &format!("/v1/{name}"), None).await;
    assert_eq!(by_json["lead"]["etag"], by_grpc.lead.unwrap().etag);

    // The same feed line by line and by gRPC-Web, up to where it has nothing more.
    let mut lines = Lines::of(suite.admin.http(Method::GET, &format!("{EVENTS}?subjects={name}"), "").await);
    let mut event = lines.next().await.unwrap()["event"].take();
    while event["leadSubmitted"].is_null() {
        event = lines.next().await.unwrap()["event"].take();
    }
    let ask = pb::SubscribeRequest { subjects: vec![name], ..Default::default() };
    let events = LeadEventServiceClient::new(suite.admin.web()).subscribe(ask).await.unwrap().into_inner();
    let events = events.filter_map(async |answer| match answer.unwrap().item {
        Some(pb::subscribe_response::Item::Event(event)) => event.envelope,
        _ => None,
    });
    let envelope = std::pin::pin!(events).next().await.unwrap();
    assert_eq!(
        (event["envelope"]["cursor"].as_str(), event["envelope"]["position"].as_str()),
        (Some(envelope.cursor.as_str()), Some(envelope.position.to_string().as_str()))
    );

    // It goes on after its cursor.
    let after = format!("{EVENTS}?startAfter={}", envelope.cursor);
    let mut lines = Lines::of(suite.admin.http(Method::GET, &after, "").await);
    while let Some(line) = lines.next().await {
        assert_ne!(line["event"]["envelope"]["eventId"], envelope.event_id.as_str());
        if !line["caughtUp"].is_null() {
            break;
        }
    }
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_the_same_in_every_form_also_over_sockets() {
    let suite = Suite::start(Topology::Split).await;
    let path = "/v1/leads/00000000-0000-7000-8000-000000000000";
    let ask = pb::GetLeadRequest { name: path["/v1/".len()..].into() };
    let by_web = LeadServiceClient::new(suite.admin.web()).get_lead(ask).await.unwrap_err();
    assert_eq!(reason(&by_web), (Code::NotFound, "LEAD_NOT_FOUND".into()));
    let (status, problem) = suite.admin.json(Method::GET, path, None).await;
    assert_eq!((status, &problem["type"]), (StatusCode::NOT_FOUND, &json!("urn:otdel:leads:LEAD_NOT_FOUND")));
    assert_eq!(problem["detail"], by_web.message());

    let by_grpc = suite.admin.leads().submit_lead(pb::SubmitLeadRequest::default()).await.unwrap_err();
    let (status, problem) = suite.admin.json(Method::POST, "/v1/leads:submit", Some(&json!({}))).await;
    let told: Vec<_> =
        problem["violations"].as_array().unwrap().iter().map(|one| one["field"].as_str().unwrap()).collect();
    assert_eq!((status, told), (StatusCode::BAD_REQUEST, fields(&by_grpc).iter().map(String::as_str).collect()));

    // A stream is refused with its status by whoever finds out: the gateway, its form, or the service.
    for (path, status, reason) in [
        (format!("{EVENTS}?nothing=1"), StatusCode::BAD_REQUEST, "INVALID_FIELDS"),
        (format!("{EVENTS}?startAfter=garbage"), StatusCode::BAD_REQUEST, "INVALID_FIELDS"),
    ] {
        let (told, problem) = suite.admin.json(Method::GET, &path, None).await;
        assert_eq!((told, problem["reason"].as_str()), (status, Some(reason)), "{problem}");
    }
    let response = suite.anonymous.http(Method::GET, EVENTS, "").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer realm=\"otdel\"");
    let mut lines = Lines::of(suite.admin.http(Method::GET, EVENTS, "").await);
    assert!(lines.next().await.unwrap()["event"].is_object(), "a good one streams");
    suite.stop().await;
}

/// Every operation of a document: its path, its verb, and what it says.
fn operations(document: &Value) -> Vec<(String, Method, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let path = path.clone();
        let verbs = item.as_object().unwrap().clone();
        verbs.into_iter().map(move |(verb, operation)| (path.clone(), verb.to_uppercase().parse().unwrap(), operation))
    };
    paths.iter().flat_map(of_path).collect()
}

/// The path of an operation with the examples of what must stand in it.
fn called(path: &str, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let mut path = path.to_owned();
    let mut query = Vec::new();
    for parameter in parameters.iter().filter(|parameter| parameter["required"] == true) {
        let (name, example) = (parameter["name"].as_str().unwrap(), parameter["example"].as_str().unwrap());
        match parameter["in"].as_str() {
            Some("path") => path = path.replace(&format!("{{{name}}}"), example),
            _ => query.push(format!("{name}={example}")),
        }
    }
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_document_is_understood() {
    let suite = Suite::start(Topology::AllInOne).await;
    let (status, document) = suite.anonymous.json(Method::GET, "/openapi.json", None).await;
    assert_eq!(status, StatusCode::OK, "it needs no key");
    let operations = operations(&document);
    assert!(operations.len() > 50);
    let mut wrong = Vec::new();
    for (path, verb, operation) in operations {
        let path = called(&path, &operation);
        let example = operation.pointer("/requestBody/content/application~1json/example");
        let body = example.map(ToString::to_string).unwrap_or_default();
        let response = suite.admin.http(verb.clone(), &path, body).await;
        let (status, form) = (response.status(), response.headers()[header::CONTENT_TYPE].to_str().unwrap().to_owned());
        assert!(
            operation["responses"][status.as_str()].is_object(),
            "{verb} {path} answers {status}, which is not told"
        );
        let answer = Lines::of(response).first().await;
        let told = &operation["responses"]["200"]["content"];
        assert!(status != StatusCode::OK || told[&form].is_object(), "{verb} {path} answers {form}");
        if ["INVALID_FIELDS", "MALFORMED_REQUEST", "NO_SUCH_PATH", "NO_SUCH_RPC"]
            .iter()
            .any(|reason| answer["reason"] == *reason)
        {
            wrong.push(format!("{verb} {path}: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_valid() {
    let has = Command::new("python3").args(["-c", "import openapi_spec_validator"]).output().await;
    if !has.is_ok_and(|output| output.status.success()) {
        println!("skipped: python3 with openapi-spec-validator is not installed");
        return;
    }
    let suite = Suite::start(Topology::AllInOne).await;
    let (_, document) = suite.anonymous.json(Method::GET, "/openapi.json", None).await;
    suite.stop().await;
    let script = "import json, sys, openapi_spec_validator as v; v.validate(json.load(sys.stdin), cls=v.OpenAPIV31SpecValidator)";
    let mut command = Command::new("python3");
    command.args(["-c", script]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(document.to_string().as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
