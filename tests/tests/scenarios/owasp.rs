//! The door held against the OWASP API Security Top 10 of 2023: one test an item, which says what is promised. Where
//! another file shows more of the same promise, the comment points there.

mod objects;
mod rights;
mod surface;

use std::{collections::BTreeSet, net::SocketAddr};

use futures_util::future::join_all;
use http::Method;
use otdel_api::{common::Decimal, contracts as ct, leads as pb};
use otdel_runtime::convert::timestamp;
use otdel_tests::{
    door::Door,
    eventually::{eventually, known, patience},
    http::Answer,
    issuer::Issuer,
    raw,
    refusal::{fields, reason},
    staff::{self, id},
    story::{Step, Story},
    suite::{Suite, Topology},
};
use prost_reflect::MethodDescriptor;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic::{Code, Status};

use super::logins;

/// **API2, broken authentication.** Whatever is wrong with a key or a login token, the answer is the same to the byte, over
/// gRPC and JSON; `jwt` in the gateway has more tokens, `quotas.rs` shows that guessing locks nobody out.
#[tokio::test(flavor = "multi_thread")]
async fn api2_whatever_is_wrong_with_a_key_or_a_token_the_answer_is_the_same() {
    let issuer = Issuer::start().await;
    let suite = logins::suite_of(&issuer, Topology::AllInOne).await;
    let anna = logins::who_logs_in(&suite, &issuer, "anna", pb::Role::Manager).await;
    let (key_id, secret) = anna.key.split_once('.').unwrap();
    let revoked = staff::system(&suite.admin, "отозванный", &["leads.read"]).await;
    let request = pb::RevokeApiKeyRequest { request_id: id(), name: revoked.key_name(), ..Default::default() };
    suite.admin.principals().revoke_api_key(request).await.unwrap();
    let door = |token: &str| suite.admin.with_key(token);
    eventually("the revoked key is refused", || async { logins::caller(&revoked.door).await.err().ok_or(()) }).await;

    let mut bad = vec![
        ("a word", "secret".to_owned()),
        ("no secret", format!("{key_id}.")),
        ("another secret", format!("{key_id}.{}", staff::secret().0)),
        ("an unknown key", format!("{}.{secret}", uuid::Uuid::now_v7())),
        ("another spelling", format!("{}.{secret}", key_id.replace('-', ""))),
        ("a revoked key", revoked.key.clone()),
    ];
    bad.extend(issuer.bad_tokens("anna"));
    let nothing = logins::caller(&suite.anonymous).await.unwrap_err();
    let json_nothing = suite.anonymous.get("/v1/caller").await;
    assert_eq!(reason(&nothing), (Code::Unauthenticated, "UNAUTHENTICATED".into()));
    assert_eq!(json_nothing.status, 401);
    for (what, token) in &bad {
        let refused = logins::caller(&door(token)).await.expect_err(what);
        let told = |status: &Status| (status.code(), status.message().to_owned(), status.details().to_vec());
        assert_eq!(told(&refused), told(&nothing), "{what}");
        let answer = door(token).get("/v1/caller").await;
        assert_eq!((answer.status, problem(&answer)), (json_nothing.status, problem(&json_nothing)), "{what}");
    }
    let good = issuer.ed.token(&issuer.claims("anna"));
    assert_eq!(logins::caller(&door(&good)).await.unwrap().principal, anna.principal);
    suite.stop().await;
}

/// A refusal without the id of the one call that it is about.
fn problem(answer: &Answer) -> serde_json::Value {
    let mut problem = answer.json();
    assert!(problem.as_object_mut().and_then(|fields| fields.remove("instance")).is_some(), "{problem}");
    problem
}

/// **API3, broken object property level authorization.** What is output only cannot be set by filling it in or by naming
/// it in a mask, a field that there is not is refused, and personal fields are blank for who may not see them.
#[tokio::test(flavor = "multi_thread")]
async fn api3_fields_that_are_not_the_callers_are_neither_set_nor_shown() {
    let suite = Suite::start(Topology::AllInOne).await;
    let admin = &suite.admin;
    let owners = staff::department(admin).await;
    let mut story = Story::new(&owners, suite.today().await);
    story.tell().await;

    let own_words = pb::Principal {
        name: format!("principals/{}", uuid::Uuid::now_v7()),
        display_name: "сайт".into(),
        permissions: vec!["leads.read".into()],
        state: pb::principal::State::Disabled.into(),
        create_time: Some(timestamp(chrono::DateTime::UNIX_EPOCH)),
        etag: "77".into(),
        ..Default::default()
    };
    let request = pb::CreatePrincipalRequest { request_id: id(), principal: Some(own_words.clone()) };
    let made = admin.principals().create_principal(request).await.unwrap().into_inner().principal.unwrap();
    assert_ne!(
        (made.name.clone(), made.create_time, made.etag.clone()),
        (own_words.name, own_words.create_time, own_words.etag)
    );
    assert_eq!(made.state(), pb::principal::State::Active);

    let get = pb::GetClientRequest { name: story.client.clone() };
    let client = admin.clients().get_client(get.clone()).await.unwrap().into_inner().client.unwrap();
    let taken_over = pb::Client { owner: owners.colleague.person.clone(), ..client.clone() };
    let mask =
        |paths: &[&str]| Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
    let update_mask = mask(&["owner", "team", "create_time", "name"]);
    let request = pb::UpdateClientRequest { request_id: id(), client: Some(taken_over.clone()), update_mask };
    let answer = admin.clients().update_client(request).await.unwrap().into_inner().client.unwrap();
    assert_eq!(answer, client, "output only fields are ignored");
    let request =
        pb::UpdateClientRequest { request_id: id(), client: Some(taken_over), update_mask: mask(&["secret_digest"]) };
    let refused = admin.clients().update_client(request).await.unwrap_err();
    assert_eq!(fields(&refused), ["update_mask"]);
    let body = json!({"requestId": id(), "isAdmin": true}).to_string();
    let answer = owners.manager.door.ask(Method::POST, "/v1/leads:submit", body).await;
    assert_eq!(answer.status, 400, "{}", answer.text());

    let auditor = staff::person(admin, "Аудитор", &owners.team, &[pb::Role::Auditor]).await;
    let seen = auditor.door.clients().get_client(get).await.unwrap().into_inner().client.unwrap();
    assert_eq!((seen.display_name.as_str(), seen.phone.as_str(), seen.email.as_str()), ("", "", ""));
    assert!(!client.phone.is_empty() || !client.email.is_empty());
    suite.stop().await;
}

/// **API4, unrestricted resource consumption.** Requests, headers, pages and time have bounds, and a body that does not
/// come is not waited for longer than the caller would wait; `quotas.rs` bounds how often.
#[tokio::test(flavor = "multi_thread")]
async fn api4_size_number_and_time_are_bounded() {
    let suite = Suite::start(Topology::AllInOne).await;
    let door = &suite.admin;
    let owners = staff::department(door).await;
    let manager = &owners.manager;

    let large = pb::SubmitLeadRequest { text: "я".repeat(200_000), ..Default::default() };
    let refused = door.leads().submit_lead(large).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::InvalidArgument, "REQUEST_TOO_LARGE".into()));
    let body = json!({"text": "я".repeat(200_000)}).to_string();
    let answer = manager.door.ask(Method::POST, "/v1/leads:submit", body).await;
    assert_eq!(answer.status, 413);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let answer = manager.door.ask(Method::POST, "/v1/leads:submit", deep).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let mut long = tonic::Request::new(otdel_api::gateway::GetCallerRequest {});
    long.metadata_mut().insert("x-long", "x".repeat(16 * 1024).parse().unwrap());
    let mut fits = tonic::Request::new(otdel_api::gateway::GetCallerRequest {});
    fits.metadata_mut().insert("x-long", "x".repeat(4 * 1024).parse().unwrap());
    assert!(door.gateway().get_caller(fits).await.is_ok());
    assert!(door.gateway().get_caller(long).await.is_err(), "headers have 8 KiB at most");

    // More than a page of the largest size holds.
    sqlx::query(
        "insert into leads.principal
         select (jsonb_populate_record(one, jsonb_build_object('id', gen_random_uuid(), 'subject', null))).*
         from leads.principal one, generate_series(1, 201)
         where one.id = (select id from leads.principal limit 1)",
    )
    .execute(&suite.database.pool("leads").await)
    .await
    .unwrap();
    for (page_size, wanted) in [(i32::MAX, 200), (201, 200), (200, 200), (0, 50)] {
        let pages = pb::ListPrincipalsRequest { page_size, ..Default::default() };
        let page = door.principals().list_principals(pages).await.unwrap().into_inner();
        assert_eq!((page.principals.len(), page.next_page_token.is_empty()), (wanted, false), "{page_size}");
    }
    let negative = pb::ListPrincipalsRequest { page_size: -1, ..Default::default() };
    assert_eq!(fields(&door.principals().list_principals(negative).await.unwrap_err()), ["page_size"]);

    // A body of which nothing comes: who has no key is refused at once, who has one when its time is over.
    let promised = "POST /v1/leads:submit HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1000\r\n";
    let stranger = raw_http(suite.address, &format!("{promised}\r\n")).await;
    assert!(stranger.starts_with("HTTP/1.1 401"), "{stranger}");
    let slow = format!("{promised}authorization: Bearer {}\r\ngrpc-timeout: 300m\r\n\r\n{{", manager.key);
    assert!(raw_http(suite.address, &slow).await.starts_with("HTTP/1.1 504"));
    suite.stop().await;
}

/// What would be done though nothing is asked for.
fn changes_without_id(method: &MethodDescriptor) -> bool {
    let reads =
        method.options().get_field_by_name("idempotency_level").and_then(|level| level.as_enum_number()) == Some(1);
    !reads && method.input().get_field_by_name("request_id").is_none()
}

/// **API6, unrestricted access to sensitive business flows.** A flood of the same request makes one lead, whatever ids the
/// sender makes up, and who drafts a contract cannot approve it. `contracts.rs` and `invoices.rs` have the flows' other
/// bounds, `quotas.rs` how fast anybody goes through them.
#[tokio::test(flavor = "multi_thread")]
async fn api6_a_flow_cannot_be_run_through_by_repeating_it() {
    let suite = Suite::start(Topology::AllInOne).await;
    let owners = staff::department(&suite.admin).await;
    let site = staff::system(&suite.admin, "сайт", &["leads.submit", "leads.read"]).await;
    let contact =
        pb::LeadContact { display_name: "Ольга".into(), phone: "+74957654321".into(), ..Default::default() };
    let request = pb::SubmitLeadRequest {
        channel: pb::Channel::Site.into(),
        source_ref: "form-1".into(),
        contact: Some(contact),
        ..Default::default()
    };
    let answers = join_all((0..20).map(|_| {
        let request = pb::SubmitLeadRequest { request_id: id(), ..request.clone() };
        let door = site.door.clone();
        async move { known(|| async { door.leads().submit_lead(request.clone()).await }).await }
    }))
    .await;
    let names: BTreeSet<String> = answers.into_iter().map(|answer| answer.unwrap().lead.unwrap().name).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let other = pb::SubmitLeadRequest { request_id: id(), text: "Другой текст".into(), ..request };
    let refused = site.door.leads().submit_lead(other).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::AlreadyExists, "SOURCE_REF_TAKEN".into()));

    // The head may approve what the team drafts, and so what the head drafts, were it not for the second pair of eyes.
    let mut story = Story::new(&owners, suite.today().await);
    story.tell_until(Step::Draft).await;
    let head = &owners.head.door;
    let line = ct::NewLine {
        display_name: "Стеллаж".into(),
        quantity: Some(Decimal { value: "1".into() }),
        unit_code: "pcs".into(),
        unit_price: Some(Decimal { value: "100".into() }),
        vat_rate: ct::VatRate::None.into(),
        vat_included: false,
    };
    let (deal, currency_code) = (story.deal.clone(), "RUB".into());
    let draft = ct::DraftContractRequest { request_id: id(), deal, currency_code, lines: vec![line] };
    let drafted = known(|| async { head.contracts().draft_contract(draft.clone()).await }).await.unwrap();
    let contract = drafted.contract.unwrap();
    let hand_in = ct::RequestApprovalRequest { request_id: id(), name: contract.name.clone(), ..Default::default() };
    known(|| async { head.contracts().request_approval(hand_in.clone()).await }).await.unwrap();
    let document_hash = contract.document_hash;
    let approve =
        ct::ApproveContractRequest { request_id: id(), name: contract.name, document_hash, ..Default::default() };
    let own = head.contracts().approve_contract(approve).await.unwrap_err();
    assert_eq!(reason(&own), (Code::PermissionDenied, "AUTHOR_MAY_NOT_APPROVE".into()));
    suite.stop().await;
}

/// **API7, server side request forgery.** Nothing that a caller sends makes the gateway ask an address: neither the
/// addresses of keys that a token's header may carry, nor one in a request's fields, nor a redirect of the issuer.
#[tokio::test(flavor = "multi_thread")]
async fn api7_no_address_from_outside_is_asked() {
    let (issuer, trap) = (Issuer::start().await, Issuer::start().await);
    let suite = logins::suite_of(&issuer, Topology::AllInOne).await;
    logins::who_logs_in(&suite, &issuer, "anna", pb::Role::Manager).await;
    let url = trap.address_of_keys();
    for name in ["jku", "x5u", "iss", "url"] {
        for kid in ["ed", "trap", url.as_str()] {
            let header = json!({"alg": "EdDSA", "kid": kid, name: url});
            let token = trap.ed.token_with(&header, &issuer.claims_but("anna", "iss", url.as_str()));
            assert!(logins::caller(&suite.admin.with_key(&token)).await.is_err());
            let token = trap.ed.token_with(&header, &issuer.claims("anna"));
            assert!(logins::caller(&suite.admin.with_key(&token)).await.is_err());
        }
    }
    let contact = pb::LeadContact { display_name: url.clone(), email: "a@b.example".into(), ..Default::default() };
    let request = pb::SubmitLeadRequest {
        request_id: id(),
        channel: pb::Channel::Site.into(),
        source_ref: url.clone(),
        origin: url.clone(),
        text: url.clone(),
        contact: Some(contact),
        ..Default::default()
    };
    suite.admin.leads().submit_lead(request).await.unwrap();
    suite.settle().await;
    assert_eq!(trap.fetched(), 0);
    suite.stop().await;
}

/// **API10, unsafe consumption of APIs.** The one foreign API is the issuer's: it is asked for keys alone, at one address,
/// whatever it answers; an answer that is none leaves API keys working and login tokens unanswered for. `fetch` in the
/// gateway has more answers. What clients bring from elsewhere, such as a bank's references, is validated like all input
/// (`bad_requests.rs`) and is taken once (`invoices.rs`).
#[tokio::test(flavor = "multi_thread")]
async fn api10_an_issuer_that_answers_nonsense_harms_nobody_else() {
    let (issuer, elsewhere) = (Issuer::start().await, Issuer::start().await);
    issuer.redirect_to(&elsewhere.address_of_keys());
    let suite = logins::suite_of(&issuer, Topology::AllInOne).await;
    let anna = logins::who_logs_in(&suite, &issuer, "anna", pb::Role::Manager).await;
    let door: Door = suite.admin.with_key(&issuer.ed.token(&issuer.claims("anna")));
    let refused = logins::caller(&door).await.unwrap_err();
    assert_eq!(reason(&refused), (Code::Unavailable, "ISSUER_UNREACHABLE".into()));
    assert!(logins::caller(&anna.door).await.is_ok(), "keys still let in");
    assert!(issuer.fetched() >= 1);
    assert_eq!(elsewhere.fetched(), 0, "a redirect is followed nowhere");
    suite.stop().await;
}

fn public() -> Vec<MethodDescriptor> {
    raw::methods(&raw::pool()).into_iter().filter(raw::is_public).collect()
}

/// What `google.api.http` says of an RPC: the verb, and the pattern of the path.
fn rule(method: &MethodDescriptor) -> (String, String) {
    let pool = method.parent_pool();
    let option = pool.get_extension_by_name("google.api.http").unwrap();
    let options = method.options();
    let rule = options.get_extension(&option).as_message().unwrap().clone();
    ["get", "post", "put", "patch", "delete"]
        .into_iter()
        .filter(|verb| rule.has_field_by_name(verb))
        .find_map(|verb| Some((verb.to_uppercase(), rule.get_field_by_name(verb)?.as_str()?.to_owned())))
        .unwrap()
}

fn verb(method: &MethodDescriptor) -> Method {
    rule(method).0.parse().unwrap()
}

/// A path of the pattern, such as `/v1/leads/x:assign` of `/v1/{name=leads/*}:assign`.
fn json_path(method: &MethodDescriptor) -> String {
    let mut path = rule(method).1;
    while let (Some(start), Some(end)) = (path.find('{'), path.find('}')) {
        let inner = path[start + 1..end].split_once('=').map_or("x", |(_, pattern)| pattern).replace('*', "x");
        path.replace_range(start..=end, &inner);
    }
    path
}

/// Sends this text and tells what comes back first.
pub(super) async fn raw_http(address: SocketAddr, request: &str) -> String {
    String::from_utf8_lossy(&raw_bytes(address, request.as_bytes()).await).into_owned()
}

/// Sends these bytes and tells what comes back first. Whoever says nothing is no answer.
async fn raw_bytes(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(request).await;
    let mut answer = vec![0; 64 * 1024];
    let read = tokio::time::timeout(patience(), stream.read(&mut answer)).await;
    let length = read.expect("an answer").unwrap_or_default();
    answer.truncate(length);
    answer
}
