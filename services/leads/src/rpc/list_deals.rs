use otdel_api::leads as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::{parse::Page, present};
use crate::{Leads, domain::deal::State, error::Error, store, store::deals::Filter};

/// Lists the deals that the caller reaches, newest first.
pub(crate) async fn list_deals(app: Leads, call: Call<pb::ListDealsRequest>) -> Result<pb::ListDealsResponse, Error> {
    let ListDeals { page, filter } = ListDeals::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    let rows = store::deals::list(&mut db, call.scope(), &filter, page.after(), page.limit()).await?;
    let sight = present::Sight::of(&call.principal);
    let rows = rows.iter().map(|deal| ((deal.create_time, deal.id.0), present::deal(deal, sight)));
    let (deals, next_page_token) = page.fill(rows);
    Ok(pb::ListDealsResponse { deals, next_page_token })
}

struct ListDeals {
    page: Page,
    filter: Filter,
}

impl TryFrom<&pb::ListDealsRequest> for ListDeals {
    type Error = Violations;

    fn try_from(msg: &pb::ListDealsRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let others = pb::ListDealsRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let page = Page::parse(&mut wrong, msg.page_size, &msg.page_token, &others);
        let state = wrong.optional_choice("state", msg.state);
        let owner = wrong.optional_name("owner", &msg.owner);
        let client = wrong.optional_name("client", &msg.client);
        match (page, state, owner, client) {
            (Some(page), Some(state), Some(owner), Some(client)) => {
                Ok(Self { page, filter: Filter { state: state.and_then(deal_state), owner, client } })
            }
            _ => Err(wrong),
        }
    }
}

fn deal_state(state: pb::deal::State) -> Option<State> {
    match state {
        pb::deal::State::Unspecified => None,
        pb::deal::State::Open => Some(State::Open),
        pb::deal::State::Won => Some(State::Won),
        pb::deal::State::Lost => Some(State::Lost),
    }
}
