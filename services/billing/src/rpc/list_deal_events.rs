use otdel_api::billing::{self as pb, BillingEvent};
use otdel_runtime::{
    call::Call,
    feed::{self, DealPage},
    page,
    violations::Violations,
};
use otdel_types::DealId;

use crate::{Billing, error::Error, store};

/// Lists the events about a deal. A deal that the caller does not reach has none, like one that does not exist.
pub(super) async fn list_deal_events(
    app: Billing,
    call: Call<pb::ListDealEventsRequest>,
) -> Result<pb::ListDealEventsResponse, Error> {
    let ask = ListDealEvents::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    // A deal that leads has not told of yet may have events already; only those who reach everything see them.
    if !call.scope().all && !store::access::reaches_deal(&mut db, call.scope(), ask.deal).await? {
        return Ok(pb::ListDealEventsResponse::default());
    }
    let deal = ask.deal.to_string();
    let (events, next) = feed::list_deal_events::<BillingEvent>(&mut db, &deal, &[], ask.page).await?;
    Ok(pb::ListDealEventsResponse { events, next_page_token: next })
}

struct ListDealEvents {
    deal: DealId,
    page: DealPage,
}

impl TryFrom<&pb::ListDealEventsRequest> for ListDealEvents {
    type Error = Violations;

    fn try_from(msg: &pb::ListDealEventsRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let bare = pb::ListDealEventsRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let deal = wrong.name("deal", &msg.deal);
        let page = DealPage::parse(&mut wrong, msg.page_size, &msg.page_token, page::arguments(&bare));
        match (deal, page) {
            (Some(deal), Some(page)) => Ok(Self { deal, page }),
            _ => Err(wrong),
        }
    }
}
