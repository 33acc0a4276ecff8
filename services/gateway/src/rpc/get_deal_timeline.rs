//! What happened to a deal, from three feeds.

use otdel_api::gateway as pb;
use otdel_runtime::{call::Call, convert, violations::Violations};
use otdel_types::DealId;

use super::{feeds::Asked, section::Section};
use crate::{
    Gateway,
    domain::timeline::{Entry, merge},
    error::Error,
};

/// Asks leads, contracts and billing at once and merges what they tell. What one of them does not give is left out and
/// named; only where leads says that there is no such deal, there is no timeline.
pub(crate) async fn get_deal_timeline(
    app: Gateway,
    call: Call<pb::GetDealTimelineRequest>,
) -> Result<pb::GetDealTimelineResponse, Error> {
    let deal = read(&call.msg)?;
    let ask = Asked { app: &app, call: &call, deal };
    let (leads, contracts, billing) = tokio::join!(ask.leads(), ask.contracts(), ask.billing());
    if matches!(leads, Section::NotFound) {
        return Err(Error::NoSuchDeal(deal));
    }
    let mut timeline = pb::GetDealTimelineResponse { deal: deal.to_string(), ..Default::default() };
    let mut feeds = Vec::new();
    for (service, section) in [("leads", leads), ("contracts", contracts), ("billing", billing)] {
        let told = section.or_note(&mut timeline.missing);
        if told.truncated {
            timeline.truncated_services.push(service.to_owned());
        }
        feeds.push(told.entries);
    }
    timeline.entries = merge(feeds).into_iter().map(Into::into).collect();
    Ok(timeline)
}

fn read(msg: &pb::GetDealTimelineRequest) -> Result<DealId, Violations> {
    let mut wrong = Violations::default();
    wrong.name("deal", &msg.deal).ok_or(wrong)
}

impl From<Entry> for pb::TimelineEntry {
    fn from(entry: Entry) -> Self {
        Self {
            service: entry.service.to_owned(),
            position: entry.position,
            r#type: entry.fact,
            subject: entry.subject,
            occur_time: Some(convert::timestamp(entry.occurred)),
            actor: entry.actor,
            event: entry.event,
        }
    }
}
