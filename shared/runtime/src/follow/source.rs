use std::time::Duration;

use futures_util::{StreamExt as _, stream::BoxStream};
use otdel_api::{
    Event as _,
    billing::{self, BillingEvent, billing_event_service_client::BillingEventServiceClient},
    contracts::{self, ContractEvent, contract_event_service_client::ContractEventServiceClient},
    event::Envelope,
    leads::{self, LeadEvent, lead_event_service_client::LeadEventServiceClient},
};
use tonic::{Request, Status, Streaming};

use crate::{
    auth::Identity,
    call::own_request,
    feed::{FeedEvent, Item},
    peers::Peers,
};

/// A service whose feed can be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Leads, clients, deals, staff and principals.
    Leads,
    /// Contracts and orders.
    Contracts,
    /// Invoices, payments and the ledger.
    Billing,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Leads, Self::Contracts, Self::Billing];

    /// The service's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leads => "leads",
            Self::Contracts => "contracts",
            Self::Billing => "billing",
        }
    }

    /// The service of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.name() == name)
    }
}

/// An event of one of the sources.
#[derive(Clone, Debug, PartialEq)]
pub enum SourceEvent {
    /// Of leads.
    Leads(LeadEvent),
    /// Of contracts.
    Contracts(ContractEvent),
    /// Of billing.
    Billing(BillingEvent),
}

impl SourceEvent {
    /// The service that it is from.
    pub fn source(&self) -> Source {
        match self {
            Self::Leads(_) => Source::Leads,
            Self::Contracts(_) => Source::Contracts,
            Self::Billing(_) => Source::Billing,
        }
    }

    /// Where and how the fact came to be. None only for an event that no feed of ours sends.
    pub fn envelope(&self) -> Option<&Envelope> {
        match self {
            Self::Leads(event) => event.envelope(),
            Self::Contracts(event) => event.envelope(),
            Self::Billing(event) => event.envelope(),
        }
    }

    /// The event's id. Empty where there is no envelope.
    pub fn id(&self) -> &str {
        self.envelope().map_or("", |envelope| &envelope.event_id)
    }

    /// The full message name of the fact. Empty for a fact that this build does not know.
    pub fn fact_type(&self) -> &'static str {
        match self {
            Self::Leads(event) => event.fact_type(),
            Self::Contracts(event) => event.fact_type(),
            Self::Billing(event) => event.fact_type(),
        }
    }
}

/// What comes from a source.
pub(super) type Items = BoxStream<'static, Result<Item<SourceEvent>, Status>>;

/// Opens a source's feed after a cursor, as the service itself. Without filters: only then does every position come, so
/// that a loss is seen, and a cursor tells which changes are included.
pub(super) async fn open(
    peers: &Peers,
    identity: &Identity,
    source: Source,
    start_after: String,
) -> Result<Items, Status> {
    match source {
        Source::Leads => {
            let ask = leads::SubscribeRequest { start_after, ..Default::default() };
            let opened = LeadEventServiceClient::new(peers.leads.clone()).subscribe(own_request(identity, ask)).await?;
            Ok(items(opened.into_inner(), SourceEvent::Leads))
        }
        Source::Contracts => {
            let ask = contracts::SubscribeRequest { start_after, ..Default::default() };
            let mut client = ContractEventServiceClient::new(peers.contracts.clone());
            Ok(items(client.subscribe(own_request(identity, ask)).await?.into_inner(), SourceEvent::Contracts))
        }
        Source::Billing => {
            let ask = billing::SubscribeRequest { start_after, ..Default::default() };
            let mut client = BillingEventServiceClient::new(peers.billing.clone());
            Ok(items(client.subscribe(own_request(identity, ask)).await?.into_inner(), SourceEvent::Billing))
        }
    }
}

fn items<E: FeedEvent>(stream: Streaming<E::Response>, make: fn(E) -> SourceEvent) -> Items {
    let known = stream.filter_map(move |next| async move {
        next.map(|response| E::item(response).map(|item| item.map(make))).transpose()
    });
    known.boxed()
}

/// Where a source's event stands, within what is left of the caller's time. `read_to` is the cursor that the caller has
/// read to: a source that does not recognise it tells no position.
pub(super) async fn locate(
    peers: &Peers,
    identity: &Identity,
    source: Source,
    change: String,
    read_to: String,
    time_left: Duration,
) -> Result<i64, Status> {
    Ok(match source {
        Source::Leads => {
            let mut client = LeadEventServiceClient::new(peers.leads.clone());
            client
                .locate(within(time_left, own_request(identity, leads::LocateRequest { change, read_to })))
                .await?
                .into_inner()
                .position
        }
        Source::Contracts => {
            let mut client = ContractEventServiceClient::new(peers.contracts.clone());
            client
                .locate(within(time_left, own_request(identity, contracts::LocateRequest { change, read_to })))
                .await?
                .into_inner()
                .position
        }
        Source::Billing => {
            let mut client = BillingEventServiceClient::new(peers.billing.clone());
            client
                .locate(within(time_left, own_request(identity, billing::LocateRequest { change, read_to })))
                .await?
                .into_inner()
                .position
        }
    })
}

fn within<M>(time_left: Duration, mut request: Request<M>) -> Request<M> {
    request.set_timeout(time_left);
    request
}
