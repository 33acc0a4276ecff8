//! Streams as JSON, one object a line.

use std::{pin::Pin, sync::Mutex, time::Duration};

use axum::{Router, body::Body, response::Response};
use http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use otdel_api::{
    event::{CaughtUp, Checkpoint},
    leads::{Role, SubscribeRequest, SubscribeResponse, subscribe_response::Item},
};
use otdel_runtime::{
    clock::pause,
    fault::Fault,
    server::{Drain, Kind, Listener, Serve, Shutdown, serve, shut_down},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::timeout,
};
use tokio_stream::{Stream, wrappers::UnboundedReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::world::{Asked, Somebody, World, streaming, sure};

const SUBSCRIBE: &str = "/otdel.leads.v1.LeadEventService/Subscribe";
const SOON: Duration = Duration::from_secs(5);

type Answer = Result<SubscribeResponse, Status>;

/// A gateway before a feed that sends what the test sends.
async fn feed(reader: &Somebody) -> (World, UnboundedSender<Answer>) {
    let world = World::with(&[reader]).await;
    let (send, sent) = unbounded_channel();
    let sent = std::sync::Arc::new(Mutex::new(Some(sent)));
    let subscribe = move |asked: Asked<SubscribeRequest>| -> Pin<Box<dyn Stream<Item = Answer> + Send>> {
        assert_eq!(
            (asked.msg.start_after.as_str(), asked.msg.event_types.as_slice()),
            ("c1", &["a".to_owned(), "b".to_owned()][..])
        );
        Box::pin(UnboundedReceiverStream::new(sent.lock().unwrap().take().unwrap()))
    };
    world.open("leads", Router::new().route(SUBSCRIBE, streaming(subscribe)));
    (world, send)
}

const PATH: &str = "/v1/leadEvents:subscribe?startAfter=c1&eventTypes=a&event_types=b";

async fn subscribe(world: &World, reader: &Somebody, path: &str) -> Response {
    let request = Request::get(path).header(header::AUTHORIZATION, reader.bearer()).body(Body::empty());
    sure(timeout(SOON, world.router.clone().oneshot(request.unwrap())).await.expect("an answer"))
}

fn caught_up(position: i64) -> SubscribeResponse {
    SubscribeResponse { item: Some(Item::CaughtUp(CaughtUp { cursor: "c2".into(), position })) }
}

fn checkpoint(cursor: &str) -> SubscribeResponse {
    SubscribeResponse { item: Some(Item::Checkpoint(Checkpoint { cursor: cursor.into(), position: 7 })) }
}

async fn next(response: &mut Response) -> Option<String> {
    let frame = timeout(SOON, response.frame()).await.expect("a line")?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn every_message_is_a_line_as_soon_as_it_comes() {
    let auditor = Somebody::with_role(Role::Auditor);
    let (world, send) = feed(&auditor).await;
    send.send(Ok(caught_up(3))).unwrap();
    let mut response = subscribe(&world, &auditor, PATH).await;
    assert_eq!(
        (response.status(), &response.headers()[header::CONTENT_TYPE]),
        (StatusCode::OK, &"application/x-ndjson".parse().unwrap())
    );
    assert!(response.headers().contains_key("otdel-request-id"));
    assert_eq!(next(&mut response).await.unwrap(), "{\"caughtUp\":{\"cursor\":\"c2\",\"position\":\"3\"}}\n");
    for cursor in ["Ёлка", "two\nlines"] {
        send.send(Ok(checkpoint(cursor))).unwrap();
        let line = next(&mut response).await.unwrap();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["checkpoint"]["cursor"], cursor);
    }
    drop(send);
    assert_eq!(next(&mut response).await, None, "a stream that ends as it should has no further line");
}

#[tokio::test]
async fn a_failure_in_mid_stream_is_the_last_line() {
    let auditor = Somebody::with_role(Role::Auditor);
    let (world, send) = feed(&auditor).await;
    send.send(Ok(caught_up(3))).unwrap();
    let again = Fault::unavailable("REAUTHORIZE", "come back").into_status("leads");
    send.send(Err(again)).unwrap();
    let mut response = subscribe(&world, &auditor, PATH).await;
    let id = response.headers()["otdel-request-id"].to_str().unwrap().to_owned();
    assert!(next(&mut response).await.unwrap().contains("caughtUp"));
    let last: Value = serde_json::from_str(&next(&mut response).await.unwrap()).unwrap();
    let told = json!({"error": {
        "type": "urn:otdel:leads:REAUTHORIZE",
        "title": "A stream ends after a minute so that its caller is authorized again",
        "status": 503,
        "detail": "come back",
        "instance": format!("urn:uuid:{id}"),
        "code": "UNAVAILABLE",
        "reason": "REAUTHORIZE",
        "domain": "leads.otdel",
        "retryDelay": "0.100s",
    }});
    assert_eq!(last, told);
    assert_eq!(next(&mut response).await, None);
}

#[tokio::test]
async fn what_is_refused_before_the_first_message_is_a_problem_with_its_status() {
    let (auditor, manager) = (Somebody::with_role(Role::Auditor), Somebody::with_role(Role::Manager));
    let (world, send) = feed(&auditor).await;
    // The service has begun to answer when it finds out.
    send.send(Err(Fault::new(Code::DataLoss, "CURSOR_DIVERGED", "another history").into_status("leads"))).unwrap();
    let response = subscribe(&world, &auditor, PATH).await;
    assert_eq!(
        (response.status(), &response.headers()[header::CONTENT_TYPE]),
        (StatusCode::INTERNAL_SERVER_ERROR, &"application/problem+json".parse().unwrap())
    );
    let response = subscribe(&world, &auditor, "/v1/leadEvents:subscribe?nothing=1").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let told = response.into_body().collect().await.unwrap().to_bytes();
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["violations"][0]["field"], "nothing", "{told}");
    assert_eq!(subscribe(&world, &manager, PATH).await.status(), StatusCode::UNAUTHORIZED);
    let billing = subscribe(&world, &auditor, "/v1/billingEvents:subscribe").await;
    assert_eq!(billing.status(), StatusCode::SERVICE_UNAVAILABLE, "a service that is down");
}

#[tokio::test]
async fn a_stream_with_nothing_to_say_yet_begins_within_the_time_that_its_reader_gives() {
    let auditor = Somebody::with_role(Role::Auditor);
    let (world, send) = feed(&auditor).await;
    let mut response = begin(&world, &auditor).await;
    assert_eq!(response.status(), StatusCode::OK);
    send.send(Ok(caught_up(3))).unwrap();
    assert!(next(&mut response).await.unwrap().contains("caughtUp"), "what came late is not lost");
}

#[tokio::test]
async fn the_time_that_a_service_takes_to_begin_is_part_of_it() {
    let auditor = Somebody::with_role(Role::Auditor);
    let world = World::with(&[&auditor]).await;
    let late = axum::routing::post(async || {
        pause(TIME.mul_f32(0.6)).await;
        let silent = Body::from_stream(tokio_stream::pending::<Result<&[u8], Status>>());
        Response::builder().header(header::CONTENT_TYPE, "application/grpc").body(silent).unwrap()
    });
    world.open("leads", Router::new().route(SUBSCRIBE, late));
    let response = begin(&world, &auditor).await;
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-ndjson");
}

/// What a reader gives, which is too little for both waits after one another.
const TIME: Duration = Duration::from_secs(2);

async fn begin(world: &World, reader: &Somebody) -> Response {
    let request = Request::get(PATH).header(header::AUTHORIZATION, reader.bearer()).header("grpc-timeout", "2S");
    let answer = world.router.clone().oneshot(request.body(Body::empty()).unwrap());
    sure(timeout(TIME, answer).await.expect("it begins in time"))
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_stream_behind_the_gateway() {
    let auditor = Somebody::with_role(Role::Auditor);
    let (world, send) = feed(&auditor).await;
    send.send(Ok(caught_up(3))).unwrap();
    let mut response = subscribe(&world, &auditor, PATH).await;
    assert!(next(&mut response).await.is_some());
    assert!(!send.is_closed());
    drop(response);
    timeout(SOON, send.closed()).await.expect("the service is told");
}

#[tokio::test]
async fn a_drain_tells_readers_in_their_form() {
    let auditor = Somebody::with_role(Role::Auditor);
    let (world, send) = feed(&auditor).await;
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let serving = serve(listener, Serve::new("gateway", Kind::Public, world.router.clone())).unwrap();
    let mut socket = tokio::net::TcpStream::connect(serving.address()).await.unwrap();
    let asked = format!("GET {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\n\r\n", auditor.bearer());
    socket.write_all(asked.as_bytes()).await.unwrap();
    let mut lines = BufReader::new(socket).lines();
    let mut until = async |wanted: &str| loop {
        let line = timeout(SOON, lines.next_line()).await.expect("a line").unwrap().expect("a line");
        if line.contains(wanted) {
            return line;
        }
    };
    send.send(Ok(caught_up(3))).unwrap();
    until("caughtUp").await;
    let what = Shutdown {
        health: vec![],
        listeners: vec![serving],
        workers: CancellationToken::new(),
        units: vec![],
        drain: Drain { notice: Duration::ZERO, limit: SOON },
    };
    let end = tokio::spawn(shut_down(what));
    let last: Value = serde_json::from_str(&until("error").await).unwrap();
    assert_eq!(last["error"]["reason"], "SHUTTING_DOWN");
    assert!(timeout(SOON, end).await.unwrap().unwrap(), "nothing is left behind");
}
