use std::time::{Duration, Instant};

use axum::Router;
use bytes::Bytes;
use http_body::Body as _;
use otdel_api::{
    billing::billing_event_service_client::BillingEventServiceClient,
    leads::{
        self, Role, WatchDirectoryRequest, directory_service_client::DirectoryServiceClient,
        lead_event_service_client::LeadEventServiceClient, lead_service_client::LeadServiceClient,
    },
    test::{GetClockRequest, test_clock_service_client::TestClockServiceClient},
};
use otdel_runtime::fault::Fault;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::UnboundedReceiverStream};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::ServiceExt as _;

use super::world::{Asked, Somebody, World, streaming, sure, told, unary};

const GET_LEAD: &str = "/otdel.leads.v1.LeadService/GetLead";
const SUBSCRIBE: &str = "/otdel.leads.v1.LeadEventService/Subscribe";

#[tokio::test]
async fn a_call_goes_through_with_the_token_instead_of_the_key() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    let principal = manager.principal.clone();
    let get_lead = move |asked: Asked<leads::GetLeadRequest>| {
        assert_eq!(asked.principal, principal);
        for theirs in ["authorization", "otdel-no-retry", "otdel-secret", "cookie"] {
            assert!(asked.metadata.get(theirs).is_none(), "{theirs} came through");
        }
        assert_eq!(asked.metadata.get("user-agent").unwrap(), "test/1");
        let left = asked.deadline.unwrap().0 - Instant::now();
        assert!(left < Duration::from_secs(3), "the deadline did not come through: {left:?}");
        let lead = leads::Lead { name: asked.msg.name, ..Default::default() };
        Ok(leads::GetLeadResponse { lead: Some(lead) })
    };
    world.open("leads", Router::new().route(GET_LEAD, unary(get_lead)));
    let mut ask = manager.asks(leads::GetLeadRequest { name: "leads/7".into() });
    ask.set_timeout(Duration::from_secs(3));
    for (name, value) in [("otdel-token", "forged"), ("otdel-secret", "x"), ("cookie", "x"), ("user-agent", "test/1")] {
        ask.metadata_mut().insert(name, value.parse().unwrap());
    }
    let answer = LeadServiceClient::new(world.router.clone()).get_lead(ask).await.unwrap();
    assert!(answer.metadata().get("otdel-request-id").is_some());
    assert_eq!(answer.into_inner().lead.unwrap().name, "leads/7");
}

#[tokio::test]
async fn a_refusal_of_the_service_is_passed_back_as_it_is() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    let get_lead = |_: Asked<leads::GetLeadRequest>| -> Result<leads::GetLeadResponse, Status> {
        Err(Fault::new(Code::NotFound, "LEAD_NOT_FOUND", "no such lead").with("lead", "leads/7").into_status("leads"))
    };
    world.open("leads", Router::new().route(GET_LEAD, unary(get_lead)));
    let ask = manager.asks(leads::GetLeadRequest::default());
    let refused = LeadServiceClient::new(world.router.clone()).get_lead(ask).await.unwrap_err();
    assert_eq!(told(&refused), (Code::NotFound, "LEAD_NOT_FOUND".into(), "leads.otdel".into()));
    assert_eq!(refused.get_details_error_info().unwrap().metadata["lead"], "leads/7");

    let raw = http::Request::post(GET_LEAD)
        .header("content-type", "application/grpc")
        .header("authorization", manager.bearer())
        .body(axum::body::Body::from(vec![0; 5]));
    let response = sure(world.router.clone().oneshot(raw.unwrap()).await);
    assert!(response.headers().contains_key("grpc-status"));
    assert!(response.body().is_end_stream(), "gRPC's other clients want the stream to end with the headers");
}

#[tokio::test]
async fn a_stream_goes_through_message_by_message() {
    let auditor = Somebody::with_role(Role::Auditor);
    let world = World::with(&[&auditor]).await;
    let (to_reader, from_service) = mpsc::unbounded_channel();
    let from_service = std::sync::Arc::new(std::sync::Mutex::new(Some(from_service)));
    let subscribe = move |_: Asked<leads::SubscribeRequest>| {
        UnboundedReceiverStream::new(from_service.lock().unwrap().take().unwrap())
    };
    world.open("leads", Router::new().route(SUBSCRIBE, streaming(subscribe)));
    let ask = auditor.asks(leads::SubscribeRequest::default());
    let mut events = LeadEventServiceClient::new(world.router.clone()).subscribe(ask).await.unwrap().into_inner();
    for _ in 0..3 {
        // Each is read before the next is sent.
        to_reader.send(Ok(leads::SubscribeResponse::default())).unwrap();
        assert!(events.message().await.unwrap().is_some());
    }
    to_reader.send(Err(Fault::unavailable("SHUTTING_DOWN", "over").into_status("leads"))).unwrap();
    let ended = events.message().await.unwrap_err();
    assert_eq!(told(&ended), (Code::Unavailable, "SHUTTING_DOWN".into(), "leads.otdel".into()));
}

#[tokio::test]
async fn a_stream_ends_at_once_where_a_new_directory_no_longer_lets_its_reader_in() {
    let auditor = Somebody::with_role(Role::Auditor);
    let head = leads::DirectoryPrincipal { roles: vec![Role::HeadOfDepartment.into()], ..auditor.as_principal() };
    for (principals, refused) in [
        (vec![head], (Code::PermissionDenied, "PERMISSION_DENIED")),
        (vec![], (Code::Unauthenticated, "UNAUTHENTICATED")),
    ] {
        let world = World::with(&[&auditor]).await;
        let subscribe = |_: Asked<leads::SubscribeRequest>| {
            let first = tokio_stream::once(Ok::<_, Status>(leads::SubscribeResponse::default()));
            first.chain(tokio_stream::pending())
        };
        world.open("leads", Router::new().route(SUBSCRIBE, streaming(subscribe)));
        let ask = auditor.asks(leads::SubscribeRequest::default());
        let mut events = LeadEventServiceClient::new(world.router.clone()).subscribe(ask).await.unwrap().into_inner();
        assert!(events.message().await.unwrap().is_some());
        let keys = vec![auditor.as_key()];
        world.directory.send_replace(leads::WatchDirectoryResponse { version: 2, principals, keys, unchanged: false });
        // Sooner than it would be looked at again by itself.
        let ended = tokio::time::timeout(Duration::from_secs(3), events.message()).await.expect("it ends");
        let ended = told(&ended.unwrap_err());
        assert_eq!((ended.0, ended.1.as_str(), ended.2.as_str()), (refused.0, refused.1, "gateway.otdel"));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_a_word_about_it() {
    let auditor = Somebody::with_role(Role::Auditor);
    let world = World::with(&[&auditor]).await;
    let subscribe = axum::routing::post(async || {
        let frames = [Ok(Bytes::from_static(&[0; 5])), Err(std::io::Error::other("the connection is gone"))];
        let body = axum::body::Body::from_stream(tokio_stream::iter(frames));
        axum::response::Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    });
    world.open("leads", Router::new().route(SUBSCRIBE, subscribe));
    let ask = auditor.asks(leads::SubscribeRequest::default());
    let mut events = LeadEventServiceClient::new(world.router.clone()).subscribe(ask).await.unwrap().into_inner();
    assert!(events.message().await.unwrap().is_some());
    let broken = events.message().await.unwrap_err();
    assert_eq!(told(&broken), (Code::Unavailable, "SERVICE_UNREACHABLE".into(), "gateway.otdel".into()));
}

#[tokio::test]
async fn a_service_that_is_down_is_named() {
    let auditor = Somebody::with_role(Role::Auditor);
    let world = World::with(&[&auditor]).await;
    let ask = auditor.asks(otdel_api::billing::SubscribeRequest::default());
    let refused = BillingEventServiceClient::new(world.router.clone()).subscribe(ask).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Unavailable, "SERVICE_UNREACHABLE".into(), "gateway.otdel".into()));
    assert_eq!(refused.get_details_error_info().unwrap().metadata["service"], "billing");
    assert!(refused.get_details_retry_info().is_some());
}

#[tokio::test]
async fn what_is_not_for_the_caller_does_not_reach_the_service() {
    let (manager, accountant) = (Somebody::with_role(Role::Manager), Somebody::with_role(Role::Accountant));
    let world = World::with(&[&manager, &accountant]).await;
    let get_lead = |_: Asked<leads::GetLeadRequest>| -> Result<leads::GetLeadResponse, Status> { panic!("reached") };
    world.open("leads", Router::new().route(GET_LEAD, unary(get_lead)));
    let ask = accountant.asks(leads::GetLeadRequest::default());
    let refused = LeadServiceClient::new(world.router.clone()).get_lead(ask).await.unwrap_err();
    assert_eq!(told(&refused), (Code::PermissionDenied, "PERMISSION_DENIED".into(), "gateway.otdel".into()));

    let no_such_rpc = (Code::Unimplemented, "NO_SUCH_RPC".to_owned(), "gateway.otdel".to_owned());
    let ask = manager.asks(WatchDirectoryRequest {});
    let refused = DirectoryServiceClient::new(world.router.clone()).watch_directory(ask).await.unwrap_err();
    assert_eq!(told(&refused), no_such_rpc, "an internal RPC does not exist outside");

    let tester = Somebody::with_role(Role::ServiceAccount);
    let mut may_test = tester.as_principal();
    may_test.permissions = vec!["test.clock".into()];
    world.directory.send_replace(leads::WatchDirectoryResponse {
        version: 2,
        principals: vec![may_test],
        keys: vec![tester.as_key()],
        unchanged: false,
    });
    world.version(2).await;
    let ask = tester.asks(GetClockRequest {});
    let refused = TestClockServiceClient::new(world.router.clone()).get_clock(ask).await.unwrap_err();
    assert_eq!(told(&refused), no_such_rpc, "nobody moves a clock that goes by itself");
}
