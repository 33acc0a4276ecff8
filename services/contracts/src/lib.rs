//! The contracts service: contracts from draft to signature, approvals and their limits, and orders.
//!
//! A contract is drafted for a deal of leads, approved by somebody else than its author and within that person's limit,
//! and signed; orders are made under signed contracts, and a confirmed order is what billing makes an invoice from. Who
//! reaches a contract or an order is decided by its deal's owner and team, which this service knows from leads' feed.

pub mod domain;
mod error;
mod rpc;
mod store;
mod workers;

use std::sync::Arc;

use chrono::{DateTime, Datelike as _, Utc};
use otdel_api::contracts::{
    authority_service_server::AuthorityServiceServer, contract_event_service_server::ContractEventServiceServer,
    contract_service_server::ContractServiceServer, order_service_server::OrderServiceServer,
};
use otdel_runtime::{
    core::Core,
    db::Schema,
    feed::Feed,
    follow::{Follower, Following},
    peers::Peers,
    server::MAX_REQUEST,
    service::Service,
};
use tonic::service::Routes;

/// The service: what its RPCs share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Contracts {
    core: Core,
    peers: Peers,
    feed: Feed,
}

/// The schema of contracts. What was approved, ordered or set as a limit is never rewritten.
pub static SCHEMA: Schema = Schema {
    service: "contracts",
    migrations: &MIGRATIONS,
    restrictions: &[
        "revoke delete on contracts.contract, contracts.order, contracts.counter, contracts.authority from {app}",
        "revoke update on contracts.contract_line from {app}",
        "revoke update, delete on contracts.order_line, contracts.rejection, contracts.approval_limit from {app}",
        "revoke update, delete on contracts.approval from {app}",
        "grant update (void_time) on contracts.approval to {app}",
    ],
};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Makes the service.
pub fn build(core: Core, peers: Peers) -> Service {
    let feed = Feed::new(core.clone());
    let access = Following::new(core.clone(), peers.clone(), read_model());
    let app = Contracts { core: core.clone(), peers, feed: feed.clone() };
    let routes = Routes::default()
        .add_service(ContractServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST))
        .add_service(OrderServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST))
        .add_service(AuthorityServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST))
        .add_service(ContractEventServiceServer::new(app).max_decoding_message_size(MAX_REQUEST));
    Service::new(core, routes, Some(feed), Vec::new(), vec![access])
}

/// What contracts keeps of leads, which a rebuild proves: for those who compare builds without running the service.
pub fn read_model() -> Arc<dyn Follower> {
    Arc::new(workers::AccessFollower)
}

impl Contracts {
    /// The year of the business calendar in which an instant lies.
    fn business_year(&self, now: DateTime<Utc>) -> i32 {
        self.core.zone.date_of(now).year()
    }
}
