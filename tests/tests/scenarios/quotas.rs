//! So much is taken from one principal: a greedy one is told when to come again, and nobody else notices.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use futures_util::future::join_all;
use otdel_api::{gateway as gw, leads as pb};
use otdel_gateway::{Quota, Settings};
use otdel_tests::{
    cluster::Database,
    door::Door,
    eventually::eventually,
    refusal::reason,
    staff::{self, Somebody},
    suite::{Suite, Topology},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Few enough to use up at once, and so slow to come back that a slow machine does not give a call away.
fn a_few() -> Settings {
    let (calls, burst) = (NonZeroU32::MIN, NonZeroU32::new(20).unwrap());
    Settings { quota: Some(Quota { calls, burst }), issuer: None }
}

async fn suite() -> Suite {
    Suite::start_with(Topology::AllInOne, Database::standing().await, &a_few(), &[]).await
}

async fn caller(door: &Door) -> Result<tonic::Response<gw::GetCallerResponse>, Status> {
    door.gateway().get_caller(gw::GetCallerRequest {}).await
}

/// Calls until the gateway takes no more, and tells the refusal.
async fn use_up(who: &Somebody) -> Status {
    let calls = join_all((0..40).map(|_| caller(&who.door))).await;
    let refused: Vec<Status> = calls.into_iter().filter_map(Result::err).collect();
    assert!(refused.len() >= 10, "only {} calls of 40 were refused", refused.len());
    refused.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greedy_principal_is_told_when_to_come_again_and_others_are_unaffected() {
    let suite = suite().await;
    let greedy = staff::system(&suite.admin, "жадный", &["leads.read"]).await;
    let modest = staff::system(&suite.admin, "скромный", &["leads.read"]).await;

    let refused = use_up(&greedy).await;
    assert_eq!(reason(&refused), (Code::ResourceExhausted, "RATE_LIMITED".into()));
    let quota = refused.get_details_quota_failure().unwrap().violations;
    assert_eq!((quota[0].subject.as_str(), quota.len()), (greedy.principal.as_str(), 1));
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait.as_millis() > 0 && wait.as_secs() <= 1, "{wait:?}");
    let header = |name: &str| refused.metadata().get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(header("ratelimit-policy"), "\"principal\";q=20;w=20");
    assert_eq!(header("ratelimit"), "\"principal\";r=0;t=1");

    a_second_key_is_no_second_quota(&suite, &greedy).await;
    what_may_not_be_called_counts_like_what_may(&suite).await;

    let answer = caller(&modest.door).await.expect("others are unaffected");
    let left = answer.metadata().get("ratelimit").unwrap().to_str().unwrap();
    assert!(left.starts_with("\"principal\";r=1"), "{left}");
    suite.stop().await;
}

/// A bucket that is empty gives a call a second, whichever of the principal's keys asks.
async fn a_second_key_is_no_second_quota(suite: &Suite, greedy: &Somebody) {
    let terms = pb::ApiKey { principal: greedy.principal.clone(), ..Default::default() };
    let second = suite.admin.with_key(&staff::key_of(&suite.admin, terms).await);
    let emptied = Instant::now();
    use_up(greedy).await;
    let taken = AtomicU64::new(0);
    eventually("the second key is known", || async {
        match caller(&second).await {
            Err(refused) if refused.code() == Code::ResourceExhausted => Ok(()),
            Err(refused) => Err(refused.code()),
            Ok(_) => {
                taken.fetch_add(1, Relaxed);
                Err(Code::Ok)
            }
        }
    })
    .await;
    let (taken, seconds) = (taken.load(Relaxed), emptied.elapsed().as_secs());
    assert!(taken <= seconds + 1, "{taken} calls in {seconds} s");
}

/// Nobody learns for nothing what they may not do.
async fn what_may_not_be_called_counts_like_what_may(suite: &Suite) {
    let curious = staff::system(&suite.admin, "любопытный", &["leads.read"]).await;
    let refusals = join_all((0..40).map(|_| {
        let mut staff = curious.door.staff();
        async move { staff.create_team(pb::CreateTeamRequest::default()).await }
    }))
    .await;
    let counts = |code| refusals.iter().filter(|answer| answer.as_ref().err().map(Status::code) == Some(code)).count();
    let (denied, exhausted) = (counts(Code::PermissionDenied), counts(Code::ResourceExhausted));
    assert!(denied > 0 && exhausted >= 10 && denied + exhausted == 40, "{refusals:?}");
    let refused = caller(&curious.door).await.expect_err("what was denied has used it up");
    assert_eq!(refused.code(), Code::ResourceExhausted);
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_told_the_same_in_its_headers() {
    let suite = suite().await;
    let greedy = staff::system(&suite.admin, "жадный", &["leads.read"]).await;
    let call = || greedy.door.get("/v1/caller");
    let first = call().await;
    assert_eq!(first.status, 200);
    assert_eq!(first.header("ratelimit-policy").as_deref(), Some("\"principal\";q=20;w=20"));
    assert!(first.header("ratelimit").unwrap().starts_with("\"principal\";r="));
    assert_eq!(first.header("retry-after"), None);
    use_up(&greedy).await;
    let refused = join_all((0..10).map(|_| call())).await.into_iter().find(|answer| answer.status == 429).unwrap();
    assert_eq!(refused.header("retry-after").as_deref(), Some("1"));
    assert_eq!(refused.header("ratelimit").as_deref(), Some("\"principal\";r=0;t=1"));
    assert!(refused.text().contains("RATE_LIMITED"), "{}", refused.text());
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_know_a_keys_id_cannot_lock_its_owner_out() {
    let suite = suite().await;
    let owner = staff::system(&suite.admin, "сайт", &["leads.read"]).await;
    let (id, _) = owner.key.split_once('.').unwrap();
    let stranger = suite.admin.with_key(&format!("{id}.guess"));
    for refused in join_all((0..200).map(|_| caller(&stranger))).await {
        assert_eq!(reason(&refused.unwrap_err()), (Code::Unauthenticated, "UNAUTHENTICATED".into()));
    }
    assert!(caller(&owner.door).await.is_ok());
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principals_own_number_counts_before_the_gateways() {
    let suite = suite().await;
    let import = pb::Principal {
        display_name: "импорт".into(),
        roles: vec![pb::Role::ServiceAccount.into()],
        permissions: vec!["leads.read".into()],
        calls_per_second: Some(0),
        ..Default::default()
    };
    let import = staff::somebody(&suite.admin, import).await;
    for answer in join_all((0..100).map(|_| caller(&import.door))).await {
        assert!(answer.unwrap().metadata().get("ratelimit").is_none());
    }
    suite.stop().await;
}
