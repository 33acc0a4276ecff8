//! One call is one trace, whatever processes it goes through.

use otdel::private::hex;
use otdel_api::{common::Decimal, contracts as ct};
use otdel_gateway::Settings;
use otdel_tests::{
    cluster::Database,
    collector::{Collected, Collector},
    eventually::eventually,
    staff::{department, id},
    story::{Step, Story},
    suite::{Suite, Topology},
};
use tonic::Request;
use uuid::Uuid;

use crate::feed::contract_events;

/// The span of whoever calls.
const CALLER: &str = "00f067aa0ba902b7";

/// What the story says of people and about their wishes.
const PERSONAL: [&str; 6] = ["Ёжик", "example.org", "перезвонить", "Сколько стоит", "Оснастить", "Ёлкина"];

#[tokio::test(flavor = "multi_thread")]
async fn one_call_is_one_trace_through_three_processes_without_a_word_about_people() {
    let collector = Collector::start();
    let flags = ["--otlp-endpoint", collector.endpoint(), "--log", "warn"];
    let suite = Suite::start_with(Topology::Split, Database::standing().await, &Settings::default(), &flags).await;
    let staff = department(&suite.admin).await;
    let mut story = Story::new(&staff, suite.today().await);
    story.tell_until(Step::Draft).await;

    let trace = Uuid::new_v4();
    let line = ct::NewLine {
        display_name: "Стеллаж".into(),
        quantity: Some(Decimal { value: "3".into() }),
        unit_code: "pcs".into(),
        unit_price: Some(Decimal { value: "10.03".into() }),
        vat_rate: ct::VatRate::VatRate22.into(),
        vat_included: false,
    };
    let mut request = Request::new(ct::DraftContractRequest {
        request_id: id(),
        deal: story.deal.clone(),
        currency_code: "RUB".into(),
        lines: vec![line],
    });
    let traceparent = format!("00-{}-{CALLER}-01", trace.simple());
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    let door = &story.manager().door;
    let change = door.contracts().draft_contract(request).await.unwrap().into_inner().change;
    let event = eventually("the event is numbered", || async {
        let mut events = contract_events(&suite.admin).await.into_iter().filter_map(|event| event.envelope);
        events.find(|envelope| change.ends_with(&envelope.event_id)).ok_or(())
    })
    .await;
    // What is not sent yet is sent at the end.
    suite.stop().await;

    let all = collector.spans();
    let of_call: Vec<&Collected> = all.iter().filter(|one| one.span.trace_id == trace.as_bytes()).collect();
    let gateway = the(&of_call, "gateway", "gateway.DraftContract");
    let contracts = the(&of_call, "contracts", "contracts.DraftContract");
    let leads = the(&of_call, "leads", "leads.GetDeal");
    let ids = |one: &Collected| (hex(&one.span.span_id), hex(&one.span.parent_span_id));
    let [(at_gateway, caller), (at_contracts, from_gateway), (_, from_contracts)] =
        [gateway, contracts, leads].map(ids);
    assert_eq!(caller, CALLER);
    assert_eq!((from_gateway, from_contracts), (at_gateway, at_contracts.clone()));
    for one in [gateway, contracts, leads] {
        assert!(one.span.end_time_unix_nano > one.span.start_time_unix_nano);
    }
    assert_eq!(event.traceparent, format!("00-{}-{at_contracts}-01", trace.simple()), "the event names its call");

    let told = format!("{all:?}");
    for word in PERSONAL.into_iter().chain([story.manager().key.as_str()]) {
        assert!(!told.contains(word), "a trace tells {word:?}");
    }
}

/// The one span of a process under a name.
fn the<'a>(spans: &[&'a Collected], process: &str, name: &str) -> &'a Collected {
    let found: Vec<_> = spans.iter().filter(|one| one.process == process && one.span.name == name).collect();
    assert_eq!(found.len(), 1, "{process} {name}: {spans:#?}");
    found[0]
}
