//! What is somebody else's.

use std::collections::BTreeSet;

use otdel_api::leads as pb;
use otdel_runtime::auth::{grants_of_role, policy_of};
use otdel_tests::{
    door::Door,
    raw,
    refusal::reason,
    staff,
    story::Story,
    suite::{Suite, Topology},
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};
use tonic::Code;

use super::public;
use crate::duplicates::{World, mutations};

/// **API1, broken object level authorization.** Nobody reads or changes what is not theirs by its id, whichever RPC is
/// given the id in a request that its owner would be answered: there is no such thing. `scope.rs` compares it with the answer
/// for what is absent.
#[tokio::test(flavor = "multi_thread")]
async fn api1_an_id_of_somebody_elses_opens_nothing() {
    let suite = Suite::start(Topology::AllInOne).await;
    let owners = staff::department(&suite.admin).await;
    let team = staff::team(&suite.admin, "Отдел № 2").await;
    let strangers = [
        (pb::Role::Manager, staff::person(&suite.admin, "Чужой", &team, &[pb::Role::Manager]).await.door),
        (
            pb::Role::HeadOfDepartment,
            staff::person(&suite.admin, "Чужая", &team, &[pb::Role::HeadOfDepartment]).await.door,
        ),
    ];
    nobody_reads_it(&suite, &owners, &strangers).await;
    let world = World { suite, staff: owners };
    nobody_changes_it(&world, &strangers).await;
    world.suite.stop().await;
}

/// Each RPC that reads is given every id there is, and finds nothing where it finds something for the owner.
async fn nobody_reads_it(suite: &Suite, owners: &staff::Department, strangers: &[(pb::Role, Door)]) {
    let mut story = Story::new(owners, suite.today().await);
    story.tell().await;
    suite.settle().await;
    let theirs =
        [&story.lead, &story.client, &story.deal, &story.contract, &story.order, &story.invoice, &story.payment];
    let mut hidden = BTreeSet::new();
    for method in public() {
        let path = raw::path(&method);
        let fields = ["name", "client", "deal", "contract", "order"].into_iter();
        let named =
            fields.filter(|field| method.input().get_field_by_name(field).is_some_and(|field| !field.is_list()));
        // A report of nothing says how fresh it is; `scope.rs` and `reports.rs` have their figures.
        let is_report = path.contains(".ReportService/");
        if is_report || method.is_server_streaming() || method.input().get_field_by_name("request_id").is_some() {
            continue;
        }
        for (field, name) in named.flat_map(|field| theirs.map(|name| (field, name))) {
            let mut request = DynamicMessage::new(method.input());
            request.set_field_by_name(field, Value::String(name.clone()));
            let request = request.encode_to_vec();
            let Ok(found) = raw::outcome(&suite.admin, &path, request.clone()).await else { continue };
            if found.is_empty() {
                continue;
            }
            // There is no such thing, or a list without it.
            for (_, stranger) in strangers {
                let answer = raw::outcome(stranger, &path, request.clone()).await;
                let is_hidden = answer.as_ref().map_or_else(|refused| refused.code() == Code::NotFound, Vec::is_empty);
                assert!(is_hidden, "{path} of {name}: {answer:?}");
            }
            hidden.insert(method.full_name().to_owned());
        }
    }
    assert!(hidden.len() >= 12, "{hidden:?}");
}

/// Each RPC that changes something is sent what its owner may send.
async fn nobody_changes_it(world: &World, strangers: &[(pb::Role, Door)]) {
    // They are about nothing that is there.
    const NEW: [&str; 1] = ["SubmitLead"];
    let (mut hidden, mut denied) = (0, 0);
    for method in mutations().iter().filter(|method| !NEW.contains(&method.name())) {
        let path = raw::path(method);
        let policy = policy_of(&path).unwrap();
        let valid = world.valid(method.name()).await.unwrap();
        for (role, stranger) in strangers {
            let refused = raw::outcome(stranger, &path, valid.request.clone()).await.expect_err(&path);
            let granted = grants_of_role(*role).iter().any(|(permission, _)| *permission == policy.permission);
            let (code, reason) = reason(&refused);
            if !granted || policy.all_rows {
                assert_eq!(
                    (code, reason.as_str()),
                    (Code::PermissionDenied, "PERMISSION_DENIED"),
                    "{role:?} and {path}"
                );
                denied += 1;
            } else {
                // What is named beside the resource is told by its reason.
                let is_hidden =
                    code == Code::NotFound || code == Code::FailedPrecondition && reason.ends_with("_NOT_FOUND");
                assert!(is_hidden, "{role:?} and {path}: {refused:?}");
                hidden += 1;
            }
        }
        // The very same request is its owner's to send.
        raw::outcome(&valid.door, &path, valid.request).await.unwrap_or_else(|refused| panic!("{path}: {refused:?}"));
    }
    assert!(hidden >= 30 && denied >= 20, "{hidden} hidden, {denied} denied");
}
