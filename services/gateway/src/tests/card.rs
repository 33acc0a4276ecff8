use std::time::Duration;

use axum::Router;
use otdel_api::{
    billing,
    common::Money,
    contracts,
    gateway::{
        GetClientCardRequest, GetClientCardResponse, MissingSection, gateway_service_client::GatewayServiceClient,
    },
    leads::{self, Role},
};
use otdel_runtime::fault::Fault;
use otdel_types::ClientId;
use tonic::{Code, Status};

use super::world::{Asked, Somebody, World, told, unary};

fn roubles(units: i64) -> Money {
    Money { currency_code: "RUB".into(), units, nanos: 0 }
}

fn leads_rpcs() -> Router {
    let get_client = |asked: Asked<leads::GetClientRequest>| {
        let client =
            leads::Client { name: asked.msg.name, display_name: "Ёлкин и Ко".into(), ..Default::default() };
        Ok(leads::GetClientResponse { client: Some(client) })
    };
    let list_deals = |_: Asked<leads::ListDealsRequest>| {
        let deal = leads::Deal { name: "deals/1".into(), state: leads::deal::State::Won.into(), ..Default::default() };
        Ok(leads::ListDealsResponse { deals: vec![deal], ..Default::default() })
    };
    Router::new()
        .route("/otdel.leads.v1.ClientService/GetClient", unary(get_client))
        .route("/otdel.leads.v1.DealService/ListDeals", unary(list_deals))
}

fn contracts_rpcs() -> Router {
    let list_contracts = |_: Asked<contracts::ListContractsRequest>| {
        let state = contracts::contract::State::Signed.into();
        let contract =
            contracts::Contract { name: "contracts/1".into(), state, gross: Some(roubles(122)), ..Default::default() };
        Ok(contracts::ListContractsResponse { contracts: vec![contract], ..Default::default() })
    };
    let list_orders = |_: Asked<contracts::ListOrdersRequest>| -> Result<contracts::ListOrdersResponse, Status> {
        Err(Fault::new(Code::PermissionDenied, "PERMISSION_DENIED", "no").into_status("contracts"))
    };
    Router::new()
        .route("/otdel.contracts.v1.ContractService/ListContracts", unary(list_contracts))
        .route("/otdel.contracts.v1.OrderService/ListOrders", unary(list_orders))
}

fn billing_rpcs() -> Router {
    let list_invoices = |asked: Asked<billing::ListInvoicesRequest>| {
        assert!(asked.msg.client.starts_with("clients/"), "another client's invoices are asked for");
        let state = billing::invoice::State::PartlyPaid.into();
        let invoice =
            billing::Invoice { name: "invoices/1".into(), state, paid: Some(roubles(22)), ..Default::default() };
        Ok(billing::ListInvoicesResponse { invoices: vec![invoice], ..Default::default() })
    };
    let get_receivables = |_: Asked<billing::GetReceivablesRequest>| {
        let receivable = billing::Receivable { outstanding: Some(roubles(100)), ..Default::default() };
        Ok(billing::GetReceivablesResponse { receivables: vec![receivable] })
    };
    Router::new()
        .route("/otdel.billing.v1.InvoiceService/ListInvoices", unary(list_invoices))
        .route("/otdel.billing.v1.LedgerService/GetReceivables", unary(get_receivables))
}

async fn card(world: &World, caller: &Somebody) -> Result<GetClientCardResponse, Status> {
    let ask = caller.asks(GetClientCardRequest { client: ClientId::new().to_string() });
    Ok(GatewayServiceClient::new(world.router.clone()).get_client_card(ask).await?.into_inner())
}

fn missing(section: &str, service: &str, reason: &str) -> MissingSection {
    MissingSection { section: section.into(), service: service.into(), reason: reason.into() }
}

#[tokio::test]
async fn a_card_is_put_together_from_three_services() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    world.open("leads", leads_rpcs());
    world.open("contracts", contracts_rpcs());
    world.open("billing", billing_rpcs());
    let card = card(&world, &manager).await.unwrap();
    assert_eq!(card.display_name, "Ёлкин и Ко");
    assert_eq!((card.deals[0].deal.as_str(), card.deals[0].state.as_str()), ("deals/1", "WON"));
    assert_eq!((card.contracts[0].state.as_str(), &card.contracts[0].gross), ("SIGNED", &Some(roubles(122))));
    assert_eq!((card.invoices[0].state.as_str(), &card.invoices[0].paid), ("PARTLY_PAID", &Some(roubles(22))));
    assert_eq!(card.outstanding, [roubles(100)]);
    assert_eq!(card.missing, [missing("orders", "contracts", "PERMISSION_DENIED")]);
}

#[tokio::test]
async fn a_service_that_is_down_leaves_its_sections_out() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    world.open("leads", leads_rpcs());
    world.open("billing", billing_rpcs());
    world.hub.close("billing");
    let card = card(&world, &manager).await.unwrap();
    assert_eq!((card.display_name.as_str(), card.deals.len()), ("Ёлкин и Ко", 1));
    assert_eq!(
        card.missing,
        [
            missing("contracts", "contracts", "UNAVAILABLE"),
            missing("orders", "contracts", "UNAVAILABLE"),
            missing("invoices", "billing", "UNAVAILABLE"),
            missing("receivables", "billing", "UNAVAILABLE"),
        ]
    );
}

#[tokio::test]
async fn without_leads_there_is_a_card_without_the_client() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    world.hub.close("leads");
    world.open("contracts", contracts_rpcs());
    world.open("billing", billing_rpcs());
    let card = card(&world, &manager).await.unwrap();
    assert_eq!((card.display_name.as_str(), card.invoices.len()), ("", 1));
    assert_eq!(
        card.missing[..2],
        [missing("client", "leads", "UNAVAILABLE"), missing("deals", "leads", "UNAVAILABLE")]
    );
}

#[tokio::test]
async fn a_client_that_is_not_there_has_no_card() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    let get_client = |_: Asked<leads::GetClientRequest>| -> Result<leads::GetClientResponse, Status> {
        Err(Fault::new(Code::NotFound, "CLIENT_NOT_FOUND", "no").into_status("leads"))
    };
    world.open("leads", Router::new().route("/otdel.leads.v1.ClientService/GetClient", unary(get_client)));
    let refused = card(&world, &manager).await.unwrap_err();
    assert_eq!(told(&refused), (Code::NotFound, "CLIENT_NOT_FOUND".into(), "gateway.otdel".into()));
    let ask = manager.asks(GetClientCardRequest { client: "clients/7".into() });
    let refused = GatewayServiceClient::new(world.router.clone()).get_client_card(ask).await.unwrap_err();
    assert_eq!(told(&refused).1, "INVALID_FIELDS");
}

#[tokio::test]
async fn a_service_that_does_not_answer_costs_its_sections_alone() {
    let manager = Somebody::with_role(Role::Manager);
    let world = World::with(&[&manager]).await;
    world.open("leads", leads_rpcs());
    world.open("billing", billing_rpcs());
    let silent = axum::routing::post(std::future::pending::<axum::response::Response>);
    world.open(
        "contracts",
        Router::new()
            .route("/otdel.contracts.v1.ContractService/ListContracts", silent.clone())
            .route("/otdel.contracts.v1.OrderService/ListOrders", silent),
    );
    let mut ask = manager.asks(GetClientCardRequest { client: ClientId::new().to_string() });
    ask.set_timeout(Duration::from_millis(400));
    let card = GatewayServiceClient::new(world.router.clone()).get_client_card(ask).await.unwrap().into_inner();
    assert_eq!(card.invoices.len(), 1);
    assert_eq!(
        card.missing,
        [missing("contracts", "contracts", "DEADLINE_EXCEEDED"), missing("orders", "contracts", "DEADLINE_EXCEEDED")]
    );
}
