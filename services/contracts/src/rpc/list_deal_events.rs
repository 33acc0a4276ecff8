use otdel_api::contracts as pb;
use otdel_runtime::{
    call::Call,
    feed::{self, DealPage},
    page,
    violations::Violations,
};
use otdel_types::DealId;

use crate::{Contracts, error::Error, store};

/// Lists the events about a deal that the caller reaches. A deal that is not reached, or that nobody has told of yet, has
/// none: whether a deal exists is for leads to say, and a deal that was just opened has no contract.
pub(super) async fn list_deal_events(
    app: Contracts,
    call: Call<pb::ListDealEventsRequest>,
) -> Result<pb::ListDealEventsResponse, Error> {
    let ask = ListDealEvents::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    if !store::access::reaches(&mut db, call.scope(), ask.deal).await? {
        return Ok(pb::ListDealEventsResponse::default());
    }
    let (events, next_page_token) = feed::list_deal_events(&mut db, &ask.deal.to_string(), &[], ask.page).await?;
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
        let bare = pb::ListDealEventsRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let deal = wrong.name("deal", &msg.deal);
        let page = DealPage::parse(&mut wrong, msg.page_size, &msg.page_token, page::arguments(&bare));
        match (deal, page) {
            (Some(deal), Some(page)) => Ok(Self { deal, page }),
            _ => Err(wrong),
        }
    }
}
