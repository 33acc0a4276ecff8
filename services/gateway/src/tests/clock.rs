use std::sync::{Arc, Mutex};

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use otdel_api::{
    leads::{Role, WatchDirectoryResponse},
    test::{self as pb, test_clock_service_client::TestClockServiceClient},
};
use otdel_runtime::{clock::Clock, convert::timestamp};
use tonic::Code;

use super::world::{Asked, Somebody, World, told, unary};

/// Every service's part, over one time that they share.
fn parts(now: &Arc<Mutex<DateTime<Utc>>>) -> Router {
    let (set, get) = (now.clone(), now.clone());
    let set_clock = move |asked: Asked<pb::SetClockRequest>| {
        let to = asked.msg.now.unwrap();
        *set.lock().unwrap() = DateTime::from_timestamp(to.seconds, 0).unwrap();
        Ok(pb::SetClockResponse {})
    };
    let get_progress = move |_: Asked<pb::GetProgressRequest>| {
        let now = Some(timestamp(*get.lock().unwrap()));
        Ok(pb::GetProgressResponse { now, numbered: true, ..Default::default() })
    };
    Router::new()
        .route("/otdel.test.v1.ClockPeerService/SetClock", unary(set_clock))
        .route("/otdel.test.v1.ClockPeerService/GetProgress", unary(get_progress))
        .route(
            "/otdel.test.v1.ClockPeerService/RunDue",
            unary(|_: Asked<pb::RunDueRequest>| Ok(pb::RunDueResponse::default())),
        )
}

#[tokio::test]
async fn the_clock_of_a_test_suite_is_moved_and_never_back() {
    let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let tester = Somebody::with_role(Role::ServiceAccount);
    let world = World::at(Clock::standing_at(start), &[]).await;
    let mut may_test = tester.as_principal();
    may_test.permissions = vec!["test.clock".into()];
    let now = Arc::new(Mutex::new(start));
    for service in ["leads", "contracts", "billing", "reporting"] {
        world.open(service, parts(&now));
    }
    world.directory.send_replace(WatchDirectoryResponse {
        version: 2,
        principals: vec![may_test],
        keys: vec![tester.as_key()],
        unchanged: false,
    });
    world.version(2).await;

    let mut clock = TestClockServiceClient::new(world.router.clone());
    let to = start + TimeDelta::hours(1);
    let moved = clock.advance_clock(tester.asks(pb::AdvanceClockRequest { to: Some(timestamp(to)) })).await.unwrap();
    assert_eq!(moved.into_inner().now, Some(timestamp(to)));
    assert_eq!((*now.lock().unwrap(), world.gateway.clock.now()), (to, to));
    let told_time = clock.get_clock(tester.asks(pb::GetClockRequest {})).await.unwrap();
    assert_eq!(told_time.into_inner().now, Some(timestamp(to)));

    let back =
        clock.advance_clock(tester.asks(pb::AdvanceClockRequest { to: Some(timestamp(start)) })).await.unwrap_err();
    assert_eq!(told(&back), (Code::InvalidArgument, "CLOCK_BACKWARDS".into(), "gateway.otdel".into()));
    let nowhere = clock.advance_clock(tester.asks(pb::AdvanceClockRequest { to: None })).await.unwrap_err();
    assert_eq!(told(&nowhere).1, "INVALID_FIELDS");
}
