//! People log in at an OpenID Connect issuer and come in with its tokens: who they are is the token's word, what they may
//! do the directory's.

use otdel_api::{gateway as gw, leads as pb};
use otdel_tests::{
    cluster::Database,
    door::Door,
    eventually::eventually,
    issuer::{Issuer, Signer},
    refusal::reason,
    split,
    staff::{self, Somebody, id},
    suite::{Suite, Topology},
};
use tokio::process::Command;
use tonic::{Code, Status};

pub(super) async fn suite_of(issuer: &Issuer, topology: Topology) -> Suite {
    let flags = issuer.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Suite::start_with(topology, Database::standing().await, &issuer.settings(None), &flags).await
}

/// Somebody with this role who logs in under this subject.
pub(super) async fn who_logs_in(suite: &Suite, issuer: &Issuer, subject: &str, role: pb::Role) -> Somebody {
    let principal = pb::Principal {
        display_name: subject.into(),
        roles: vec![role.into()],
        subject: issuer.login(subject),
        ..Default::default()
    };
    staff::somebody(&suite.admin, principal).await
}

pub(super) async fn caller(door: &Door) -> Result<gw::GetCallerResponse, Status> {
    door.gateway().get_caller(gw::GetCallerRequest {}).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_who_the_directory_says_by_each_kind_of_signature() {
    let issuer = Issuer::start().await;
    let suite = suite_of(&issuer, Topology::AllInOne).await;
    let anna = who_logs_in(&suite, &issuer, "anna", pb::Role::Auditor).await;
    for signer in [&issuer.ed, &issuer.ec, &issuer.rsa] {
        // A token may say what it likes about rights.
        let token = signer.token(&issuer.claims_but("anna", "roles", serde_json::json!(["administrator"])));
        let door = suite.admin.with_key(&token);
        let told = caller(&door).await.unwrap();
        assert_eq!(told.principal, anna.principal);
        assert_eq!(told.permissions, caller(&anna.door).await.unwrap().permissions);
        // The services behind the gateway take it for the same.
        assert!(door.deals().list_deals(pb::ListDealsRequest::default()).await.is_ok());
        let denied = door.staff().create_team(pb::CreateTeamRequest::default()).await.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
    }
    let disabled = pb::principal::State::Disabled.into();
    let (name, request_id) = (anna.principal.clone(), id());
    let request = pb::SetPrincipalStateRequest { request_id, name, state: disabled, ..Default::default() };
    suite.admin.principals().set_principal_state(request).await.unwrap();
    let door = suite.admin.with_key(&issuer.ed.token(&issuer.claims("anna")));
    let refused = eventually("a disabled principal is refused", || async { caller(&door).await.err().ok_or(()) }).await;
    assert_eq!(reason(&refused), (Code::Unauthenticated, "UNAUTHENTICATED".into()));
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_administrator_is_appointed_by_login_and_lets_the_others_in() {
    let (issuer, database) = (Issuer::start().await, Database::standing().await);
    let folder = std::env::temp_dir().join(format!("otdel-init-{}", uuid::Uuid::now_v7()));
    let init = async |login: &str| {
        let mut command = Command::new(split::binary());
        command.args(["init", "--admin", login, "--secrets"]).arg(&folder);
        command.env("OTDEL_ADMIN_DATABASE_URL", &database.url).output().await.unwrap()
    };
    let malformed = init("root").await;
    assert!(
        !malformed.status.success() && String::from_utf8_lossy(&malformed.stderr).contains("an issuer and a subject")
    );
    let appointed = init(&issuer.login("root")).await;
    assert!(appointed.status.success(), "{}", String::from_utf8_lossy(&appointed.stderr));
    let again = init(&issuer.login("usurper")).await;
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("administrator already"));

    let suite = Suite::start_with(Topology::AllInOne, database.clone(), &issuer.settings(None), &[]).await;
    let root = suite.anonymous.with_key(&issuer.ed.token(&issuer.claims("root")));
    let anna = pb::Principal {
        display_name: "Анна".into(),
        roles: vec![pb::Role::Auditor.into()],
        subject: issuer.login("anna"),
        ..Default::default()
    };
    let anna = pb::CreatePrincipalRequest { request_id: id(), principal: Some(anna) };
    let anna = root.principals().create_principal(anna).await.unwrap().into_inner().principal.unwrap();
    let door = suite.anonymous.with_key(&issuer.ed.token(&issuer.claims("anna")));
    let told = eventually("anna is known", || async { caller(&door).await.map_err(|error| error.code()) }).await;
    assert_eq!(told.principal, anna.name);
    suite.stop().await;
    let _ = std::fs::remove_dir_all(folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_one_principals_and_can_be_given_later() {
    let issuer = Issuer::start().await;
    let suite = suite_of(&issuer, Topology::Split).await;
    let anna = who_logs_in(&suite, &issuer, "anna", pb::Role::Manager).await;
    let boris = staff::system(&suite.admin, "Борис", &["leads.read"]).await;
    let give = |subject: &str| {
        let principal =
            pb::Principal { name: boris.principal.clone(), subject: issuer.login(subject), ..Default::default() };
        let request = pb::UpdatePrincipalRequest { request_id: id(), principal: Some(principal), update_mask: None };
        let mut principals = suite.admin.principals();
        async move { principals.update_principal(request).await }
    };
    let taken = give("anna").await.unwrap_err();
    assert_eq!(reason(&taken), (Code::AlreadyExists, "SUBJECT_TAKEN".into()));
    let door = suite.admin.with_key(&issuer.ec.token(&issuer.claims("boris")));
    assert_eq!(caller(&door).await.unwrap_err().code(), Code::Unauthenticated);
    give("boris").await.unwrap();
    let told = eventually("the subject is known", || async { caller(&door).await.map_err(|error| error.code()) }).await;
    assert_eq!(told.principal, boris.principal);
    assert_ne!(told.principal, anna.principal);
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_with_unknown_keys_do_not_make_the_gateway_ask_the_issuer_each_time() {
    let issuer = Issuer::start().await;
    let suite = suite_of(&issuer, Topology::AllInOne).await;
    who_logs_in(&suite, &issuer, "anna", pb::Role::Manager).await;
    let stranger = Signer::ed("new");
    let before = issuer.fetched();
    for kid in 0..200 {
        let header = serde_json::json!({"alg": "EdDSA", "kid": format!("unknown-{kid}")});
        let door = suite.admin.with_key(&stranger.token_with(&header, &issuer.claims("anna")));
        assert_eq!(caller(&door).await.unwrap_err().code(), Code::Unauthenticated);
    }
    let asked = issuer.fetched() - before;
    assert!(asked <= 5, "the issuer was asked {asked} times");
    // Who has a key that is known never waits for any of it.
    assert!(caller(&suite.admin.with_key(&issuer.ed.token(&issuer.claims("anna")))).await.is_ok());
    suite.stop().await;
}
