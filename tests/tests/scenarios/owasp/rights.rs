//! What is somebody else's work.

use otdel_api::leads as pb;
use otdel_runtime::{
    auth::{grants_of_role, policy_of},
    scope::Reach,
};
use otdel_tests::{
    raw, staff,
    suite::{Suite, Topology},
};
use prost_reflect::MethodDescriptor;
use tonic::Code;

use super::{changes_without_id, public};

/// **API5, broken function level authorization.** Every role is refused every function that the table does not grant it,
/// made from the descriptors, so that a new RPC is in it by itself; and the table grants nobody what is not their work.
#[tokio::test(flavor = "multi_thread")]
async fn api5_no_role_calls_what_is_anothers() {
    const ROLES: [pb::Role; 8] = [
        pb::Role::Manager,
        pb::Role::LeadManager,
        pb::Role::HeadOfDepartment,
        pb::Role::CommercialDirector,
        pb::Role::Accountant,
        pb::Role::Auditor,
        pb::Role::Administrator,
        pb::Role::ServiceAccount,
    ];
    let suite = Suite::start(Topology::AllInOne).await;
    let (mut denied, mut allowed) = (0, 0);
    for role in ROLES {
        let principal =
            pb::Principal { display_name: role.as_str_name().into(), roles: vec![role.into()], ..Default::default() };
        let who = staff::somebody(&suite.admin, principal).await;
        for method in public() {
            let path = raw::path(&method);
            let policy = policy_of(&path).unwrap();
            let granted = grants_of_role(role).iter().find(|(permission, _)| *permission == policy.permission);
            let may = granted.is_some_and(|(_, reach)| !policy.all_rows || *reach == Reach::All);
            assert!(!may || !is_somebody_elses_work(role, &method), "the table lets {role:?} call {path}");
            if may && (method.is_server_streaming() || changes_without_id(&method)) {
                continue;
            }
            let answer = raw::outcome(&who.door, &path, Vec::new()).await;
            let refused = answer.err().map(|status| status.code()) == Some(Code::PermissionDenied);
            assert_eq!(refused, !may, "{role:?} and {path}");
            if may { allowed += 1 } else { denied += 1 }
        }
    }
    assert!(denied > 200 && allowed > 100, "{denied} denied, {allowed} allowed");
    suite.stop().await;
}

/// What a role must never be let in to, whatever permissions are called: written down a second time, by RPCs.
fn is_somebody_elses_work(role: pb::Role, method: &MethodDescriptor) -> bool {
    /// Of nobody who sells: who may call, who works here, the feeds with everybody's facts, the clock of tests.
    const ADMINISTRATION: &[&str] =
        &[".PrincipalService/", "/CreateTeam", "/CreatePerson", "/Subscribe", "/RebuildProjection", ".TestClock"];
    const MONEY: &[&str] = &["/RecordPayment", "/AllocatePayment"];
    const RULES: &[&str] = &["/SetApprovalLimit", "/CreatePipeline"];
    const BOOKS: &[&str] = &["/GetTrialBalance", ".ProjectionService/"];
    const OTHERS: &[&str] = &["/ApproveContract", "/RejectContract", "/AssignLead", "/SetShift"];
    const SALES: &[&str] = &[
        ".ClientService/",
        ".DealService/",
        "/ListDealEvents",
        "/GetClientCard",
        "/GetDealTimeline",
        "/GetWonReport",
        "/GetFunnelReport",
    ];
    const CONTRACTS: &[&str] = &[
        "/DraftContract",
        "/ReviseContract",
        "/RequestApproval",
        "/SignContract",
        "/CreateOrder",
        "/ConfirmOrder",
        "/CancelOrder",
    ];
    const INTAKE: &[&str] = &[".LeadService/", "/GetLeadReport", "/GetConversionReport"];
    const PAPERS: &[&str] = &[
        ".ContractService/",
        ".OrderService/",
        ".InvoiceService/",
        ".PaymentService/",
        ".LedgerService/",
        ".AuthorityService/",
        "/GetRevenueReport",
        "/GetReceivablesReport",
    ];
    let path = raw::path(method);
    let is = |words: &[&[&str]]| words.concat().iter().any(|word| path.contains(word));
    let own = |words: &[&str]| path.ends_with("/GetCaller") || words.iter().any(|word| path.contains(word));
    match role {
        pb::Role::Unspecified => true,
        pb::Role::Manager => is(&[ADMINISTRATION, MONEY, RULES, BOOKS, OTHERS]),
        pb::Role::HeadOfDepartment => is(&[ADMINISTRATION, MONEY, RULES, BOOKS]),
        pb::Role::CommercialDirector => is(&[ADMINISTRATION, MONEY]),
        // Amounts are not the intake's.
        pb::Role::LeadManager => is(&[ADMINISTRATION, SALES, PAPERS, RULES, BOOKS]),
        pb::Role::Accountant => {
            let books = &BOOKS[1..];
            is(&[
                ADMINISTRATION,
                SALES,
                CONTRACTS,
                INTAKE,
                RULES,
                OTHERS,
                books,
                &[".StaffService/", ".AuthorityService/"],
            ])
        }
        pb::Role::Auditor => method.input().get_field_by_name("request_id").is_some() || path.contains(".TestClock"),
        pb::Role::Administrator => !own(&[".PrincipalService/", ".StaffService/"]),
        pb::Role::ServiceAccount => !own(&[]),
    }
}
