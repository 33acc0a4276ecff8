use std::{
    future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use http::Request;
use otdel_api::leads::{LocateRequest, SubscribeRequest, lead_event_service_client::LeadEventServiceClient};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{net::TcpListener, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, body::Body};
use tower::ServiceExt as _;

use super::{BadTls, ClientTls, HostPort, Hub, NO_RETRY_HEADER, Peers, Rpc};
use crate::{
    auth::Caller,
    call::Deadline,
    fault::Fault,
    server::{
        Drain, Health, Limits, MAX_REQUEST, ServerTls, Serving, Shutdown, shut_down,
        testkit::{Scripted, reason},
    },
};

/// Longer than anything here takes, shorter than a reader's patience.
const SOON: Duration = Duration::from_secs(5);

fn in_process(scripted: &Scripted) -> (Hub, LeadEventServiceClient<Rpc>) {
    let hub = Hub::default();
    hub.open("leads", scripted.stack(&Limits::default()));
    let client = LeadEventServiceClient::new(Peers::in_process(&hub, "billing").leads);
    (hub, client)
}

fn remote(addresses: &[SocketAddr]) -> LeadEventServiceClient<Rpc> {
    let endpoints = addresses.iter().map(|address| address.to_string().parse().unwrap()).collect();
    LeadEventServiceClient::new(Rpc::remote("leads", "billing", endpoints, None).unwrap())
}

fn ask() -> LocateRequest {
    LocateRequest::default()
}

fn within(time: Duration) -> tonic::Request<LocateRequest> {
    let mut request = tonic::Request::new(ask());
    request.set_timeout(time);
    request
}

fn busy() -> Status {
    let mut fault = Fault::unavailable("BUSY", "another call holds what this one needs");
    fault.retry_after = None;
    fault.into_status("leads")
}

#[tokio::test]
async fn only_unavailable_is_tried_again() {
    let (_hub, mut client) =
        in_process(&Scripted::new(|nth, _| future::ready(if nth < 3 { Err(busy()) } else { Ok(()) })));
    client.locate(ask()).await.unwrap();

    for code in (1..=16).map(Code::from).filter(|code| *code != Code::Unavailable) {
        let refuses =
            Scripted::new(move |_, _| future::ready(Err(Fault::new(code, "REASON", "text").into_status("leads"))));
        let (_hub, mut client) = in_process(&refuses);
        let status = client.locate(ask()).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str(), refuses.calls()), (code, "REASON", 1));
    }
}

#[tokio::test]
async fn a_call_is_tried_three_times_and_the_last_answer_counts() {
    let refuses = Scripted::new(|_, _| future::ready(Err(busy())));
    let (_hub, mut client) = in_process(&refuses);
    let status = client.locate(ask()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str(), refuses.calls()), (Code::Unavailable, "BUSY", 3));
}

#[tokio::test]
async fn a_caller_that_tries_again_itself_is_left_to_do_so() {
    let refuses = Scripted::new(|_, request| {
        assert!(request.metadata().get(NO_RETRY_HEADER).is_none());
        future::ready(Err(busy()))
    });
    let (_hub, mut client) = in_process(&refuses);
    let mut request = within(SOON);
    request.metadata_mut().insert(NO_RETRY_HEADER, "1".parse().unwrap());
    client.locate(request).await.unwrap_err();
    assert_eq!(refuses.calls(), 1);
}

#[tokio::test]
async fn no_try_begins_that_the_deadline_or_the_peer_forbids() {
    let refuses = Scripted::new(|_, _| future::ready(Err(busy())));
    let (_hub, mut client) = in_process(&refuses);
    let status = client.locate(within(Duration::from_millis(20))).await.unwrap_err();
    // On a busy machine even the first may come too late.
    assert!(matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded), "{status:?}");
    assert!(refuses.calls() <= 1);

    let tired = Scripted::new(|_, _| {
        let mut fault = Fault::unavailable("OVERLOADED", "too many calls at once");
        fault.retry_after = Some(Duration::from_mins(1));
        future::ready(Err(fault.into_status("leads")))
    });
    let (_hub, mut client) = in_process(&tired);
    let began = Instant::now();
    assert_eq!(client.locate(ask()).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(tired.calls(), 1);
    assert!(began.elapsed() < SOON);
}

#[tokio::test]
async fn a_deadline_holds_in_process_and_is_passed_on() {
    let (_hub, mut client) = in_process(&Scripted::stuck());
    let began = Instant::now();
    let status = client.locate(within(Duration::from_millis(100))).await.unwrap_err();
    let took = began.elapsed();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    assert!(took >= Duration::from_millis(85) && took < SOON, "{took:?}");

    let (_hub, mut client) = in_process(&Scripted::new(|_, request| {
        let Deadline(at) = *request.extensions().get::<Deadline>().unwrap();
        let left = at.saturating_duration_since(Instant::now());
        assert!(left > Duration::from_secs(9) && left <= Duration::from_secs(10), "{left:?}");
        future::ready(Ok(()))
    }));
    client.locate(ask()).await.unwrap();
}

#[tokio::test]
async fn a_deadline_holds_over_a_socket_whatever_the_peer_does() {
    let stuck = Scripted::stuck().listen(|_| {}).await;
    // Accepts, and then says nothing at all.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [stuck.address(), mute.local_addr().unwrap()] {
        let began = Instant::now();
        let status = remote(&[address]).locate(within(Duration::from_millis(200))).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_role_that_is_closed_is_unreachable_until_it_is_opened() {
    let (hub, mut client) = in_process(&Scripted::ready());
    client.locate(ask()).await.unwrap();
    hub.close("leads");
    let status = client.locate(ask()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVICE_UNREACHABLE"));
    let status = client.subscribe(SubscribeRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVICE_UNREACHABLE"));
    hub.open("leads", Scripted::ready().stack(&Limits::default()));
    client.locate(ask()).await.unwrap();
}

#[tokio::test]
async fn what_one_role_knows_of_a_call_does_not_reach_the_other() {
    #[derive(Clone)]
    struct Secret;
    let (_hub, mut client) = in_process(&Scripted::new(|_, request| {
        assert_eq!(request.extensions().get::<Caller>(), Some(&Caller("billing")));
        assert!(request.extensions().get::<Secret>().is_none());
        future::ready(Ok(()))
    }));
    let mut request = within(SOON);
    request.extensions_mut().insert(Secret);
    request.extensions_mut().insert(Caller("gateway"));
    client.locate(request).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_too_large_does_not_leave() {
    let scripted = Scripted::ready();
    let (_hub, mut client) = in_process(&scripted);
    let status =
        client.locate(LocateRequest { change: "x".repeat(MAX_REQUEST), ..Default::default() }).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "REQUEST_TOO_LARGE"));
    assert_eq!(scripted.calls(), 0);
    client.locate(LocateRequest { change: "x".repeat(MAX_REQUEST - 10), ..Default::default() }).await.unwrap();
}

#[tokio::test]
async fn a_raw_request_is_answered_as_it_was() {
    let (hub, _) = in_process(&Scripted::ready());
    let request = Request::post("/otdel.leads.v1.LeadEventService/Locate")
        .header("content-type", "application/grpc")
        .body(Body::new(http_body_util::Full::new(bytes::Bytes::from_static(&[0, 0, 0, 0, 0]))));
    let answer = Rpc::local(&hub, "leads", "gateway").oneshot(request.unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let whole = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
    assert_eq!(whole.trailers().unwrap().get("grpc-status").unwrap(), "0");
    assert_eq!(&whole.to_bytes()[..], [0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn calls_spread_over_replicas_and_survive_the_loss_of_one() {
    let (one, two) = (Scripted::ready(), Scripted::ready());
    let (first, second) = (one.listen(|_| {}).await, two.listen(|_| {}).await);
    let mut client = remote(&[first.address(), second.address()]);
    for _ in 0..20 {
        client.locate(ask()).await.unwrap();
    }
    assert_eq!((one.calls(), two.calls()), (10, 10));
    drop(second);
    for _ in 0..20 {
        client.locate(ask()).await.unwrap();
    }
    assert_eq!(one.calls() + two.calls(), 40);
    assert!(two.calls() <= 11, "{} calls to the one that went away", two.calls());
}

#[tokio::test]
async fn a_replica_that_says_that_it_is_not_ready_is_passed_over_until_it_is() {
    let replicas = [Scripted::ready(), Scripted::ready()];
    let health = [Health::new("leads").await, Health::new("leads").await];
    let serving = [
        replicas[0].listen(|what| what.health = Some(health[0].clone())).await,
        replicas[1].listen(|what| what.health = Some(health[1].clone())).await,
    ];
    let client = remote(&[serving[0].address(), serving[1].address()]);
    let calls = || [replicas[0].calls(), replicas[1].calls()];
    // Calls until twenty in a row went to one of them alone.
    let only = async |which: usize| {
        let alone = async {
            loop {
                let before = calls();
                for _ in 0..20 {
                    client.clone().locate(ask()).await.unwrap();
                }
                if calls()[which] == before[which] + 20 {
                    return;
                }
            }
        };
        timeout(SOON, alone).await.unwrap();
    };
    health[0].set_ready(true).await;
    only(0).await;
    // Nobody was broken off and no address was resolved again: it is the health that says so.
    health[1].set_ready(true).await;
    health[0].set_ready(false).await;
    only(1).await;
}

#[tokio::test]
async fn a_replica_that_refuses_connections_costs_no_call_even_where_nothing_is_tried_again() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let ready = Scripted::ready();
    let serving = ready.listen(|_| {}).await;
    let mut client = remote(&[gone, serving.address()]);
    for _ in 0..20 {
        let mut request = within(SOON);
        request.metadata_mut().insert(NO_RETRY_HEADER, "1".parse().unwrap());
        client.locate(request).await.unwrap();
    }
    assert_eq!(ready.calls(), 20);
}

#[tokio::test]
async fn a_replica_that_refuses_connections_costs_no_stream() {
    // Of addresses of which nothing is known yet the lowest has the first turn.
    let gone = SocketAddr::from(([127, 0, 0, 1], 1));
    let serving = Scripted::ready().listen(|_| {}).await;
    remote(&[gone, serving.address()]).subscribe(SubscribeRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_call_under_way_at_a_replica_that_dies_is_made_at_another() {
    let stuck = Scripted::stuck();
    let ready = Scripted::ready();
    let (dies, stays) = (stuck.listen(|_| {}).await, ready.listen(|_| {}).await);
    let client = remote(&[dies.address(), stays.address()]);
    let calls: Vec<_> = (0..2)
        .map(|_| {
            tokio::spawn({
                let mut client = client.clone();
                async move { client.locate(ask()).await }
            })
        })
        .collect();
    while stuck.calls() == 0 || ready.calls() == 0 {
        tokio::task::yield_now().await;
    }
    drop(dies);
    for call in calls {
        timeout(SOON, call).await.unwrap().unwrap().unwrap();
    }
    assert_eq!(ready.calls(), 2);
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for mut client in [remote(&[address]), remote(&[])] {
        let status = timeout(SOON, client.locate(ask())).await.unwrap().unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVICE_UNREACHABLE"));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_unavailable_to_its_reader() {
    let serving = Scripted::ready().listen(|_| {}).await;
    let mut stream = remote(&[serving.address()]).subscribe(SubscribeRequest::default()).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some());
    drop(serving);
    let status = timeout(SOON, stream.message()).await.unwrap().unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVICE_UNREACHABLE"));
}

#[tokio::test]
async fn a_replica_that_ends_in_order_costs_no_call() {
    let replicas = [Scripted::ready(), Scripted::ready()];
    let (ends, stays) = (replicas[0].listen(|_| {}).await, replicas[1].listen(|_| {}).await);
    let client = remote(&[ends.address(), stays.address()]);
    let caller = |mut client: LeadEventServiceClient<Rpc>| async move {
        for _ in 0..50 {
            client.locate(ask()).await?;
        }
        Ok::<_, Status>(())
    };
    let callers: Vec<_> = (0..8).map(|_| tokio::spawn(caller(client.clone()))).collect();
    while replicas[0].calls() < 20 {
        tokio::task::yield_now().await;
    }
    let what = Shutdown {
        health: Vec::new(),
        listeners: vec![ends],
        workers: CancellationToken::new(),
        units: Vec::new(),
        drain: Drain { notice: Duration::ZERO, limit: SOON },
    };
    assert!(shut_down(what).await);
    for caller in callers {
        timeout(SOON * 4, caller).await.unwrap().unwrap().unwrap();
    }
    assert!(replicas[1].calls() > 200, "the other took over");
}

#[tokio::test]
async fn a_storm_of_deadlines_does_not_end_the_connection_for_others() {
    let scripted = Scripted::new(|_, request| async move {
        if request.get_ref().change.is_empty() { future::pending().await } else { Ok(()) }
    });
    let serving = scripted.listen(|_| {}).await;
    let client = remote(&[serving.address()]);
    let storm = |mut client: LeadEventServiceClient<Rpc>| async move {
        for _ in 0..20 {
            let status = client.locate(within(Duration::from_millis(1))).await.unwrap_err();
            // What the layers refuse under such a load is theirs to refuse; a broken connection is not.
            assert_ne!(reason(&status), "SERVICE_UNREACHABLE", "{status:?}");
        }
    };
    let storms: Vec<_> = (0..100).map(|_| tokio::spawn(storm(client.clone()))).collect();
    for storm in storms {
        timeout(SOON * 4, storm).await.unwrap().unwrap();
    }
    client.clone().locate(LocateRequest { change: "events/x".to_owned(), ..Default::default() }).await.unwrap();
}

/// Certificates in folders, taken away with it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer, folder: std::env::temp_dir().join(format!("otdel-tls-{}", uuid::Uuid::new_v4())) }
    }

    /// A folder as a role gets it.
    fn issue(&self, names: &[&str]) -> PathBuf {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let folder = self.folder.join(names.join("+"));
        std::fs::create_dir_all(&folder).unwrap();
        for (name, text) in
            [("ca.pem", self.issuer.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())]
        {
            std::fs::write(folder.join(name), text).unwrap();
        }
        folder
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

async fn listen_with(scripted: &Scripted, folder: &Path) -> Serving {
    let tls = ServerTls::load(folder).unwrap();
    scripted.listen(|what| what.tls = Some(tls)).await
}

fn remote_with(to: &Serving, folder: &Path) -> LeadEventServiceClient<Rpc> {
    let endpoint = HostPort { host: "localhost".to_owned(), port: to.address().port() };
    let tls = ClientTls::load(folder).unwrap();
    LeadEventServiceClient::new(Rpc::remote("leads", "ignored", vec![endpoint], Some(tls)).unwrap())
}

#[tokio::test]
async fn mutual_tls_says_which_service_calls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let scripted = Scripted::new(|nth, request| {
        let expected = if nth <= 2 { Some(&Caller("contracts")) } else { None };
        assert_eq!(request.extensions().get::<Caller>(), expected);
        assert!(request.extensions().get::<crate::server::Connection>().is_some());
        future::ready(Ok(()))
    });
    let serving = listen_with(&scripted, &authority.issue(&["leads"])).await;

    // The certificate counts, and not what the caller says of itself.
    let mut contracts = remote_with(&serving, &authority.issue(&["contracts"]));
    contracts.locate(ask()).await.unwrap();
    contracts.locate(ask()).await.unwrap();
    // One of our authority that names no service comes in as nobody.
    remote_with(&serving, &authority.issue(&["nobody"])).locate(ask()).await.unwrap();
    assert_eq!(scripted.calls(), 3);

    let mut plain = remote(&[serving.address()]);
    let mut of_another_authority = remote_with(&serving, &stranger.issue(&["contracts"]));
    for client in [&mut plain, &mut of_another_authority] {
        let status = timeout(SOON, client.locate(ask())).await.unwrap().unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unavailable, "SERVICE_UNREACHABLE"));
    }
    assert_eq!(scripted.calls(), 3);
}

#[tokio::test]
async fn a_peer_must_be_the_service_that_is_called() {
    let authority = Authority::new();
    let scripted = Scripted::ready();
    let impostor = listen_with(&scripted, &authority.issue(&["reporting"])).await;
    let status = remote_with(&impostor, &authority.issue(&["billing"])).locate(ask()).await.unwrap_err();
    assert_eq!(reason(&status), "SERVICE_UNREACHABLE");
    assert_eq!(scripted.calls(), 0);
}

#[tokio::test]
async fn bad_certificates_are_noticed_at_the_start() {
    let authority = Authority::new();
    let folder = authority.issue(&["billing"]);
    assert!(matches!(ClientTls::load(&folder.join("absent")), Err(BadTls::Unreadable { .. })));
    std::fs::write(folder.join("key.pem"), "no key").unwrap();
    let tls = ClientTls::load(&folder).unwrap();
    assert!(matches!(Rpc::remote("leads", "billing", vec![], Some(tls)), Err(BadTls::Unusable(_))));
}
