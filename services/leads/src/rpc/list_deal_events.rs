use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    feed::{self, DealPage},
    page,
    violations::Violations,
};
use otdel_types::DealId;

use crate::{
    Leads,
    error::{Error, Resource},
    store,
};

/// Lists the events of a deal that the caller reaches, together with those of the lead that it came from.
pub(crate) async fn list_deal_events(
    app: Leads,
    call: Call<pb::ListDealEventsRequest>,
) -> Result<pb::ListDealEventsResponse, Error> {
    let ask = ListDealEvents::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    let deal = store::deals::get(&mut db, call.scope(), ask.deal).await?;
    let deal = deal.ok_or(Error::NotFound(Resource::Deal(ask.deal)))?;
    let (name, lead) = (deal.id.to_string(), deal.lead.to_string());
    let (events, next_page_token) = feed::list_deal_events::<pb::LeadEvent>(&mut db, &name, &[lead], ask.page).await?;
    Ok(pb::ListDealEventsResponse { events, next_page_token })
}

struct ListDealEvents {
    deal: DealId,
    page: DealPage,
}

impl TryFrom<&pb::ListDealEventsRequest> for ListDealEvents {
    type Error = Violations;

    fn try_from(msg: &pb::ListDealEventsRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let others = pb::ListDealEventsRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let deal = wrong.name("deal", &msg.deal);
        let page = DealPage::parse(&mut wrong, msg.page_size, &msg.page_token, page::arguments(&others));
        match (deal, page) {
            (Some(deal), Some(page)) => Ok(Self { deal, page }),
            _ => Err(wrong),
        }
    }
}
