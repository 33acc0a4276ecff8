use std::{collections::HashMap, time::Duration};

use axum::{Router, body::Body, response::Response};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use otdel_api::leads::{self, Role};
use otdel_runtime::{
    fault::Fault,
    server::{Kind, Listener, MAX_REQUEST, Serve, serve},
    violations::Violations,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tower::ServiceExt as _;

use super::world::{Asked, Somebody, World, sure, unary};

async fn world(caller: &Somebody) -> World {
    let world = World::with(&[caller]).await;
    let get_client = |asked: Asked<leads::GetClientRequest>| {
        let client =
            leads::Client { name: asked.msg.name, display_name: "Ёлкин и Ко".into(), ..Default::default() };
        Ok(leads::GetClientResponse { client: Some(client) })
    };
    let update = |asked: Asked<leads::UpdateClientRequest>| {
        Ok(leads::UpdateClientResponse { client: asked.msg.client, change: asked.msg.request_id })
    };
    let assign = |asked: Asked<leads::AssignLeadRequest>| -> Result<leads::AssignLeadResponse, Status> {
        let mut wrong = Violations::default();
        wrong.add("owner", "must look like people/{uuid}");
        Err(match asked.msg.etag.as_str() {
            "busy" => Fault::unavailable("BUSY", "try again").into_status("leads"),
            "stale" => Fault::new(Code::Aborted, "STALE_ETAG", "the lead changed").with("etag", 7).into_status("leads"),
            "shut" => Fault::new(Code::FailedPrecondition, "GATE_SHUT", "a gate is shut")
                .lacking("paid", "nothing is paid")
                .into_status("leads"),
            "greedy" => {
                let mut details = ErrorDetails::with_error_info("RATE_LIMITED", "gateway.otdel", HashMap::new());
                details.add_quota_failure_violation("principals/7", "at most 20 calls a second");
                details.set_retry_info(Some(Duration::from_millis(1500)));
                Status::with_error_details(Code::ResourceExhausted, "too many calls", details)
            }
            _ => Fault::fields(&wrong).into_status("leads"),
        })
    };
    let rpcs = Router::new()
        .route("/otdel.leads.v1.ClientService/GetClient", unary(get_client))
        .route("/otdel.leads.v1.ClientService/UpdateClient", unary(update))
        .route("/otdel.leads.v1.LeadService/AssignLead", unary(assign));
    world.open("leads", rpcs);
    world
}

async fn send(world: &World, caller: Option<&Somebody>, verb: &str, path: &str, body: impl Into<Body>) -> Response {
    let mut request = Request::builder().method(verb).uri(path);
    if let Some(caller) = caller {
        request = request.header(header::AUTHORIZATION, caller.bearer());
    }
    sure(world.router.clone().oneshot(request.body(body.into()).unwrap()).await)
}

async fn body(response: Response) -> Value {
    let form = if response.status().is_success() { "application/json" } else { "application/problem+json" };
    assert_eq!(response.headers()[header::CONTENT_TYPE], form);
    let (status, id) = (response.status(), response.headers()["otdel-request-id"].to_str().unwrap().to_owned());
    let body: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    if !status.is_success() {
        assert_eq!(body["status"], status.as_u16(), "{body}");
        assert_eq!(body["instance"], format!("urn:uuid:{id}"), "{body}");
        assert!(["type", "title", "detail", "code"].iter().all(|member| body[member].is_string()), "{body}");
    }
    body
}

/// Sends what is refused and gives status and JSON.
async fn refused(world: &World, caller: &Somebody, verb: &str, path: &str, sent: &str) -> (StatusCode, Value) {
    let response = send(world, Some(caller), verb, path, sent.to_owned()).await;
    (response.status(), body(response).await)
}

/// The reason of a refusal.
fn reason(told: &Value) -> &str {
    told["reason"].as_str().unwrap()
}

#[tokio::test]
async fn a_read_answers_with_the_json_of_its_message() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let response = send(&world, Some(&manager), "GET", "/v1/clients/7", "").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(body(response).await, json!({"client": {"name": "clients/7", "displayName": "Ёлкин и Ко"}}));
}

#[tokio::test]
async fn a_change_takes_its_request_from_path_and_body() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let sent = r#"{"requestId": "r1", "client": {"displayName": "Ёлкина"}}"#;
    let response = send(&world, Some(&manager), "PATCH", "/v1/clients/7", sent).await;
    let answer = json!({"client": {"name": "clients/7", "displayName": "Ёлкина"}, "change": "r1"});
    assert_eq!(body(response).await, answer);
}

#[tokio::test]
async fn the_gateways_own_rpcs_have_json_too() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let caller = body(send(&world, Some(&manager), "GET", "/v1/caller", "").await).await;
    assert_eq!(caller["principal"], manager.principal);
}

/// Refuses an assignment for a cause that the fake service knows.
async fn assigned(world: &World, caller: &Somebody, cause: &str) -> (Response, Value) {
    let sent = json!({"etag": cause}).to_string();
    let response = send(world, Some(caller), "POST", "/v1/leads/7:assign", sent).await;
    let (head, told) = response.into_parts();
    let told = told.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, Body::empty()), serde_json::from_slice(&told).unwrap())
}

#[tokio::test]
async fn a_refusal_is_a_problem_with_all_that_grpc_tells() {
    let lead_manager = Somebody::with_role(Role::LeadManager);
    let world = world(&lead_manager).await;
    let (status, mut told) = refused(&world, &lead_manager, "POST", "/v1/leads/7:assign", "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    told.as_object_mut().unwrap().remove("instance");
    assert_eq!(
        told,
        json!({
            "type": "urn:otdel:leads:INVALID_FIELDS",
            "title": "One or more fields are wrong",
            "status": 400,
            "detail": "owner: must look like people/{uuid}",
            "code": "INVALID_ARGUMENT",
            "reason": "INVALID_FIELDS",
            "domain": "leads.otdel",
            "violations": [{"field": "owner", "description": "must look like people/{uuid}"}],
        })
    );

    let (response, told) = assigned(&world, &lead_manager, "stale").await;
    assert_eq!((response.status(), &told["metadata"]), (StatusCode::CONFLICT, &json!({"etag": "7"})));
    assert_eq!(told["title"], "The resource changed since it was read");
    let (_, told) = assigned(&world, &lead_manager, "shut").await;
    let lacking = json!([{"type": "GATE_SHUT", "subject": "paid", "description": "nothing is paid"}]);
    assert_eq!(told["preconditions"], lacking);
    let (response, told) = assigned(&world, &lead_manager, "busy").await;
    assert_eq!((response.status(), &told["retryDelay"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("0.100s")));
    assert_eq!(response.headers()[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn a_passed_limit_is_told_with_the_time_to_wait() {
    let lead_manager = Somebody::with_role(Role::LeadManager);
    let world = world(&lead_manager).await;
    let (response, told) = assigned(&world, &lead_manager, "greedy").await;
    assert_eq!((response.status(), &told["retryDelay"]), (StatusCode::TOO_MANY_REQUESTS, &json!("1.500s")));
    assert_eq!(response.headers()[header::RETRY_AFTER], "2", "whole seconds, and never too early");
    let passed = json!([{"subject": "principals/7", "description": "at most 20 calls a second"}]);
    assert_eq!(told["quotaViolations"], passed);
}

#[tokio::test]
async fn who_is_not_known_or_may_not_is_told_so() {
    let (manager, lead_manager) = (Somebody::with_role(Role::Manager), Somebody::with_role(Role::LeadManager));
    let world = world(&lead_manager).await;
    let response = send(&world, None, "GET", "/v1/clients/7", "").await;
    assert_eq!(
        (response.status(), &response.headers()[header::WWW_AUTHENTICATE]),
        (StatusCode::UNAUTHORIZED, &r#"Bearer realm="otdel""#.parse().unwrap())
    );
    assert_eq!(send(&world, Some(&manager), "GET", "/v1/clients/7", "").await.status(), StatusCode::UNAUTHORIZED);
    let (status, told) = refused(&world, &lead_manager, "GET", "/v1/clients/7", "").await;
    assert_eq!((status, reason(&told)), (StatusCode::FORBIDDEN, "PERMISSION_DENIED"));
}

#[tokio::test]
async fn what_leads_to_no_rpc_is_told_apart() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let (status, told) = refused(&world, &manager, "GET", "/v1/nothing", "").await;
    assert_eq!((status, reason(&told)), (StatusCode::NOT_FOUND, "NO_SUCH_PATH"));
    let response = send(&world, Some(&manager), "DELETE", "/v1/clients/7", "").await;
    assert_eq!(
        (response.status(), &response.headers()[header::ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET, PATCH".parse().unwrap())
    );
    assert_eq!(body(response).await["type"], "urn:otdel:gateway:METHOD_NOT_ALLOWED");
    let (status, told) = refused(&world, &manager, "PATCH", "/v1/clients/7", "{").await;
    assert_eq!((status, &told["code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_ARGUMENT")));
    let (status, _) = refused(&world, &manager, "GET", "/v1/testClock", "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, told) = refused(&world, &manager, "GET", "/v1/payments/7", "").await;
    assert_eq!((status, reason(&told)), (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNREACHABLE"));
}

#[tokio::test]
async fn a_body_that_says_it_is_no_json_is_refused() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let said = async |form: &str| {
        let request = Request::patch("/v1/clients/7")
            .header(header::AUTHORIZATION, manager.bearer())
            .header(header::CONTENT_TYPE, form)
            .body(Body::from("{}"));
        let response = sure(world.router.clone().oneshot(request.unwrap()).await);
        (response.status(), body(response).await)
    };
    for form in ["text/plain", "multipart/form-data; boundary=x", "application/xml", "", "application/jsonp"] {
        let (status, told) = said(form).await;
        assert_eq!((status, reason(&told)), (StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE"), "{form}");
    }
    // The last is what curl says of whatever it is given with `-d`.
    let taken = [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/x-www-form-urlencoded",
        "application/a+json",
    ];
    for form in taken {
        assert_eq!(said(form).await.0, StatusCode::OK, "{form}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_read() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let (status, told) = refused(&world, &manager, "PATCH", "/v1/clients/7", &" ".repeat(MAX_REQUEST + 1)).await;
    assert_eq!((status, reason(&told)), (StatusCode::PAYLOAD_TOO_LARGE, "REQUEST_TOO_LARGE"));
    let endless = tokio_stream::iter(std::iter::repeat_with(|| Ok::<_, std::io::Error>(vec![b' '; 1024])));
    let response = send(&world, Some(&manager), "PATCH", "/v1/clients/7", Body::from_stream(endless)).await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_strangers_body_is_neither_held_nor_waited_for() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let never = || Body::from_stream(tokio_stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let response = send(&world, None, "PATCH", "/v1/clients/7", never()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let response = send(&world, None, "PATCH", "/v1/clients/7", "no JSON").await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "who calls is asked first");
    let request = Request::patch("/v1/clients/7")
        .header(header::AUTHORIZATION, manager.bearer())
        .header("grpc-timeout", "50m")
        .body(never());
    let response = sure(world.router.clone().oneshot(request.unwrap()).await);
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT, "a body that does not come ends at the deadline");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_whoever_answers_it() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    for path in ["/v1/clients/7?nothing=1", "/v1/clients/7/card?nothing=1", "/v1/caller?nothing=1"] {
        let (status, told) = refused(&world, &manager, "GET", path, "").await;
        assert_eq!((status, reason(&told)), (StatusCode::BAD_REQUEST, "INVALID_FIELDS"), "{told}");
        assert!(told.to_string().contains("has no such field"), "{told}");
    }
    for path in ["/v1/clients/7", "/v1/clients/7/card"] {
        let (status, told) = refused(&world, &manager, "GET", path, "a body").await;
        assert_eq!((status, reason(&told)), (StatusCode::BAD_REQUEST, "MALFORMED_REQUEST"), "{told}");
    }
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let silent = axum::routing::post(std::future::pending::<Response>);
    world.open("contracts", Router::new().route("/otdel.contracts.v1.ContractService/GetContract", silent));
    let request = Request::get("/v1/contracts/7")
        .header(header::AUTHORIZATION, manager.bearer())
        .header("Grpc-Timeout", "50m")
        .body(Body::empty());
    let response = sure(world.router.clone().oneshot(request.unwrap()).await);
    assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(body(response).await["code"], "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn json_and_grpc_come_in_by_the_same_port() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let serving = serve(listener, Serve::new("gateway", Kind::Public, world.router.clone())).unwrap();

    let mut socket = tokio::net::TcpStream::connect(serving.address()).await.unwrap();
    let asked = format!(
        "GET /v1/clients/7 HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nconnection: close\r\n\r\n",
        manager.bearer()
    );
    socket.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("Ёлкин и Ко"), "{answer}");

    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", serving.address())).unwrap();
    let mut client = leads::client_service_client::ClientServiceClient::new(channel.connect().await.unwrap());
    let answer = client.get_client(manager.asks(leads::GetClientRequest { name: "clients/7".into() })).await.unwrap();
    assert_eq!(answer.into_inner().client.unwrap().display_name, "Ёлкин и Ко");
}
