//! From a request to the money, in both topologies.

use chrono::{DateTime, TimeDelta};
use otdel::cli::Role;
use otdel_api::{billing as bl, gateway as gw, leads as pb, reporting as rp};
use otdel_tests::{
    eventually::eventually,
    staff::{self, Department},
    story::{GROSS, STEPS, Story, roubles},
    suite::{Suite, Topology},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_story_runs_in_one_process() {
    let suite = Suite::start(Topology::AllInOne).await;
    the_story_runs(&suite).await;
    suite.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_story_runs_in_five_processes() {
    let mut suite = Suite::start(Topology::Split).await;
    let story = the_story_runs(&suite).await;
    a_missing_service_is_named(&mut suite, &story).await;
    suite.stop().await;
}

async fn the_story_runs(suite: &Suite) -> Story {
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    story.tell().await;
    assert_eq!(story.oracle.len(), STEPS.len());
    story.oracle.every_answer_stands().await;
    the_books_balance(suite, &story).await;
    the_reports_tell_it(suite, &staff, &story).await;
    the_timeline_is_complete(suite, &story).await;
    the_card_shows_it(suite, &story).await;
    a_rebuild_is_equal(suite).await;
    story
}

async fn the_books_balance(suite: &Suite, story: &Story) {
    let receivables = bl::GetReceivablesRequest { client: story.client.clone() };
    let receivables = suite.admin.ledger().get_receivables(receivables).await.unwrap().into_inner().receivables;
    assert_eq!(
        receivables,
        [bl::Receivable {
            invoiced: Some(roubles(GROSS.0, GROSS.1)),
            paid: Some(roubles(GROSS.0, GROSS.1)),
            outstanding: Some(roubles(0, 0)),
            advance: Some(roubles(20, 0)),
        }]
    );
    let trial = suite.admin.ledger().get_trial_balance(bl::GetTrialBalanceRequest {}).await.unwrap().into_inner();
    let minor = |money: &otdel_api::common::Money| money.units * 100 + i64::from(money.nanos / 10_000_000);
    let sum: i64 = trial.balances.iter().map(|one| minor(one.balance.as_ref().unwrap())).sum();
    assert_eq!(sum, 0, "{trial:?}");
    // The issue, two payments and two allocations.
    assert_eq!(trial.transactions, 5, "{trial:?}");
    let revenue = trial.balances.iter().find(|one| one.account() == bl::Account::Revenue).unwrap();
    assert_eq!(revenue.balance, Some(roubles(-90, -270_000_000)));
}

async fn the_reports_tell_it(suite: &Suite, staff: &Department, story: &Story) {
    let reports = suite.admin.reports();
    let at_least = vec![story.change.clone()];
    let by = vec![rp::Dimension::Month.into(), rp::Dimension::Origin.into(), rp::Dimension::Channel.into()];
    let ask = rp::GetLeadReportRequest { filter: None, dimensions: by.clone(), at_least: at_least.clone() };
    let rows = reports.clone().get_lead_report(ask).await.unwrap().into_inner().rows;
    let row = rp::LeadRow { month: "2026-01".into(), origin: "yandex_direct".into(), channel: "SITE".into(), leads: 1 };
    assert_eq!(rows, [row]);

    let ask = rp::GetConversionReportRequest { filter: None, dimensions: by, at_least: at_least.clone() };
    let rows = reports.clone().get_conversion_report(ask).await.unwrap().into_inner().rows;
    assert_eq!((rows[0].leads, rows[0].won), (1, 1));
    assert_eq!(rows[0].rate_percent.as_ref().unwrap().value, "100");

    let ask = rp::GetFunnelReportRequest { at_least: at_least.clone(), ..Default::default() };
    let rows = reports.clone().get_funnel_report(ask).await.unwrap().into_inner().rows;
    let entered: Vec<_> = rows.iter().map(|row| (row.stage.as_str(), row.entered)).collect();
    let stages = ["qualified", "proposal", "contract", "payment", "paid", "(won)"];
    assert_eq!(entered, stages.map(|stage| (stage, 1)));

    let ask = rp::GetRevenueReportRequest { filter: None, at_least: at_least.clone() };
    let rows = eventually("the payment reaches the report", || async {
        let rows = reports.clone().get_revenue_report(ask.clone()).await.unwrap().into_inner().rows;
        if rows.iter().any(|row| row.paid == row.gross) { Ok(rows) } else { Err(rows) }
    })
    .await;
    assert_eq!((rows.len(), rows[0].invoices, &rows[0].gross), (1, 1, &Some(roubles(GROSS.0, GROSS.1))));

    let ask = rp::GetReceivablesReportRequest { client: story.client.clone(), at_least, ..Default::default() };
    let rows = reports.clone().get_receivables_report(ask).await.unwrap().into_inner().rows;
    assert_eq!(rows[0].outstanding, Some(roubles(0, 0)));

    // Somebody else's manager counts nothing of it.
    let colleague = if story.owner == staff.manager.person { &staff.colleague } else { &staff.manager };
    let ask = rp::GetLeadReportRequest::default();
    let rows = colleague.door.reports().get_lead_report(ask).await.unwrap().into_inner().rows;
    assert_eq!(rows.iter().map(|row| row.leads).sum::<i64>(), 0);
}

async fn the_timeline_is_complete(suite: &Suite, story: &Story) {
    let expected = [
        "LeadSubmitted",
        "LeadContacted",
        "LeadConverted",
        "DealOpened",
        "DealDescribed",
        "DealStageEntered",
        "ContractDrafted",
        "ApprovalRequested",
        "ContractApproved",
        "ContractSigned",
        "DealGateOpened",
        "OrderCreated",
        "OrderConfirmed",
        "InvoiceIssued",
        "PaymentAllocated",
        "InvoicePaid",
        "DealWon",
    ];
    let entries = eventually("the timeline is complete", || async {
        let ask = gw::GetDealTimelineRequest { deal: story.deal.clone() };
        let timeline =
            suite.admin.gateway().get_deal_timeline(ask).await.map_err(|status| status.to_string())?.into_inner();
        assert!(timeline.missing.is_empty() && timeline.truncated_services.is_empty(), "{timeline:?}");
        let missing: Vec<_> =
            expected.iter().filter(|kind| timeline.entries.iter().all(|entry| entry.r#type != **kind)).collect();
        if missing.is_empty() { Ok(timeline.entries) } else { Err(format!("no {missing:?}")) }
    })
    .await;
    for service in ["leads", "contracts", "billing"] {
        let positions: Vec<_> = entries.iter().filter(|one| one.service == service).map(|one| one.position).collect();
        assert!(positions.is_sorted() && !positions.is_empty(), "{service}: {positions:?}");
    }
    assert_eq!(entries[0].r#type, "LeadSubmitted");
}

async fn the_card_shows_it(suite: &Suite, story: &Story) {
    let ask = gw::GetClientCardRequest { client: story.client.clone() };
    let card = suite.admin.gateway().get_client_card(ask).await.unwrap().into_inner();
    assert!(card.missing.is_empty(), "{card:?}");
    assert_eq!(card.display_name, "ООО «Ёжик и партнёры»");
    assert_eq!((card.deals[0].deal.as_str(), card.deals[0].state.as_str()), (story.deal.as_str(), "WON"));
    assert_eq!(
        (card.contracts[0].contract.as_str(), card.contracts[0].state.as_str()),
        (story.contract.as_str(), "SIGNED")
    );
    assert_eq!((card.orders[0].order.as_str(), card.orders[0].state.as_str()), (story.order.as_str(), "CONFIRMED"));
    assert_eq!((card.invoices[0].invoice.as_str(), card.invoices[0].state.as_str()), (story.invoice.as_str(), "PAID"));
    assert_eq!((&card.outstanding, &card.advance), (&vec![roubles(0, 0)], &vec![roubles(20, 0)]));
}

/// Reporting equals a rebuild from the feeds.
pub async fn a_rebuild_is_equal(suite: &Suite) {
    let live = eventually("the read model answers", || async {
        let ask = rp::GetProjectionRequest::default();
        suite.admin.projections().get_projection(ask).await.map_err(|status| status.to_string())
    })
    .await;
    let live = live.into_inner().projection.unwrap();
    let ask = rp::RebuildProjectionRequest { generation: live.generation };
    let built = eventually("the rebuild ends", || async {
        match suite.admin.projections().rebuild_projection(ask).await {
            Err(status) if otdel_tests::refusal::is_passing(&status) && status.code() != tonic::Code::Aborted => {
                Err(status)
            }
            outcome => Ok(outcome),
        }
    })
    .await;
    let built = built.expect("equal digests").into_inner().projection.unwrap();
    assert!(built.generation > live.generation, "{built:?} after {live:?}");
}

async fn a_missing_service_is_named(suite: &mut Suite, story: &Story) {
    suite.split().kill(Role::Billing).await;
    let admin = suite.admin.clone();
    let card = eventually("the card names what is missing", || async {
        let ask = gw::GetClientCardRequest { client: story.client.clone() };
        let card = admin.gateway().get_client_card(ask).await.map_err(|status| status.to_string())?.into_inner();
        if card.missing.is_empty() { Err("nothing is missing".to_owned()) } else { Ok(card) }
    })
    .await;
    assert!(card.missing.iter().all(|one| one.service == "billing"), "{:?}", card.missing);
    let sections: Vec<_> = card.missing.iter().map(|one| one.section.as_str()).collect();
    assert_eq!(sections, ["invoices", "receivables"]);
    assert_eq!(card.deals.len(), 1, "the rest is answered");
    let ask = gw::GetDealTimelineRequest { deal: story.deal.clone() };
    let timeline = admin.gateway().get_deal_timeline(ask).await.unwrap().into_inner();
    assert_eq!(timeline.missing.iter().map(|one| one.section.as_str()).collect::<Vec<_>>(), ["billing"]);
    assert!(timeline.entries.iter().any(|entry| entry.r#type == "ContractSigned"));
    suite.split().run(Role::Billing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unanswered_lead_is_handed_on_at_its_deadline_and_in_the_end_pooled() {
    let suite = Suite::start(Topology::AllInOne).await;
    let staff = staff::department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    story.step(otdel_tests::story::Step::Submit).await;
    let get = async || {
        let ask = pb::GetLeadRequest { name: story.lead.clone() };
        suite.admin.leads().get_lead(ask).await.unwrap().into_inner().lead.unwrap()
    };
    let first = get().await;
    let deadline = first.respond_by_time.unwrap();
    let deadline = DateTime::from_timestamp(deadline.seconds, 0).unwrap();

    suite.advance(deadline - TimeDelta::milliseconds(1)).await;
    assert_eq!(get().await, first, "nothing happens before the deadline");

    suite.advance(deadline).await;
    let second = get().await;
    assert_ne!(second.owner, first.owner);
    assert_eq!((second.round, second.state()), (2, pb::lead::State::Assigned));
    let fresh = second.respond_by_time.unwrap().seconds;
    assert_eq!(fresh, deadline.timestamp() + 3600, "a fresh clock");

    suite.advance(deadline + TimeDelta::seconds(3600)).await;
    let third = get().await;
    assert_eq!(
        (third.state(), third.owner.as_str()),
        (pb::lead::State::Pooled, ""),
        "nobody is left who has not held it"
    );
    suite.stop().await;
}
