//! Keys do what they were made for and no more, for as long as they were made for: a change works within 5 s.

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use otdel_api::{gateway as gw, leads as pb};
use otdel_runtime::{clock::system_now, convert::timestamp};
use otdel_tests::{
    door::Door,
    eventually::eventually,
    refusal::{fields, reason},
    staff::{self, Somebody, id},
    suite::{Suite, Topology},
};
use tonic::{Code, Status};

/// How soon a change of the directory works.
const WITHIN: Duration = Duration::from_secs(5);

async fn caller(door: &Door) -> Result<gw::GetCallerResponse, Status> {
    door.gateway().get_caller(gw::GetCallerRequest {}).await.map(tonic::Response::into_inner)
}

/// Waits until a change has reached the door, and says so where it took too long.
async fn within_five_seconds(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asked = Instant::now();
    while !holds().await {
        assert!(asked.elapsed() < WITHIN, "{what}: not within {WITHIN:?}");
    }
}

async fn lets_in(door: &Door) -> bool {
    caller(door).await.is_ok()
}

async fn update(admin: &Door, key: pb::ApiKey, fields: &[&str]) -> Result<pb::ApiKey, Status> {
    let paths = fields.iter().map(|field| (*field).to_owned()).collect();
    let update_mask = Some(prost_types::FieldMask { paths });
    let request = pb::UpdateApiKeyRequest { request_id: id(), api_key: Some(key), update_mask };
    admin.principals().update_api_key(request).await.map(|answer| answer.into_inner().api_key.unwrap())
}

async fn a_key_lives_and_ends(suite: &Suite) {
    let admin = &suite.admin;
    let site = staff::system(admin, "сайт", &["leads.submit", "leads.read"]).await;
    let ask = pb::GetApiKeyRequest { name: site.key_name() };
    let key = admin.principals().get_api_key(ask.clone()).await.unwrap().into_inner().api_key.unwrap();

    // Narrowed: what is left out is refused. Whether the door does or the service behind it, which sees the narrowed token
    // alone, is the same to who calls.
    let narrowed = pb::ApiKey { permissions: vec!["leads.submit".into()], ..key.clone() };
    let narrowed = update(admin, narrowed, &["permissions"]).await.unwrap();
    within_five_seconds("a narrowed key", async || {
        caller(&site.door).await.is_ok_and(|caller| caller.permissions == ["caller.read", "leads.submit"])
    })
    .await;
    let denied = site.door.leads().list_leads(pb::ListLeadsRequest::default()).await.unwrap_err();
    assert_eq!(reason(&denied), (Code::PermissionDenied, "PERMISSION_DENIED".into()));
    let stale = update(admin, pb::ApiKey { read_only: true, ..key.clone() }, &["read_only"]).await.unwrap_err();
    assert_eq!(reason(&stale), (Code::Aborted, "STALE_ETAG".into()));

    // Ending: it lets in until then, and not after. On a slow machine an end may come before it is set.
    let (ends, end) = eventually("the key gets an end", || async {
        let end = system_now() + TimeDelta::seconds(3);
        let ends = pb::ApiKey { expire_time: Some(timestamp(end)), etag: String::new(), ..narrowed.clone() };
        let ends = update(admin, ends, &["expire_time"]).await.map_err(|status| status.to_string())?;
        Ok::<_, String>((ends, end))
    })
    .await;
    let refused = eventually("the key ends", || async {
        if lets_in(&site.door).await { Err("it lets in") } else { Ok(system_now()) }
    })
    .await;
    assert!(refused >= end, "it ended {} before its time", end - refused);
    let again = pb::ApiKey { expire_time: None, ..ends };
    update(admin, again, &["expire_time"]).await.unwrap();
    within_five_seconds("a key without an end", async || lets_in(&site.door).await).await;

    // Revoked for good, and why.
    let request = pb::RevokeApiKeyRequest { request_id: id(), name: site.key_name(), reason: " утечка ".into() };
    admin.principals().revoke_api_key(request).await.unwrap();
    within_five_seconds("a revoked key", async || !lets_in(&site.door).await).await;
    let key = admin.principals().get_api_key(ask).await.unwrap().into_inner().api_key.unwrap();
    assert_eq!(key.revoke_reason, "утечка");
    assert!(key.revoke_time.is_some());
    let over = update(admin, pb::ApiKey { etag: String::new(), ..key }, &["display_name"]).await.unwrap_err();
    assert_eq!(reason(&over), (Code::FailedPrecondition, "WRONG_STATE".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_about_a_key_or_its_principal_works_within_five_seconds() {
    let suite = Suite::start(Topology::AllInOne).await;
    let reader = staff::system(&suite.admin, "витрина", &["events.read"]).await;
    let stream = reader.door.lead_events().subscribe(pb::SubscribeRequest::default()).await.unwrap().into_inner();
    let request = pb::RevokeApiKeyRequest { request_id: id(), name: reader.key_name(), ..Default::default() };
    suite.admin.principals().revoke_api_key(request).await.unwrap();
    let asked = Instant::now();
    let ended = tokio::spawn(async move { (end_of(stream).await, asked.elapsed()) });
    a_key_lives_and_ends(&suite).await;
    a_principal_changes(&suite).await;
    let (refused, took) = ended.await.unwrap();
    assert_eq!(reason(&refused), (Code::Unauthenticated, "UNAUTHENTICATED".into()), "a stream is not for ever");
    assert!(took < WITHIN, "{took:?}");
    suite.stop().await;
}

async fn end_of(mut stream: tonic::Streaming<pb::SubscribeResponse>) -> Status {
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a word"),
            Err(status) => return status,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_about_a_key_works_within_five_seconds_over_the_network_too() {
    let suite = Suite::start(Topology::Split).await;
    a_key_lives_and_ends(&suite).await;
    suite.stop().await;
}

async fn a_principal_changes(suite: &Suite) {
    let admin = &suite.admin;
    let team = staff::team(admin, "Отдел").await;
    let anna = staff::person(admin, "Анна", &team, &[pb::Role::Manager]).await;
    let has = async |permission: &str| {
        caller(&anna.door).await.is_ok_and(|caller| caller.permissions.iter().any(|held| held == permission))
    };
    assert!(has("leads.work").await);

    let principal =
        pb::Principal { name: anna.principal.clone(), roles: vec![pb::Role::Accountant.into()], ..Default::default() };
    let request = pb::UpdatePrincipalRequest { request_id: id(), principal: Some(principal), update_mask: None };
    let updated = admin.principals().update_principal(request).await.unwrap().into_inner().principal.unwrap();
    assert_eq!((updated.display_name.as_str(), &updated.person), ("Анна", &anna.person));
    within_five_seconds("a changed role", async || has("payments.write").await && !has("leads.work").await).await;

    let unfit = pb::Principal { name: anna.principal.clone(), teams: vec![team], ..Default::default() };
    let request = pb::UpdatePrincipalRequest { request_id: id(), principal: Some(unfit), update_mask: None };
    let refused = admin.principals().update_principal(request).await.unwrap_err();
    assert_eq!(fields(&refused), ["principal.teams"], "an accountant heads no team: {refused:?}");

    let person = Some(prost_types::FieldMask { paths: vec!["person".into()] });
    let other = pb::Principal { name: anna.principal.clone(), ..Default::default() };
    let request = pb::UpdatePrincipalRequest { request_id: id(), principal: Some(other), update_mask: person };
    let refused = admin.principals().update_principal(request).await.unwrap_err();
    assert_eq!(fields(&refused), ["update_mask"], "nobody becomes another: {refused:?}");

    let version = async || {
        let leads = suite.database.pool("leads").await;
        sqlx::query_scalar::<_, i64>("select version from leads.directory").fetch_one(&leads).await.unwrap()
    };
    let before = version().await;
    let same = pb::UpdatePrincipalRequest { request_id: id(), principal: Some(updated), update_mask: None };
    admin.principals().update_principal(same).await.unwrap();
    assert_eq!(version().await, before, "nothing changed, and every gateway would read everything again");

    let own = caller(admin).await.unwrap().principal;
    let own = pb::Principal { name: own, display_name: "Я".into(), ..Default::default() };
    let request = pb::UpdatePrincipalRequest { request_id: id(), principal: Some(own), update_mask: None };
    let refused = admin.principals().update_principal(request).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::FailedPrecondition, "OWN_PRINCIPAL".into()));

    set_state(admin, &anna, pb::principal::State::Disabled).await;
    within_five_seconds("a disabled principal", async || !lets_in(&anna.door).await).await;
    set_state(admin, &anna, pb::principal::State::Active).await;
    within_five_seconds("a principal that is back", async || lets_in(&anna.door).await).await;
}

async fn set_state(admin: &Door, whose: &Somebody, state: pb::principal::State) {
    let name = whose.principal.clone();
    let request = pb::SetPrincipalStateRequest { request_id: id(), name, state: state.into(), ..Default::default() };
    admin.principals().set_principal_state(request).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_lets_a_key_of_their_own_do_more() {
    let suite = Suite::start(Topology::AllInOne).await;
    let admin = &suite.admin;
    let me = caller(admin).await.unwrap().principal;
    let end = system_now() + TimeDelta::hours(1);
    let terms = pb::ApiKey {
        principal: me.clone(),
        expire_time: Some(timestamp(end)),
        permissions: vec!["principals.read".into(), "principals.write".into()],
        ..Default::default()
    };
    let narrow = staff::key_of(admin, terms.clone()).await;
    let name = format!("apiKeys/{}", narrow.split_once('.').unwrap().0);
    let door = admin.with_key(&narrow);
    eventually("the key works", || async { caller(&door).await.map_err(|status| status.code()) }).await;

    let own = (Code::FailedPrecondition, "OWN_PRINCIPAL".to_owned());
    let wider = [
        (pb::ApiKey { name: name.clone(), ..Default::default() }, "expire_time"),
        (pb::ApiKey { name: name.clone(), ..Default::default() }, "permissions"),
        (
            pb::ApiKey { name: name.clone(), permissions: vec!["staff.read".into()], ..Default::default() },
            "permissions",
        ),
    ];
    for (key, field) in wider {
        let refused = update(&door, key, &[field]).await.unwrap_err();
        assert_eq!(reason(&refused), own, "{field}: {refused:?}");
    }
    let create = async |terms: pb::ApiKey| {
        let api_key = Some(pb::ApiKey { display_name: "own".into(), ..terms });
        let request = pb::CreateApiKeyRequest { request_id: id(), api_key, secret_digest: staff::secret().1 };
        door.principals().create_api_key(request).await
    };
    let whole = create(pb::ApiKey { principal: me.clone(), ..Default::default() }).await.unwrap_err();
    assert_eq!(reason(&whole), own, "{whole:?}");
    create(terms).await.expect("as much as the key itself");
    let site = staff::system(admin, "сайт", &["leads.submit"]).await;
    create(pb::ApiKey { principal: site.principal, ..Default::default() }).await.expect("another's key");

    let less = pb::ApiKey { name, permissions: vec!["principals.write".into()], ..Default::default() };
    update(&door, less, &["permissions"]).await.expect("less is no matter of another's");
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_stays_who_can_make_principals_and_keys() {
    let suite = Suite::start(Topology::AllInOne).await;
    let admin = &suite.admin;
    let list = pb::ListApiKeysRequest::default();
    let key = admin.principals().list_api_keys(list).await.unwrap().into_inner().api_keys.pop().unwrap();
    let last = (Code::FailedPrecondition, "WRONG_STATE".to_owned());
    for (key, field) in [
        (pb::ApiKey { read_only: true, ..key.clone() }, "read_only"),
        (pb::ApiKey { permissions: vec!["staff.read".into()], ..key.clone() }, "permissions"),
    ] {
        let refused = update(admin, key, &[field]).await.unwrap_err();
        assert_eq!(reason(&refused), last, "{field}: {refused:?}");
    }
    let revoke = pb::RevokeApiKeyRequest { request_id: id(), name: key.name.clone(), ..Default::default() };
    let refused = admin.principals().revoke_api_key(revoke).await.unwrap_err();
    assert_eq!(reason(&refused), last, "{refused:?}");

    // Each takes the other's rights before either has lost their own.
    let other = pb::Principal {
        display_name: "Ольга".into(),
        roles: vec![pb::Role::Administrator.into()],
        ..Default::default()
    };
    let other = staff::somebody(admin, other).await;
    let disable = |principal: &str| pb::SetPrincipalStateRequest {
        request_id: id(),
        name: principal.into(),
        state: pb::principal::State::Disabled.into(),
        ..Default::default()
    };
    let (mut one, mut two) = (admin.principals(), other.door.principals());
    let both = tokio::join!(
        one.set_principal_state(disable(&other.principal)),
        two.set_principal_state(disable(&key.principal))
    );
    assert!(both.0.is_ok() != both.1.is_ok(), "{both:?}");
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_key_of_somebody_who_may_do_everything_changes_nothing() {
    let suite = Suite::start(Topology::AllInOne).await;
    let me = caller(&suite.admin).await.unwrap();
    let terms = pb::ApiKey { principal: me.principal.clone(), read_only: true, ..Default::default() };
    let door = suite.admin.with_key(&staff::key_of(&suite.admin, terms).await);
    eventually("the key works", || async { caller(&door).await.map_err(|status| status.code()) }).await;
    let held = caller(&door).await.unwrap().permissions;
    assert!(held.iter().any(|one| one == "reports.finance") && held.len() < me.permissions.len(), "{held:?}");

    let pool = otdel_tests::raw::pool();
    for method in otdel_tests::raw::methods(&pool).iter().filter(|method| otdel_tests::raw::is_public(method)) {
        if method.input().get_field_by_name("request_id").is_none() {
            continue;
        }
        let path = otdel_tests::raw::path(method);
        let refused = otdel_tests::raw::outcome(&door, &path, Vec::new()).await.expect_err(&path);
        assert_eq!(refused.code(), Code::PermissionDenied, "{path}: {refused:?}");
    }
    assert!(door.principals().list_principals(pb::ListPrincipalsRequest::default()).await.is_ok());
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_page_by_page_and_never_with_what_opens() {
    let suite = Suite::start(Topology::AllInOne).await;
    let admin = &suite.admin;
    let site = staff::system(admin, "сайт", &["leads.submit"]).await;
    let principal = site.principal.clone();
    for _ in 0..2 {
        staff::key_of(admin, pb::ApiKey { principal: principal.clone(), ..Default::default() }).await;
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListApiKeysRequest { page_size: 2, page_token, principal: principal.clone() };
        let page = admin.principals().list_api_keys(request).await.unwrap().into_inner();
        assert!(page.api_keys.iter().all(|key| key.principal == principal));
        seen.extend(page.api_keys.into_iter().map(|key| key.name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 3);
    assert_eq!(seen.last(), Some(&site.key_name()), "newest first");
    let all = admin.principals().list_api_keys(pb::ListApiKeysRequest::default()).await.unwrap().into_inner().api_keys;
    assert!(all.len() > 3, "the development principal's too");

    // What opens is in no field that a key has, and the digest is in none either.
    let key = otdel_tests::raw::pool().get_message_by_name("otdel.leads.v1.ApiKey").unwrap();
    assert!(key.fields().all(|field| !field.name().contains("secret") && !field.name().contains("digest")));
    let denied = site.door.principals().list_api_keys(pb::ListApiKeysRequest::default()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);
    suite.stop().await;
}
