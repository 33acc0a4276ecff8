//! The reporting service: named reports from read models that are built from the feeds of leads, contracts and billing.
//!
//! Nobody enters a figure here (R3): the one writer is the follower of the feeds, and a rebuild from their first events
//! proves that the live rows are what the events say. Every report is one statement over sums of facts, read in one
//! repeatable-read transaction together with how far the feeds have been read, so that its figures and its freshness
//! belong together. Contracts are followed too, although no report counts them yet: a caller may wait for a change of
//! theirs, and a report tells how far it has read them.

pub mod domain;
mod error;
mod rpc;
mod store;
mod workers;

use std::sync::Arc;

use otdel_api::reporting::{
    projection_service_server::ProjectionServiceServer, report_service_server::ReportServiceServer,
};
use otdel_runtime::{
    core::Core,
    db::Schema,
    follow::{Follower, Following},
    peers::Peers,
    server::MAX_REQUEST,
    service::Service,
};
use otdel_types::Zone;
use tonic::service::Routes;

/// The service: what its RPCs share. Cheap to clone.
#[derive(Clone, Debug)]
struct Reporting {
    core: Core,
    feeds: Following,
}

/// The schema of reporting.
pub static SCHEMA: Schema = Schema { service: "reporting", migrations: &MIGRATIONS, restrictions: &[] };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// Builds the service. It owns no events, so that it has no feed of its own.
pub fn build(core: Core, peers: Peers) -> Service {
    let feeds = Following::new(core.clone(), peers, read_model(core.zone));
    let app = Reporting { core: core.clone(), feeds: feeds.clone() };
    let reports = ReportServiceServer::new(app.clone()).max_decoding_message_size(MAX_REQUEST);
    let projections = ProjectionServiceServer::new(app).max_decoding_message_size(MAX_REQUEST);
    let routes = Routes::new(reports).add_service(projections);
    Service::new(core, routes, None, Vec::new(), vec![feeds])
}

/// The read model of the reports, which a rebuild proves: for those who compare builds without running the service. The
/// zone decides dates while it is built.
pub fn read_model(zone: Zone) -> Arc<dyn Follower> {
    Arc::new(workers::Reports { zone })
}
