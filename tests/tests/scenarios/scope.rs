//! Nobody sees more than their own: managers their rows, heads of department their team's, and a foreign id is the same
//! `NOT_FOUND` as an absent one.

use futures_util::{StreamExt as _, stream};
use otdel_api::{billing as bl, contracts as ct, gateway as gw, leads as pb, reporting as rp};
use otdel_tests::{
    door::Door,
    eventually::{eventually, known},
    raw,
    staff::{self, Somebody, id},
    story::{Step, Story},
    suite::{Suite, Topology},
};
use tonic::{Code, Status};

struct Two {
    suite: Suite,
    first: Story,
    second: Story,
    head: Somebody,
    other_head: Somebody,
}

/// Two departments, each with a whole story of its own.
async fn two_departments() -> Two {
    let suite = Suite::start(Topology::AllInOne).await;
    let today = suite.today().await;
    let one = staff::department(&suite.admin).await;
    let mut first = Story::new(&one, today);
    first.tell().await;
    // Nobody of the first department takes what comes for the second.
    for person in [&one.manager, &one.colleague] {
        staff::on_shift(&suite.admin, &person.person, 0).await;
    }
    let two = staff::department(&suite.admin).await;
    let mut second = Story::new(&two, today);
    second.tell().await;
    Two { suite, first, second, head: one.head.clone(), other_head: two.head.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_lists_their_own_and_a_head_their_teams() {
    let two = two_departments().await;
    let (mine, theirs) = (&two.first, &two.second);
    for (door, story) in [
        (&mine.manager().door, mine),
        (&two.head.door, mine),
        (&theirs.manager().door, theirs),
        (&two.other_head.door, theirs),
    ] {
        assert_eq!(
            lists(door).await,
            [
                story.lead.clone(),
                story.client.clone(),
                story.deal.clone(),
                story.contract.clone(),
                story.order.clone(),
                story.invoice.clone()
            ]
        );
    }
    // Who reaches everything lists both, so the lists above are not short by accident.
    let all = two.suite.admin.deals().list_deals(pb::ListDealsRequest::default()).await.unwrap().into_inner().deals;
    assert_eq!(all.len(), 2);
    two.suite.stop().await;
}

async fn lists(door: &Door) -> Vec<String> {
    let mut names = Vec::new();
    let leads = door.leads().list_leads(pb::ListLeadsRequest::default()).await.unwrap().into_inner().leads;
    names.extend(leads.into_iter().map(|one| one.name));
    let clients = door.clients().list_clients(pb::ListClientsRequest::default()).await.unwrap().into_inner().clients;
    names.extend(clients.into_iter().map(|one| one.name));
    let deals = door.deals().list_deals(pb::ListDealsRequest::default()).await.unwrap().into_inner().deals;
    names.extend(deals.into_iter().map(|one| one.name));
    let contracts =
        door.contracts().list_contracts(ct::ListContractsRequest::default()).await.unwrap().into_inner().contracts;
    names.extend(contracts.into_iter().map(|one| one.name));
    let orders = door.orders().list_orders(ct::ListOrdersRequest::default()).await.unwrap().into_inner().orders;
    names.extend(orders.into_iter().map(|one| one.name));
    let invoices =
        door.invoices().list_invoices(bl::ListInvoicesRequest::default()).await.unwrap().into_inner().invoices;
    names.extend(invoices.into_iter().map(|one| one.name));
    names
}

/// What is asked for at the same time is read together.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_together_with_others_sees_no_more_than_alone() {
    let two = two_departments().await;
    let (one, other) = (&two.first, &two.second);
    let asks = [
        (&one.manager().door, [true, false]),
        (&two.head.door, [true, false]),
        (&other.manager().door, [false, true]),
        (&two.other_head.door, [false, true]),
        (&two.suite.admin, [true, true]),
    ];
    let mut calls = Vec::new();
    for (door, reaches) in asks.into_iter().cycle().take(100) {
        for (story, reached) in [one, other].into_iter().zip(reaches) {
            calls.push(async move {
                let (name, owner) = (story.lead.clone(), story.manager().person.clone());
                let (mut reads, mut lists) = (door.leads(), door.leads());
                let list = pb::ListLeadsRequest { owner, ..Default::default() };
                let (read, listed) =
                    tokio::join!(reads.get_lead(pb::GetLeadRequest { name: name.clone() }), lists.list_leads(list));
                let read = read.map(|answer| answer.into_inner().lead.unwrap().name).map_err(|refusal| refusal.code());
                assert_eq!(read, if reached { Ok(name.clone()) } else { Err(Code::NotFound) });
                let listed: Vec<_> = listed.unwrap().into_inner().leads.into_iter().map(|lead| lead.name).collect();
                assert_eq!(listed, if reached { vec![name] } else { vec![] });
            });
        }
    }
    // So many that most of them find others under way, and not too many for a role that is made for tests.
    stream::iter(calls).for_each_concurrent(8, |call| call).await;
    two.suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_id_is_answered_like_an_absent_one() {
    let two = two_departments().await;
    let theirs = &two.second;
    let absent = |collection: &str| format!("{collection}/{}", uuid::Uuid::now_v7());
    for door in [&two.first.manager().door, &two.head.door] {
        let pairs = [
            (get_lead(door, &theirs.lead).await, get_lead(door, &absent("leads")).await),
            (get_client(door, &theirs.client).await, get_client(door, &absent("clients")).await),
            (get_deal(door, &theirs.deal).await, get_deal(door, &absent("deals")).await),
            (get_contract(door, &theirs.contract).await, get_contract(door, &absent("contracts")).await),
            (get_order(door, &theirs.order).await, get_order(door, &absent("orders")).await),
            (get_invoice(door, &theirs.invoice).await, get_invoice(door, &absent("invoices")).await),
            (get_payment(door, &theirs.payment).await, get_payment(door, &absent("payments")).await),
            (card(door, &theirs.client).await, card(door, &absent("clients")).await),
            (timeline(door, &theirs.deal).await, timeline(door, &absent("deals")).await),
            (describe(door, &theirs.deal).await, describe(door, &absent("deals")).await),
            (sign(door, &theirs.contract).await, sign(door, &absent("contracts")).await),
        ];
        for (foreign, absent) in pairs {
            assert_eq!(foreign.code(), Code::NotFound, "{foreign:?}");
            assert_eq!(foreign.message(), absent.message());
            assert_eq!(otdel_tests::refusal::reason(&foreign), otdel_tests::refusal::reason(&absent));
            assert_eq!(foreign.details().len(), absent.details().len());
        }
    }
    two.suite.stop().await;
}

async fn get_lead(door: &Door, name: &str) -> Status {
    door.leads().get_lead(pb::GetLeadRequest { name: name.into() }).await.unwrap_err()
}

async fn get_client(door: &Door, name: &str) -> Status {
    door.clients().get_client(pb::GetClientRequest { name: name.into() }).await.unwrap_err()
}

async fn get_deal(door: &Door, name: &str) -> Status {
    door.deals().get_deal(pb::GetDealRequest { name: name.into() }).await.unwrap_err()
}

async fn get_contract(door: &Door, name: &str) -> Status {
    door.contracts().get_contract(ct::GetContractRequest { name: name.into() }).await.unwrap_err()
}

async fn get_order(door: &Door, name: &str) -> Status {
    door.orders().get_order(ct::GetOrderRequest { name: name.into() }).await.unwrap_err()
}

async fn get_invoice(door: &Door, name: &str) -> Status {
    door.invoices().get_invoice(bl::GetInvoiceRequest { name: name.into() }).await.unwrap_err()
}

async fn get_payment(door: &Door, name: &str) -> Status {
    door.payments().get_payment(bl::GetPaymentRequest { name: name.into() }).await.unwrap_err()
}

async fn card(door: &Door, client: &str) -> Status {
    door.gateway().get_client_card(gw::GetClientCardRequest { client: client.into() }).await.unwrap_err()
}

async fn timeline(door: &Door, deal: &str) -> Status {
    door.gateway().get_deal_timeline(gw::GetDealTimelineRequest { deal: deal.into() }).await.unwrap_err()
}

async fn describe(door: &Door, deal: &str) -> Status {
    let request = pb::DescribeDealRequest {
        request_id: id(),
        name: deal.into(),
        etag: String::new(),
        need: "чужое".into(),
        amount: Some(otdel_tests::story::roubles(1, 0)),
    };
    door.deals().describe_deal(request).await.unwrap_err()
}

async fn sign(door: &Door, contract: &str) -> Status {
    let request = ct::SignContractRequest { request_id: id(), name: contract.into(), etag: String::new() };
    door.contracts().sign_contract(request).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_counts_what_its_reader_reaches() {
    let two = two_departments().await;
    for (door, leads) in
        [(&two.first.manager().door, 1), (&two.head.door, 1), (&two.other_head.door, 1), (&two.suite.admin, 2)]
    {
        let ask = rp::GetLeadReportRequest { at_least: vec![two.second.change.clone()], ..Default::default() };
        let rows = door.reports().get_lead_report(ask).await.unwrap().into_inner().rows;
        assert_eq!(rows.iter().map(|row| row.leads).sum::<i64>(), leads);
        let revenue = eventually("the invoice reaches the report", || async {
            let rows = door
                .reports()
                .get_revenue_report(rp::GetRevenueReportRequest::default())
                .await
                .unwrap()
                .into_inner()
                .rows;
            let invoices = rows.iter().map(|row| row.invoices).sum::<i64>();
            if invoices < leads { Err(invoices) } else { Ok(invoices) }
        })
        .await;
        assert_eq!(revenue, leads);
    }
    two.suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_eyes_hold_and_an_edit_voids_an_approval() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    for step in otdel_tests::story::STEPS.into_iter().take_while(|step| *step != Step::Draft) {
        story.step(step).await;
    }
    // The director drafts what the director would then approve.
    let line = ct::NewLine {
        display_name: "Стеллаж".into(),
        quantity: Some(otdel_api::common::Decimal { value: "1".into() }),
        unit_code: "pcs".into(),
        unit_price: Some(otdel_api::common::Decimal { value: "1000000.01".into() }),
        vat_rate: ct::VatRate::None.into(),
        vat_included: false,
    };
    let draft = ct::DraftContractRequest {
        request_id: id(),
        deal: story.deal.clone(),
        currency_code: "RUB".into(),
        lines: vec![line.clone()],
    };
    let director = &staff.director.door;
    let contract = director.contracts().draft_contract(draft).await.unwrap().into_inner().contract.unwrap();
    let hand_in = ct::RequestApprovalRequest { request_id: id(), name: contract.name.clone(), etag: String::new() };
    director.contracts().request_approval(hand_in.clone()).await.unwrap();
    let approve = ct::ApproveContractRequest {
        request_id: id(),
        name: contract.name.clone(),
        etag: String::new(),
        document_hash: contract.document_hash.clone(),
    };
    let own = director.contracts().approve_contract(approve.clone()).await.unwrap_err();
    assert_eq!(otdel_tests::refusal::reason(&own), (Code::PermissionDenied, "AUTHOR_MAY_NOT_APPROVE".into()));
    // A kopeck above the head's limit.
    let above = eventually("the head reaches the contract", || async {
        let status = staff.head.door.contracts().approve_contract(approve.clone()).await.unwrap_err();
        if status.code() == Code::NotFound { Err(status) } else { Ok(status) }
    })
    .await;
    assert_eq!(otdel_tests::refusal::reason(&above), (Code::PermissionDenied, "ABOVE_LIMIT".into()));
    let second = staff::person(&suite.admin, "Егор Щербак", &staff.team, &[pb::Role::CommercialDirector]).await.door;
    let again = ct::ApproveContractRequest { request_id: id(), ..approve.clone() };
    // A key without a person behind it is no second pair of eyes.
    let nobody = suite.admin.contracts().approve_contract(again.clone()).await.unwrap_err();
    assert_eq!(otdel_tests::refusal::reason(&nobody), (Code::PermissionDenied, "NO_PERSON".into()));
    let approved = second.contracts().approve_contract(again).await.unwrap();
    assert_eq!(approved.into_inner().contract.unwrap().state(), ct::contract::State::Approved);
    let revise = ct::ReviseContractRequest {
        request_id: id(),
        name: contract.name.clone(),
        etag: String::new(),
        lines: vec![ct::NewLine { unit_code: "box".into(), ..line }],
    };
    let revised = director.contracts().revise_contract(revise).await.unwrap().into_inner().contract.unwrap();
    assert_eq!((revised.state(), revised.approver.as_str()), (ct::contract::State::Draft, ""));
    assert_ne!(revised.document_hash, contract.document_hash);
    director.contracts().request_approval(ct::RequestApprovalRequest { request_id: id(), ..hand_in }).await.unwrap();
    let stale = ct::ApproveContractRequest { request_id: id(), ..approve };
    let changed = second.contracts().approve_contract(stale).await.unwrap_err();
    assert_eq!(otdel_tests::refusal::reason(&changed), (Code::Aborted, "DOCUMENT_CHANGED".into()));
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_a_key_calls_anything_of_ours() {
    let suite = Suite::start(Topology::AllInOne).await;
    let pool = raw::pool();
    let wrong = suite.anonymous.with_key(&format!("{}.{}", uuid::Uuid::now_v7(), staff::secret().0));
    for method in raw::methods(&pool) {
        for door in [&suite.anonymous, &wrong] {
            let status = raw::outcome(door, &raw::path(&method), Vec::new()).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{}", raw::path(&method));
        }
    }
    // What is internal stays so for whoever may do everything.
    for method in raw::methods(&pool).iter().filter(|method| !raw::is_public(method)) {
        let status = raw::outcome(&suite.admin, &raw::path(method), Vec::new()).await.unwrap_err();
        assert!(
            matches!(status.code(), Code::PermissionDenied | Code::Unimplemented),
            "{}: {status:?}",
            method.full_name()
        );
    }
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_principal_and_a_revoked_key_stop_working() {
    let suite = Suite::start(Topology::AllInOne).await;
    let (one, two) = (
        staff::system(&suite.admin, "один", &["leads.submit"]).await,
        staff::system(&suite.admin, "два", &["leads.submit"]).await,
    );
    let disable = pb::SetPrincipalStateRequest {
        request_id: id(),
        name: one.principal.clone(),
        etag: String::new(),
        state: pb::principal::State::Disabled.into(),
    };
    known(|| async { suite.admin.principals().set_principal_state(disable.clone()).await }).await.unwrap();
    let key = format!("apiKeys/{}", two.key.split_once('.').unwrap().0);
    let request = pb::RevokeApiKeyRequest { request_id: id(), name: key, ..Default::default() };
    known(|| async { suite.admin.principals().revoke_api_key(request.clone()).await }).await.unwrap();
    for somebody in [&one, &two] {
        eventually("the key stops working", || async {
            match somebody.door.gateway().get_caller(gw::GetCallerRequest {}).await {
                Err(status) if status.code() == Code::Unauthenticated => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    suite.stop().await;
}
