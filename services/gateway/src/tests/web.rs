//! gRPC-Web, and browsers.

use std::time::Duration;

use axum::{Router, body::Body, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use otdel_api::leads::{
    self, Role, SubscribeRequest, SubscribeResponse, client_service_client::ClientServiceClient,
    lead_event_service_client::LeadEventServiceClient,
};
use otdel_runtime::{
    fault::Fault,
    server::{Kind, Limits, Listener, Serve, Serving, serve},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status};
use tonic_web::GrpcWebClientLayer;
use tower::{Layer as _, ServiceExt as _};

use super::world::{Asked, PAGES, Somebody, World, streaming, sure, told, unary};
use crate::Face;

const GET_CLIENT: &str = "/otdel.leads.v1.ClientService/GetClient";
const SUBSCRIBE: &str = "/otdel.leads.v1.LeadEventService/Subscribe";

async fn world(caller: &Somebody) -> World {
    let world = World::with(&[caller]).await;
    let get_client = |asked: Asked<leads::GetClientRequest>| match asked.msg.name.as_str() {
        "clients/7" => {
            let client =
                leads::Client { name: asked.msg.name, display_name: "Ёлкин и Ко".into(), ..Default::default() };
            Ok(leads::GetClientResponse { client: Some(client) })
        }
        _ => Err(Fault::new(Code::NotFound, "CLIENT_NOT_FOUND", "no such client").into_status("leads")),
    };
    let subscribe = |_: Asked<SubscribeRequest>| {
        let end = Fault::unavailable("REAUTHORIZE", "come back").into_status("leads");
        tokio_stream::iter([Ok(SubscribeResponse::default()), Ok(SubscribeResponse::default()), Err(end)])
    };
    let rpcs = Router::new().route(GET_CLIENT, unary(get_client)).route(SUBSCRIBE, streaming(subscribe));
    world.open("leads", rpcs);
    world
}

fn framed(message: &impl prost::Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    [&[0], u32::try_from(message.len()).unwrap().to_be_bytes().as_slice(), &message].concat()
}

fn get_client(name: &str) -> Vec<u8> {
    framed(&leads::GetClientRequest { name: name.into() })
}

async fn send(world: &World, caller: &Somebody, form: &str, body: impl Into<Body>) -> Response {
    let request = Request::post(GET_CLIENT)
        .header(header::CONTENT_TYPE, form)
        .header(header::AUTHORIZATION, caller.bearer())
        .header("x-grpc-web", "1");
    sure(world.router.clone().oneshot(request.body(body.into()).unwrap()).await)
}

#[tokio::test]
async fn a_client_of_grpc_web_calls_and_reads_streams_and_refusals() {
    let auditor = Somebody::with_role(Role::Auditor);
    let world = world(&auditor).await;
    let web = || GrpcWebClientLayer::new().layer(world.router.clone());
    let ask = auditor.asks(leads::GetClientRequest { name: "clients/7".into() });
    let answer = ClientServiceClient::new(web()).get_client(ask).await.unwrap();
    assert_eq!(answer.into_inner().client.unwrap().display_name, "Ёлкин и Ко");
    let ask = auditor.asks(leads::GetClientRequest { name: "clients/8".into() });
    let refused = ClientServiceClient::new(web()).get_client(ask).await.unwrap_err();
    assert_eq!(told(&refused), (Code::NotFound, "CLIENT_NOT_FOUND".into(), "leads.otdel".into()));

    let ask = auditor.asks(SubscribeRequest::default());
    let mut events = LeadEventServiceClient::new(web()).subscribe(ask).await.unwrap().into_inner();
    for _ in 0..2 {
        assert!(events.message().await.unwrap().is_some());
    }
    let ended = events.message().await.unwrap_err();
    assert_eq!(told(&ended), (Code::Unavailable, "REAUTHORIZE".into(), "leads.otdel".into()));
}

#[tokio::test]
async fn a_stranger_is_told_so_in_the_same_form() {
    let (manager, stranger) = (Somebody::with_role(Role::Manager), Somebody::with_role(Role::Manager));
    let world = world(&manager).await;
    let response = send(&world, &stranger, "application/grpc-web", get_client("clients/7")).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/grpc-web+proto");
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(told(&status), (Code::Unauthenticated, "UNAUTHENTICATED".into(), "gateway.otdel".into()));
}

/// The answer of a listener to what is sent over HTTP/1.1: head and body.
async fn over_http_1(serving: &Serving, caller: &Somebody, path: &str, form: &str, body: &[u8]) -> (String, Vec<u8>) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {}\r\ncontent-type: {form}\r\n\
         origin: {PAGES}\r\ncontent-length: {}\r\n\r\n",
        caller.bearer(),
        body.len()
    );
    let mut socket = TcpStream::connect(serving.address()).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await.unwrap().unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    (String::from_utf8(answer[..end].to_vec()).unwrap(), unchunked(&answer[end + 4..]))
}

/// A body without the lengths of its chunks.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let line = body.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&body[..line]).unwrap(), 16).unwrap();
        whole.extend_from_slice(&body[line + 2..line + 2 + length]);
        body = &body[line + 2 + length + 2..];
        if length == 0 {
            return whole;
        }
    }
}

#[tokio::test]
async fn both_forms_work_over_http_1() {
    let auditor = Somebody::with_role(Role::Auditor);
    let world = world(&auditor).await;
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let serving = serve(listener, Serve::new("gateway", Kind::Public, world.router.clone())).unwrap();
    let question = get_client("clients/7");

    let (head, body) = over_http_1(&serving, &auditor, GET_CLIENT, "application/grpc-web+proto", &question).await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("content-type: application/grpc-web+proto"), "{head}");
    assert!(head.contains(&format!("access-control-allow-origin: {PAGES}")), "{head}");
    let text = String::from_utf8_lossy(&body);
    assert!(text.contains("Ёлкин и Ко") && text.contains("grpc-status:0\r\n"), "{text}");

    let encoded = STANDARD.encode(&question);
    let form = "application/grpc-web-text";
    let (head, body) = over_http_1(&serving, &auditor, GET_CLIENT, form, encoded.as_bytes()).await;
    assert!(head.contains("content-type: application/grpc-web-text+proto"), "{head}");
    // Each piece is encoded by itself, with its own padding.
    let pieces = body.split_inclusive(|byte| *byte == b'=').collect::<Vec<_>>();
    assert!(!pieces.is_empty() && body.len() % 4 == 0 && body.is_ascii(), "{body:?}");

    let feed = framed(&SubscribeRequest::default());
    let (head, body) = over_http_1(&serving, &auditor, SUBSCRIBE, "application/grpc-web", &feed).await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert_eq!(body[..10], [0; 10], "two empty messages");
    let trailers = String::from_utf8_lossy(&body[10..]);
    assert!(trailers.contains("grpc-status:14\r\n") && trailers.contains("come%20back"), "{trailers}");
}

#[tokio::test]
async fn what_cannot_be_decoded_is_the_callers_mistake() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    let malformed = (Code::InvalidArgument, "MALFORMED_REQUEST".to_owned());
    for body in ["!!!!", "AAA", "AAAAAAAAAA=="] {
        let response = send(&world, &manager, "application/grpc-web-text", body).await;
        let status = Status::from_header_map(response.headers()).expect(body);
        assert_eq!((status.code(), told(&status).1), malformed, "{body}");
    }
    let response = send(&world, &manager, "application/grpc-web+json", "{}").await;
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let request = Request::get(GET_CLIENT).header(header::CONTENT_TYPE, "application/grpc-web").body(Body::empty());
    let response = sure(world.router.clone().oneshot(request.unwrap()).await);
    assert_eq!(
        (response.status(), &response.headers()[header::ALLOW]),
        (StatusCode::METHOD_NOT_ALLOWED, &"POST".parse().unwrap())
    );
}

/// Asks whether a page may call, as browsers do.
async fn preflight(world: &World, origin: &str, path: &str, verb: &str) -> Response {
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri(path)
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, verb)
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type,x-grpc-web,x-user-agent");
    sure(world.router.clone().oneshot(request.body(Body::empty()).unwrap()).await)
}

#[tokio::test]
async fn pages_of_a_named_origin_may_call_and_read_what_is_said() {
    let manager = Somebody::with_role(Role::Manager);
    let world = world(&manager).await;
    for (path, verb) in [(GET_CLIENT, "POST"), ("/v1/clients/7", "PATCH")] {
        let response = preflight(&world, PAGES, path, verb).await;
        let headers = response.headers();
        assert!(response.status().is_success());
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], PAGES);
        let allowed = headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().unwrap();
        assert!(
            ["authorization", "content-type", "x-grpc-web", "grpc-timeout"].iter().all(|name| allowed.contains(name)),
            "{allowed}"
        );
        assert!(headers[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap().contains(verb));
        assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
    let request = Request::get("/v1/clients/7").header(header::ORIGIN, PAGES).body(Body::empty()).unwrap();
    let response = sure(world.router.clone().oneshot(request).await);
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "a page has no more rights than its key");
    let exposed = response.headers()[header::ACCESS_CONTROL_EXPOSE_HEADERS].to_str().unwrap();
    for name in
        ["grpc-status", "grpc-message", "grpc-status-details-bin", "otdel-request-id", "retry-after", "ratelimit"]
    {
        assert!(exposed.contains(name), "{exposed}");
    }
}

#[tokio::test]
async fn other_pages_may_not_call_and_where_no_origin_is_named_none_may() {
    let manager = Somebody::with_role(Role::Manager);
    let mut world = world(&manager).await;
    for origin in ["https://evil.example.org", "https://crm.example.org.evil.example", "null"] {
        let response = preflight(&world, origin, GET_CLIENT, "POST").await;
        assert!(!response.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
    }
    world.router = world.gateway.router(&Limits::default(), &Face::default()).unwrap();
    let response = preflight(&world, PAGES, "/v1/clients/7", "PATCH").await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert!(response.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
    let told = response.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&told).contains("METHOD_NOT_ALLOWED"));
}
