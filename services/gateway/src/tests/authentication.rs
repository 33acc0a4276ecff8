use std::time::Duration;

use chrono::TimeDelta;
use otdel_api::{
    gateway::{GetCallerRequest, gateway_service_client::GatewayServiceClient},
    leads::{Role, WatchDirectoryResponse},
};
use otdel_runtime::{
    auth::TOKEN_HEADER,
    clock::{Clock, system_now},
    convert::timestamp,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use super::world::{Somebody, World, told};
use crate::directory::Directory;

async fn caller(world: &World, authorization: &str) -> Result<String, Status> {
    let mut request = Request::new(GetCallerRequest {});
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    let answer = GatewayServiceClient::new(world.router.clone()).get_caller(request).await?;
    Ok(answer.into_inner().principal)
}

#[tokio::test]
async fn a_key_lets_its_holder_in() {
    let (manager, auditor) = (Somebody::with_role(Role::Manager), Somebody::with_role(Role::Auditor));
    let world = World::with(&[&manager, &auditor]).await;
    let ask = manager.asks(GetCallerRequest {});
    let answer = GatewayServiceClient::new(world.router.clone()).get_caller(ask).await.unwrap().into_inner();
    assert_eq!((&answer.principal, &answer.person), (&manager.principal, &manager.person));
    assert!(answer.permissions.iter().any(|permission| permission == "leads.work"));
    assert!(answer.permissions.is_sorted());
    assert_eq!(caller(&world, &auditor.bearer()).await.unwrap(), auditor.principal);
    assert_eq!(caller(&world, &auditor.bearer().replace("Bearer", "bearer")).await.unwrap(), auditor.principal);
}

#[tokio::test]
async fn whatever_is_wrong_with_a_key_the_answer_is_the_same() {
    let [good, expired, disabled, revoked] = [(); 4].map(|()| Somebody::with_role(Role::Manager));
    let world = World::with(&[]).await;
    let mut ended = expired.as_key();
    ended.expire_time = Some(timestamp(system_now() - TimeDelta::seconds(1)));
    let mut inactive = disabled.as_principal();
    inactive.active = false;
    world.directory.send_replace(WatchDirectoryResponse {
        version: 2,
        principals: vec![good.as_principal(), expired.as_principal(), inactive, revoked.as_principal()],
        keys: vec![good.as_key(), ended, disabled.as_key()],
        unchanged: false,
    });
    world.version(2).await;
    assert!(caller(&world, &good.bearer()).await.is_ok());

    let other_secret = format!("Bearer {}.{}", good.key, "another secret");
    let unknown = format!("Bearer {}.{}", Uuid::now_v7(), "secret");
    let simple = good.bearer().replace(&good.key.to_string(), &good.key.simple().to_string());
    let basic = good.bearer().replace("Bearer", "Basic");
    let given = [
        expired.bearer(),
        disabled.bearer(),
        revoked.bearer(),
        other_secret,
        unknown,
        simple,
        basic,
        format!("Bearer {}", good.key),
        format!("Bearer {}.", good.key),
        "Bearer".into(),
        "Bearer .".into(),
        String::new(),
    ];
    let mut answers = Vec::new();
    for authorization in &given {
        let refused = caller(&world, authorization).await.expect_err(authorization);
        answers.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
    }
    let nothing = GatewayServiceClient::new(world.router.clone()).get_caller(GetCallerRequest {}).await.unwrap_err();
    assert_eq!(told(&nothing), (Code::Unauthenticated, "UNAUTHENTICATED".into(), "gateway.otdel".into()));
    for answer in answers {
        assert_eq!(answer, (nothing.code(), nothing.message().to_owned(), nothing.details().to_vec()));
    }
}

#[tokio::test]
async fn a_key_given_twice_is_no_key() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    let mut ask = manager.asks(GetCallerRequest {});
    ask.metadata_mut().append("authorization", manager.bearer().parse().unwrap());
    let refused = GatewayServiceClient::new(world.router.clone()).get_caller(ask).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_internal_token_from_outside_lets_nobody_in() {
    let world = World::with(&[]).await;
    let mut ask = Request::new(GetCallerRequest {});
    let token = world.gateway.identity.own_token();
    ask.metadata_mut().insert(TOKEN_HEADER, token.parse().unwrap());
    let refused = GatewayServiceClient::new(world.router.clone()).get_caller(ask).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn nobody_is_told_apart_before_the_directory_is_there() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::before_the_directory(Clock::system());
    let refused = caller(&world, &manager.bearer()).await.unwrap_err();
    assert_eq!(told(&refused), (Code::Unavailable, "DIRECTORY_STALE".into(), "gateway.otdel".into()));
    assert!(!*world.gateway.readiness().borrow());
}

#[tokio::test]
async fn a_change_of_the_directory_counts() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    world.directory.send_replace(WatchDirectoryResponse {
        version: 2,
        principals: vec![manager.as_principal()],
        ..Default::default()
    });
    world.version(2).await;
    assert_eq!(caller(&world, &manager.bearer()).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn while_leads_is_down_what_is_known_is_good_and_then_it_is_asked_for_anew() {
    let manager = Somebody::with_role(Role::Manager);
    let mut world = World::with(&[&manager]).await;
    world.hub.close("leads");
    world.directory = watch::Sender::new(WatchDirectoryResponse { version: 2, ..Default::default() });
    assert!(caller(&world, &manager.bearer()).await.is_ok());
    world.open("leads", axum::Router::new());
    world.version(2).await;
    assert_eq!(caller(&world, &manager.bearer()).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_directory_that_falls_silent_is_asked_for_anew() {
    let world = World::with(&[]).await;
    // The stream stays open and says nothing, as that of a machine that is gone: only our own patience ends it.
    let (leads, identity) = (world.gateway.peers.leads.clone(), world.gateway.identity.clone());
    let (patience, stop) = (Duration::from_millis(20), CancellationToken::new());
    let impatient = Directory::default();
    let follow = impatient.follow_with(leads, &identity, patience, stop.clone());
    let mut asked = world.asked.subscribe();
    let ((), again) = tokio::join!(follow, async {
        let again = asked.wait_for(|asked| *asked >= 3).await.is_ok();
        stop.cancel();
        again
    });
    assert!(again);
}

#[tokio::test]
async fn a_confirmation_of_something_else_makes_the_directory_be_asked_for_anew() {
    let world = World::with(&[]).await;
    world.directory.send_replace(WatchDirectoryResponse { version: 7, unchanged: true, ..Default::default() });
    world.asked.subscribe().wait_for(|asked| *asked >= 2).await.unwrap();
}
