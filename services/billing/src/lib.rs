//! The billing service: invoices, payments and the ledger.

mod books;
pub mod domain;
mod error;
mod facts;
mod rpc;
mod store;
mod workers;

use std::sync::Arc;

use otdel_api::billing::{
    billing_event_service_server::BillingEventServiceServer, invoice_service_server::InvoiceServiceServer,
    ledger_service_server::LedgerServiceServer, payment_service_server::PaymentServiceServer,
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

use crate::workers::{Access, Orders};

pub use books::{Books, books};

/// The service: what its RPCs share. Cheap to clone.
#[derive(Clone, Debug)]
struct Billing {
    core: Core,
    feed: Feed,
}

/// The schema of billing. What was booked is never rewritten, and of documents only how much is paid.
pub static SCHEMA: Schema = Schema {
    service: "billing",
    migrations: &MIGRATIONS,
    restrictions: &[
        "revoke update, delete on billing.ledger_transaction, billing.ledger_entry from {app}",
        "revoke update, delete on billing.allocation, billing.invoice_line from {app}",
        "revoke update, delete on billing.invoice, billing.payment from {app}",
        "grant update (paid, state, pay_time, version) on billing.invoice to {app}",
        "grant update (allocated, version, update_time) on billing.payment to {app}",
        "revoke delete on billing.counter from {app}",
    ],
};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Builds the service on its schema.
pub fn build(core: Core, peers: Peers) -> Service {
    let app = Billing { core: core.clone(), feed: Feed::new(core.clone()) };
    let routes = Routes::new(InvoiceServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST))
        .add_service(PaymentServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST))
        .add_service(LedgerServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST))
        .add_service(BillingEventServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST));
    let followings = vec![
        Following::new(core.clone(), peers.clone(), read_model()),
        Following::new(core.clone(), peers, Arc::new(Orders(core.clone()))),
    ];
    Service::new(core, routes, Some(app.feed), Vec::new(), followings)
}

/// What billing keeps of leads, which a rebuild proves: for those who compare builds without running the service.
pub fn read_model() -> Arc<dyn Follower> {
    Arc::new(Access)
}
