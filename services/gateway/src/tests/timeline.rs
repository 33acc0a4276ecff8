use axum::Router;
use otdel_api::{
    billing, contracts,
    event::Envelope,
    gateway::{GetDealTimelineRequest, GetDealTimelineResponse, gateway_service_client::GatewayServiceClient},
    leads::{self, Role},
};
use otdel_runtime::fault::Fault;
use otdel_types::DealId;
use tonic::{Code, Status};

use super::world::{Asked, Somebody, World, told, unary};

fn envelope(position: i64, second: i64, fact: &str, causation: &str) -> Envelope {
    Envelope {
        event_id: format!("e{position}"),
        position,
        r#type: format!("otdel.x.v1.{fact}"),
        occur_time: Some(prost_types::Timestamp { seconds: second, nanos: 0 }),
        causation: causation.into(),
        ..Default::default()
    }
}

fn leads_events(events: &'static [(i64, i64, &str, &str)]) -> Router {
    let list = move |_: Asked<leads::ListDealEventsRequest>| {
        let event = |(position, second, fact, cause): &(i64, i64, &str, &str)| leads::LeadEvent {
            envelope: Some(envelope(*position, *second, fact, cause)),
            ..Default::default()
        };
        Ok(leads::ListDealEventsResponse { events: events.iter().map(event).collect(), ..Default::default() })
    };
    Router::new().route("/otdel.leads.v1.LeadEventService/ListDealEvents", unary(list))
}

fn billing_events() -> Router {
    let list = |_: Asked<billing::ListDealEventsRequest>| {
        let paid = billing::BillingEvent { envelope: Some(envelope(1, 5, "InvoicePaid", "")), ..Default::default() };
        Ok(billing::ListDealEventsResponse { events: vec![paid], ..Default::default() })
    };
    Router::new().route("/otdel.billing.v1.BillingEventService/ListDealEvents", unary(list))
}

/// A contract with more events than a page holds: each page goes on where the one before ended.
fn many_contract_events() -> Router {
    let list = |asked: Asked<contracts::ListDealEventsRequest>| {
        let begin: i64 = asked.msg.page_token.parse().unwrap_or(0);
        let event = |position| contracts::ContractEvent {
            envelope: Some(envelope(position, 10, "ContractRevised", "")),
            ..Default::default()
        };
        let events = (begin + 1..=begin + 150).map(event).collect();
        Ok(contracts::ListDealEventsResponse { events, next_page_token: (begin + 150).to_string() })
    };
    Router::new().route("/otdel.contracts.v1.ContractEventService/ListDealEvents", unary(list))
}

async fn timeline(world: &World, caller: &Somebody) -> Result<GetDealTimelineResponse, Status> {
    let ask = caller.asks(GetDealTimelineRequest { deal: DealId::new().to_string() });
    Ok(GatewayServiceClient::new(world.router.clone()).get_deal_timeline(ask).await?.into_inner())
}

#[tokio::test]
async fn the_feeds_of_three_services_make_one_timeline() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    world.open("leads", leads_events(&[(1, 1, "DealOpened", ""), (4, 5, "DealGateOpened", "billing/e1")]));
    world.open("contracts", many_contract_events());
    world.open("billing", billing_events());
    let timeline = timeline(&world, &manager).await.unwrap();
    let first: Vec<_> =
        timeline.entries.iter().take(4).map(|entry| (entry.event.as_str(), entry.r#type.as_str())).collect();
    assert_eq!(
        first,
        [
            ("leads/e1", "DealOpened"),
            ("billing/e1", "InvoicePaid"),
            ("leads/e4", "DealGateOpened"),
            ("contracts/e1", "ContractRevised"),
        ]
    );
    assert_eq!(timeline.entries.len(), 203);
    assert_eq!(timeline.truncated_services, ["contracts"]);
    assert!(timeline.missing.is_empty());
}

#[tokio::test]
async fn a_service_that_is_down_is_missing_and_one_that_knows_nothing_is_not() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    world.open("leads", leads_events(&[(1, 1, "DealOpened", "")]));
    let list = |_: Asked<billing::ListDealEventsRequest>| -> Result<billing::ListDealEventsResponse, Status> {
        Err(Fault::new(Code::NotFound, "DEAL_NOT_FOUND", "not heard of yet").into_status("billing"))
    };
    world.open("billing", Router::new().route("/otdel.billing.v1.BillingEventService/ListDealEvents", unary(list)));
    let timeline = timeline(&world, &manager).await.unwrap();
    assert_eq!(timeline.entries.len(), 1);
    let missing: Vec<_> = timeline.missing.iter().map(|missing| missing.section.as_str()).collect();
    assert_eq!(missing, ["contracts"]);
}

#[tokio::test]
async fn a_deal_that_is_not_there_has_no_timeline() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    let list = |_: Asked<leads::ListDealEventsRequest>| -> Result<leads::ListDealEventsResponse, Status> {
        Err(Fault::new(Code::NotFound, "DEAL_NOT_FOUND", "no").into_status("leads"))
    };
    world.open("leads", Router::new().route("/otdel.leads.v1.LeadEventService/ListDealEvents", unary(list)));
    world.open("billing", billing_events());
    let refused = timeline(&world, &manager).await.unwrap_err();
    assert_eq!(told(&refused), (Code::NotFound, "DEAL_NOT_FOUND".into(), "gateway.otdel".into()));
}
