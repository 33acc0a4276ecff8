//! What each service tells of a deal.

use otdel_api::{
    Event,
    billing::{self, billing_event_service_client::BillingEventServiceClient},
    contracts::{self, contract_event_service_client::ContractEventServiceClient},
    gateway as pb,
    leads::{self, lead_event_service_client::LeadEventServiceClient},
};
use otdel_runtime::call::Call;
use otdel_types::DealId;
use tonic::Status;

use super::section::{Section, forward, section};
use crate::{Gateway, domain::timeline::Entry};

/// How many events of each service are told.
const LONGEST: usize = 200;

/// The largest page that a service gives.
const PAGE: i32 = 200;

/// What is asked, and who asks.
pub(crate) struct Asked<'a> {
    /// The gateway.
    pub(crate) app: &'a Gateway,
    /// The call.
    pub(crate) call: &'a Call<pb::GetDealTimelineRequest>,
    /// Whose timeline it is.
    pub(crate) deal: DealId,
}

/// The events of one service, and whether it has more.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The oldest events, in the order of their positions.
    pub(crate) entries: Vec<Entry>,
    /// Whether there are more.
    pub(crate) truncated: bool,
}

impl Asked<'_> {
    /// What leads tells.
    pub(crate) async fn leads(&self) -> Section<Told> {
        let client = LeadEventServiceClient::new(self.app.peers.leads.clone());
        let page = |page_token| {
            let ask = leads::ListDealEventsRequest { deal: self.deal.to_string(), page_size: PAGE, page_token };
            let (mut client, ask) = (client.clone(), forward(self.call, ask));
            async move {
                let page = client.list_deal_events(ask).await?.into_inner();
                Ok((page.events, page.next_page_token))
            }
        };
        section(self.call, "leads", "leads", told(page)).await
    }

    /// What contracts tells.
    pub(crate) async fn contracts(&self) -> Section<Told> {
        let client = ContractEventServiceClient::new(self.app.peers.contracts.clone());
        let page = |page_token| {
            let ask = contracts::ListDealEventsRequest { deal: self.deal.to_string(), page_size: PAGE, page_token };
            let (mut client, ask) = (client.clone(), forward(self.call, ask));
            async move {
                let page = client.list_deal_events(ask).await?.into_inner();
                Ok((page.events, page.next_page_token))
            }
        };
        section(self.call, "contracts", "contracts", told(page)).await
    }

    /// What billing tells.
    pub(crate) async fn billing(&self) -> Section<Told> {
        let client = BillingEventServiceClient::new(self.app.peers.billing.clone());
        let page = |page_token| {
            let ask = billing::ListDealEventsRequest { deal: self.deal.to_string(), page_size: PAGE, page_token };
            let (mut client, ask) = (client.clone(), forward(self.call, ask));
            async move {
                let page = client.list_deal_events(ask).await?.into_inner();
                Ok((page.events, page.next_page_token))
            }
        };
        section(self.call, "billing", "billing", told(page)).await
    }
}

/// Reads pages until there are enough events or no more. An event without an envelope cannot be placed and is left out.
async fn told<E: Event, F>(page: impl Fn(String) -> F) -> Result<Told, Status>
where
    F: Future<Output = Result<(Vec<E>, String), Status>>,
{
    let mut told = Told::default();
    let mut token = String::new();
    loop {
        let (events, next) = page(token).await?;
        told.entries.extend(events.iter().filter_map(entry));
        token = next;
        if token.is_empty() || told.entries.len() >= LONGEST {
            told.truncated = !token.is_empty() || told.entries.len() > LONGEST;
            told.entries.truncate(LONGEST);
            return Ok(told);
        }
    }
}

fn entry<E: Event>(event: &E) -> Option<Entry> {
    let envelope = event.envelope()?;
    let occurred = envelope.occur_time.as_ref()?;
    Some(Entry {
        service: E::SERVICE,
        position: envelope.position,
        fact: envelope.r#type.rsplit('.').next().unwrap_or_default().to_owned(),
        subject: envelope.subject.clone(),
        occurred: chrono::DateTime::from_timestamp(occurred.seconds, u32::try_from(occurred.nanos).ok()?)?,
        actor: envelope.actor.clone(),
        event: format!("{}/{}", E::SERVICE, envelope.event_id),
        cause: envelope.causation.clone(),
    })
}
