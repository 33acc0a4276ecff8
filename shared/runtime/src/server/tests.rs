use std::{
    collections::HashSet,
    future,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::Request;
use otdel_api::leads::{LocateRequest, SubscribeRequest, lead_event_service_client::LeadEventServiceClient};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Notify,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::{
    Connection, Drain, Health, Kind, Limits, Listener, REQUEST_ID_HEADER, Serve, Serving, Shutdown, admin_router,
    serve, shut_down,
    testkit::{Scripted, reason},
};
use crate::{call::Deadline, core::Units, fault::Fault, telemetry};

/// Longer than anything here takes, shorter than a reader's patience.
const SOON: Duration = Duration::from_secs(5);

async fn channel(to: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{to}")).unwrap().connect().await.unwrap()
}

async fn client(to: &Serving) -> LeadEventServiceClient<Channel> {
    LeadEventServiceClient::new(channel(to.address()).await)
}

fn within(time: Duration) -> tonic::Request<LocateRequest> {
    let mut request = tonic::Request::new(LocateRequest::default());
    request.set_timeout(time);
    request
}

type Headers<'a> = &'a [(&'static str, &'static str)];

/// Posts bytes through the layers and gives the status in the answer's headers.
async fn post(scripted: &Scripted, path: &str, headers: Headers<'_>, body: &'static [u8]) -> Status {
    post_within(&Limits::default(), scripted, path, headers, body).await
}

async fn post_within(
    limits: &Limits,
    scripted: &Scripted,
    path: &str,
    headers: Headers<'_>,
    body: &'static [u8],
) -> Status {
    let mut request = Request::post(path).header("content-type", "application/grpc").header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = scripted.stack(limits).oneshot(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap();
    assert!(response.headers().contains_key(REQUEST_ID_HEADER));
    Status::from_header_map(response.headers()).unwrap_or_else(|| Status::ok(""))
}

const LOCATE: &str = "/otdel.leads.v1.LeadEventService/Locate";
const EMPTY_MESSAGE: &[u8] = &[0, 0, 0, 0, 0];

#[tokio::test]
async fn a_request_that_does_not_come_is_not_waited_for_however_patient_its_caller_is() {
    let limits = Limits { question: Duration::from_millis(50), ..Limits::default() };
    for path in [LOCATE, "/otdel.leads.v1.LeadEventService/Subscribe"] {
        let sent = stream::once(future::ready(Ok::<_, Status>(&EMPTY_MESSAGE[..3]))).chain(stream::pending());
        let request = Request::post(path).header("content-type", "application/grpc").header("grpc-timeout", "10M");
        let request = request.body(axum::body::Body::from_stream(sent)).unwrap();
        let answer =
            timeout(SOON, Scripted::ready().stack(&limits).oneshot(request)).await.expect("an answer").unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"), "{path}");
    }
}

#[tokio::test]
async fn a_panic_is_internal_and_tells_nothing() {
    let scripted = Scripted::new(|_, _| future::ready(()).map(|()| panic!("secret")));
    let status = post(&scripted, LOCATE, &[], EMPTY_MESSAGE).await;
    assert_eq!((status.code(), status.message()), (Code::Internal, "internal error"));
    assert_eq!(reason(&status), "INTERNAL");
}

#[tokio::test]
async fn what_cannot_be_decoded_is_the_callers_mistake() {
    let scripted = Scripted::ready();
    let bad_message = post(&scripted, LOCATE, &[], &[0, 0, 0, 0, 2, 0x0A, 0x50]).await;
    assert_eq!((bad_message.code(), reason(&bad_message).as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"));
    let bad_flag = post(&scripted, LOCATE, &[], &[7, 0, 0, 0, 0]).await;
    assert_eq!((bad_flag.code(), reason(&bad_flag).as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"));
    let cut_short = post(&scripted, LOCATE, &[], &[0, 0]).await;
    assert_eq!((cut_short.code(), reason(&cut_short).as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"));
    let large = post(&scripted, LOCATE, &[], &[0, 0, 5, 0, 0]).await;
    assert_eq!((large.code(), reason(&large).as_str()), (Code::InvalidArgument, "REQUEST_TOO_LARGE"));
    let packed = post(&scripted, LOCATE, &[("grpc-encoding", "gzip")], EMPTY_MESSAGE).await;
    assert_eq!((packed.code(), reason(&packed).as_str()), (Code::Unimplemented, "NOT_SUPPORTED"));
    assert_eq!(scripted.calls(), 0);
    assert_eq!(post(&scripted, LOCATE, &[], EMPTY_MESSAGE).await.code(), Code::Ok);
}

#[tokio::test]
async fn an_unknown_path_is_unimplemented() {
    for path in ["/otdel.leads.v1.LeadEventService/NoSuchRpc", "/otdel.leads.v1.Nobody/Locate", "/", "/healthz"] {
        let status = post(&Scripted::ready(), path, &[], EMPTY_MESSAGE).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "NO_SUCH_RPC"), "{path}");
    }
}

#[tokio::test]
async fn a_call_ends_before_the_callers_deadline_and_at_ours_without_one() {
    let ms = Duration::from_millis;
    let limits = Limits { timeout: ms(200), longest_timeout: ms(400), ..Limits::default() };
    for (header, ends_after_ms) in [(Some("100m"), 90), (Some("10m"), 5), (None, 190), (Some("1H"), 390)] {
        let headers: Vec<_> = header.iter().map(|value| ("grpc-timeout", *value)).collect();
        let began = tokio::time::Instant::now();
        let status = post_within(&limits, &Scripted::stuck(), LOCATE, &headers, EMPTY_MESSAGE).await;
        let took = began.elapsed();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        assert!(took >= ms(ends_after_ms) && took < SOON, "{header:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_handler_sees_the_callers_deadline() {
    let scripted = Scripted::new(|_, request| {
        let deadline = request.extensions().get::<Deadline>().copied();
        let left = deadline.map(|Deadline(at)| at.saturating_duration_since(std::time::Instant::now()));
        assert!(left.is_some_and(|left| left > Duration::from_secs(100) && left <= Duration::from_mins(2)));
        future::ready(Ok(()))
    });
    assert_eq!(post(&scripted, LOCATE, &[("grpc-timeout", "2M")], EMPTY_MESSAGE).await.code(), Code::Ok);
}

#[tokio::test]
async fn over_a_socket_the_deadline_is_ours_and_not_the_librarys_cancelled() {
    let serving = Scripted::stuck().listen(|_| {}).await;
    let mut client = client(&serving).await;
    let mut answers = 0;
    while answers < 3 {
        let status = client.locate(within(Duration::from_millis(100))).await.unwrap_err();
        // On a busy machine the timer of tonic's client may win over the answer; what the server says has an id.
        if status.metadata().contains_key(REQUEST_ID_HEADER) {
            assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
            answers += 1;
        }
    }
}

#[tokio::test]
async fn what_would_wait_is_refused_with_advice() {
    let entered = std::sync::Arc::new(Notify::new());
    let enters = entered.clone();
    let scripted = Scripted::new(move |_, _| {
        enters.notify_one();
        future::pending()
    });
    let serving = scripted.listen(|what| what.limits.calls = 1).await;
    let (mut first, mut second) = (client(&serving).await, client(&serving).await);
    let held = tokio::spawn(async move { first.locate(within(SOON)).await });
    timeout(SOON, entered.notified()).await.unwrap();

    let status = second.locate(within(SOON)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "OVERLOADED"));
    assert!(status.get_details_retry_info().unwrap().retry_delay.is_some());
    assert_eq!(scripted.calls(), 1);
    held.abort();
}

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_at_once() {
    let serving = Scripted::ready().listen(|what| what.limits.connections = 2).await;
    let (_one, two) = (TcpStream::connect(serving.address()).await.unwrap(), client(&serving).await);
    let mut three = TcpStream::connect(serving.address()).await.unwrap();
    assert!(matches!(timeout(SOON, three.read(&mut [0; 1])).await.unwrap(), Ok(0) | Err(_)));
    drop(two);
    // Its place is free as soon as the server has seen the end of it.
    let again = async {
        loop {
            if let Ok(channel) = Endpoint::from_shared(format!("http://{}", serving.address())).unwrap().connect().await
                && LeadEventServiceClient::new(channel).locate(within(SOON)).await.is_ok()
            {
                break;
            }
        }
    };
    timeout(SOON, again).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed_and_one_that_asked_may_stay() {
    let idle = Duration::from_millis(500);
    let scripted = Scripted::new(|_, request| {
        assert!(request.extensions().get::<Connection>().unwrap().remote().ip().is_loopback());
        future::ready(Ok(()))
    });
    let serving = scripted.listen(|what| what.limits.idle = idle).await;
    let mut asked = client(&serving).await;
    asked.locate(within(SOON)).await.unwrap();

    let mut silent = TcpStream::connect(serving.address()).await.unwrap();
    let mut slow = TcpStream::connect(serving.address()).await.unwrap();
    slow.write_all(b"PRI * HTTP/2").await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let _ = timeout(SOON, stream.read_to_end(&mut Vec::new())).await.expect("it is closed");
    }
    asked.locate(within(SOON)).await.unwrap();
}

#[tokio::test]
async fn a_public_connection_stays_while_a_call_is_under_way_and_an_internal_one_without() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let rest = Duration::from_millis(300);
    let health = Health::new("leads").await;
    let remotes = Arc::new(Mutex::new(HashSet::new()));
    let seen = remotes.clone();
    let scripted = Scripted::new(move |_, request| {
        seen.lock().unwrap().insert(request.extensions().get::<Connection>().unwrap().remote());
        future::ready(Ok(()))
    });
    let public = scripted.listen(|what| {
        (what.limits.idle, what.limits.rest) = (rest, rest);
        (what.kind, what.health) = (Kind::Public, Some(health));
    });
    let internal = scripted.listen(|what| (what.limits.idle, what.limits.rest) = (rest, rest));
    let (public, internal) = (public.await, internal.await);
    let mut peer = client(&internal).await;
    peer.locate(within(SOON)).await.unwrap();
    let mut reader = client(&public).await;
    let mut feed = reader.subscribe(SubscribeRequest::default()).await.unwrap().into_inner();
    feed.message().await.unwrap();
    let mut stranger = HealthClient::new(channel(public.address()).await);
    let mut watch = stranger.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    watch.message().await.unwrap();
    let mut asked = TcpStream::connect(public.address()).await.unwrap();
    asked.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();

    let mut answer = Vec::new();
    let _ = timeout(SOON, asked.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(answer.starts_with(b"HTTP/1.1 "), "it was answered before");
    assert!(timeout(SOON, watch.message()).await.expect("a stranger's stream keeps nothing").is_err());
    assert!(timeout(rest * 3, feed.message()).await.is_err(), "a call under way keeps its connection");
    peer.locate(within(SOON)).await.unwrap();
    assert_eq!(remotes.lock().unwrap().len(), 1, "services keep theirs");
}

fn ending(listener: Serving, limit: Duration) -> Shutdown {
    Shutdown {
        health: Vec::new(),
        listeners: vec![listener],
        workers: CancellationToken::new(),
        units: vec![Units::new(4)],
        drain: Drain { notice: Duration::ZERO, limit },
    }
}

#[tokio::test]
async fn an_end_does_not_wait_for_a_peer_that_says_nothing() {
    let serving = Scripted::ready().listen(|_| {}).await;
    let address = serving.address();
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut deaf = TcpStream::connect(address).await.unwrap();
    // A client that speaks HTTP/2 and then ignores that it is asked to go.
    deaf.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    assert_eq!(deaf.read(&mut [0; 1]).await.unwrap(), 1);

    assert!(timeout(SOON, shut_down(ending(serving, SOON))).await.expect("the end is in time"));
    let _ = timeout(SOON, silent.read_to_end(&mut Vec::new())).await.expect("its connection is broken");
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
}

#[tokio::test]
async fn an_end_waits_for_answers_and_closes_streams() {
    let (entered, goes_on) = (std::sync::Arc::new(Notify::new()), std::sync::Arc::new(Notify::new()));
    let (enters, waits) = (entered.clone(), goes_on.clone());
    let scripted = Scripted::new(move |_, _| {
        enters.notify_one();
        let waits = waits.clone();
        async move {
            waits.notified().await;
            Ok(())
        }
    });
    let serving = scripted.listen(|_| {}).await;
    let (mut caller, mut reader) = (client(&serving).await, client(&serving).await);
    let mut feed = reader.subscribe(SubscribeRequest::default()).await.unwrap().into_inner();
    assert!(feed.message().await.unwrap().is_some());
    let call = tokio::spawn(async move { caller.locate(within(SOON)).await });
    timeout(SOON, entered.notified()).await.unwrap();

    let what = ending(serving, SOON);
    let (workers, units) = (what.workers.clone(), what.units[0].clone());
    let unit = units.admit().unwrap();
    let end = tokio::spawn(shut_down(what));
    timeout(SOON, workers.cancelled()).await.expect("workers are told");
    let cut = timeout(SOON, feed.message()).await.expect("the stream ends").unwrap_err();
    assert_eq!((cut.code(), reason(&cut).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    assert!(!end.is_finished(), "a call is under way");
    goes_on.notify_one();
    call.await.unwrap().expect("a call under way is answered");
    assert!(!end.is_finished(), "a unit of work is under way");
    drop(unit);
    assert!(timeout(SOON, end).await.unwrap().unwrap());
}

#[tokio::test]
async fn an_end_has_a_hard_limit() {
    let entered = std::sync::Arc::new(Notify::new());
    let enters = entered.clone();
    let serving = Scripted::new(move |_, _| {
        enters.notify_one();
        future::pending()
    });
    let serving = serving.listen(|_| {}).await;
    let mut caller = client(&serving).await;
    let call = tokio::spawn(async move { caller.locate(within(SOON)).await });
    timeout(SOON, entered.notified()).await.unwrap();
    assert!(!timeout(SOON, shut_down(ending(serving, Duration::from_millis(50)))).await.unwrap());
    assert!(timeout(SOON, call).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn health_tells_the_truth_over_the_socket_and_to_operators() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let health = Health::new("leads").await;
    let said = health.clone();
    let serving = Scripted::ready().listen(|what| what.health = Some(said)).await;
    let mut client = HealthClient::new(channel(serving.address()).await);
    let metrics = telemetry::init(&telemetry::Settings {
        format: telemetry::LogFormat::Json,
        filter: "off".to_owned(),
        otlp_endpoint: None,
        service: "test".to_owned(),
    });
    let admin = admin_router(metrics.unwrap().metrics(), vec![health.clone()]);
    let ask = async |path| {
        let response =
            admin.clone().oneshot(Request::get(path).body(axum::body::Body::empty()).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    };
    for (ready, status, http) in [(false, 2, 503), (true, 1, 200), (false, 2, 503)] {
        health.set_ready(ready).await;
        for service in ["", "otdel.leads.v1.LeadService"] {
            let request = HealthCheckRequest { service: service.to_owned() };
            assert_eq!(client.check(request).await.unwrap().into_inner().status, status, "{service:?}");
        }
        assert_eq!(ask("/readyz").await.0, http);
    }
    assert_eq!(ask("/healthz").await.0, 200);
    assert_eq!(post(&Scripted::ready(), LOCATE, &[], EMPTY_MESSAGE).await.code(), Code::Ok);
    let (_, text) = ask("/metrics").await;
    assert!(text.contains("rpc_server_call_duration_seconds_bucket{service=\"leads\""), "{text}");
    assert!(text.contains(&format!("rpc_method=\"{LOCATE}\"")), "{text}");
}

#[tokio::test]
async fn reflection_lists_what_the_role_serves() {
    use tonic_reflection::pb::v1alpha::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let serving = Scripted::ready().listen(|what| what.kind = Kind::Public).await;
    let mut client = ServerReflectionClient::new(channel(serving.address()).await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let asks = futures_util::stream::iter([request]);
    let answer = client.server_reflection_info(asks).await.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    assert!(list.service.iter().any(|service| service.name == "otdel.leads.v1.LeadService"));

    let silent = Scripted::ready().listen(|what| what.reflection = false).await;
    let mut client = ServerReflectionClient::new(channel(silent.address()).await);
    let refused = client.server_reflection_info(futures_util::stream::pending()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn from_outside_nothing_of_ours_comes_in() {
    let scripted = Scripted::new(|_, request| {
        let metadata = request.metadata();
        assert!(metadata.get(crate::auth::TOKEN_HEADER).is_none());
        assert!(metadata.get("authorization").is_some());
        future::ready(Err(Fault::unavailable("BUSY", "seen").into_status("leads")))
    });
    let serving = scripted.listen(|what| what.kind = Kind::Public).await;
    let mut request = within(SOON);
    request.metadata_mut().insert(crate::auth::TOKEN_HEADER, "forged".parse().unwrap());
    request.metadata_mut().insert("authorization", "Bearer mine".parse().unwrap());
    let status = client(&serving).await.locate(request).await.unwrap_err();
    assert_eq!(reason(&status), "BUSY");
}

#[tokio::test]
async fn the_public_port_speaks_http_1_beside_grpc() {
    let router = Scripted::ready().stack(&Limits::default());
    let hello =
        axum::routing::get(
            |headers: http::HeaderMap| async move { format!("{}", headers.contains_key("otdel-token")) },
        );
    let what = Serve::new("leads", Kind::Public, router.route("/v1/hello", hello));
    let serving = serve(Listener::bind("127.0.0.1:0").await.unwrap(), what).unwrap();
    client(&serving).await.locate(within(SOON)).await.unwrap();

    let mut plain = TcpStream::connect(serving.address()).await.unwrap();
    plain.write_all(b"GET /v1/hello HTTP/1.1\r\nhost: x\r\notdel-token: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(SOON, plain.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("false"), "{answer}");
}
