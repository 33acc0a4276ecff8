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
            "busy" => Fault::unavailable("BUSY", "try again"),
            "stale" => Fault::new(Code::Aborted, "STALE_ETAG", "the lead changed").with("etag", 7),
            _ => Fault::fields(&wrong),
        }
        .into_status("leads"))
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
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert!(response.headers().contains_key("otdel-request-id"));
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

/// Sends what is refused and gives status and JSON.
async fn refused(world: &World, caller: &Somebody, verb: &str, path: &str, sent: &str) -> (StatusCode, Value) {
    let response = send(world, Some(caller), verb, path, sent.to_owned()).await;
    (response.status(), body(response).await)
}

/// The reason of a refusal, wherever it stands among the details.
fn reason(told: &Value) -> &str {
    let is_info = |detail: &&Value| detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo";
    told["details"].as_array().unwrap().iter().find(is_info).unwrap()["reason"].as_str().unwrap()
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

#[tokio::test]
async fn a_refusal_has_code_text_and_details() {
    let manager = Somebody::with_role(Role::Manager);
    let mut lead_manager = Somebody::with_role(Role::LeadManager);
    lead_manager.principal.clone_from(&manager.principal);
    let world = world(&lead_manager).await;
    let (status, told) = refused(&world, &lead_manager, "POST", "/v1/leads/7:assign", "{}").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!((&told["code"], &told["status"]), (&json!(3), &json!("INVALID_ARGUMENT")));
    assert!(told["message"].as_str().unwrap().contains("owner"));
    assert_eq!(
        told["details"],
        json!([
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "INVALID_FIELDS",
                "domain": "leads.otdel",
            },
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "owner", "description": "must look like people/{uuid}"}],
            },
        ])
    );

    let (status, told) = refused(&world, &lead_manager, "POST", "/v1/leads/7:assign", r#"{"etag": "stale"}"#).await;
    assert_eq!((status, &told["details"][0]["metadata"]["etag"]), (StatusCode::CONFLICT, &json!("7")));
    let response = send(&world, Some(&lead_manager), "POST", "/v1/leads/7:assign", r#"{"etag": "busy"}"#).await;
    assert_eq!(
        (response.status(), &response.headers()[header::RETRY_AFTER]),
        (StatusCode::SERVICE_UNAVAILABLE, &"1".parse().unwrap())
    );
}

#[tokio::test]
async fn who_is_not_known_or_may_not_is_told_so() {
    let (manager, lead_manager) = (Somebody::with_role(Role::Manager), Somebody::with_role(Role::LeadManager));
    let world = world(&lead_manager).await;
    let response = send(&world, None, "GET", "/v1/clients/7", "").await;
    assert_eq!(
        (response.status(), &response.headers()[header::WWW_AUTHENTICATE]),
        (StatusCode::UNAUTHORIZED, &"Bearer".parse().unwrap())
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
    let (status, told) = refused(&world, &manager, "PATCH", "/v1/clients/7", "{").await;
    assert_eq!((status, &told["code"]), (StatusCode::BAD_REQUEST, &json!(3)));
    let (status, _) = refused(&world, &manager, "GET", "/v1/testClock", "").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, told) = refused(&world, &manager, "GET", "/v1/payments/7", "").await;
    assert_eq!((status, reason(&told)), (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNREACHABLE"));
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
    assert_eq!(body(response).await["status"], "DEADLINE_EXCEEDED");
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
