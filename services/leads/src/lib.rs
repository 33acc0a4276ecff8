//! The leads service: requests, their owners and deadlines, clients, deals, staff and principals.
//!
//! `domain` holds the rules, `store` the statements, `rpc` one file for each RPC, `workers` what happens by itself: leads
//! that are handed on at their deadlines, and gates that open when another service tells that something happened.
//! [`build`] makes the service; [`appoint_administrator`] and [`ensure_development_principal`] make the principals that
//! nobody could make by an RPC, because somebody has to be let in first.

mod appoint;
pub mod domain;
mod error;
mod rpc;
mod store;
mod workers;

use std::sync::Arc;

use otdel_runtime::{
    clock, core::Core, db::Schema, feed::Feed, follow::Following, peers::Peers, service::Service, together::Together,
};
use sqlx::{Postgres, Transaction};
use tokio::sync::Notify;

use error::Error;
use rpc::{get_lead, list_leads, submit_lead};

pub use appoint::{Key, Refusal, appoint_administrator, ensure_development_principal};

/// The service: what its RPCs share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leads {
    core: Core,
    feed: Feed,
    /// Takes in what is submitted at the same time.
    intake: Arc<Together<submit_lead::Asked, submit_lead::Answer>>,
    /// Reads the leads that are asked for at the same time.
    reader: Arc<Together<get_lead::Asked, get_lead::Answer>>,
    /// Lists those of the owners that are asked for at the same time.
    lister: Arc<Together<list_leads::Asked, list_leads::Answer>>,
    /// Wakes the directory's readers in this process.
    directory_changed: Arc<Notify>,
}

impl Leads {
    /// Commits a change of principals or keys, and wakes those who let callers in. Refused where it would leave nobody who
    /// could change them again; such changes come one after another, so no two together do either.
    async fn commit_directory(&self, mut tx: Transaction<'_, Postgres>) -> Result<(), Error> {
        if !store::principals::are_administered(&mut tx, clock::system_now()).await? {
            return Err(Error::LastAdministrator);
        }
        self.core.commit(tx).await?;
        self.directory_changed.notify_waiters();
        Ok(())
    }
}

/// How many requests one transaction takes in. More would make the first wait longer than the disk does.
const MOST_TAKEN_IN: usize = 64;

/// How many leads one statement reads. With more, callers, service and server would wait for each other in step.
const MOST_READ: usize = 16;

/// How many pages one statement reads. A page is as much work as many single leads.
const MOST_PAGES: usize = 8;

/// How many lots are read at once: while the server reads one, the service makes answers of the other.
const READERS: usize = 2;

/// The schema of leads.
pub static SCHEMA: Schema = Schema { service: "leads", migrations: &MIGRATIONS, restrictions: RESTRICTIONS };

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

/// What happened is never rewritten, published versions never change, and what others name stays.
const RESTRICTIONS: &[&str] = &[
    "revoke update, delete on leads.lead_holder, leads.stage, leads.sla_policy from {app}",
    "revoke delete on leads.lead, leads.client, leads.deal, leads.contact, leads.principal, leads.api_key from {app}",
];

/// Makes the service. `peers` are those of leads: it follows contracts and billing.
pub fn build(core: Core, peers: Peers) -> Service {
    let feed = Feed::new(core.clone());
    let app = Leads {
        core: core.clone(),
        feed: feed.clone(),
        // Whoever gives out leads holds the rota.
        intake: Arc::new(Together::new(MOST_TAKEN_IN, 1)),
        reader: Arc::new(Together::new(MOST_READ, READERS)),
        lister: Arc::new(Together::new(MOST_PAGES, READERS)),
        directory_changed: Arc::default(),
    };
    let gates = Following::new(core.clone(), peers, Arc::new(workers::Gates(core.clone())));
    Service::new(core.clone(), rpc::routes(&app), Some(feed), vec![Arc::new(workers::HandOn(core))], vec![gates])
}
