use otdel_api::contracts as pb;
use otdel_runtime::{call::Call, page, violations::Violations};
use otdel_types::Token;
use uuid::Uuid;

use super::present;
use crate::{Contracts, domain::order::State, error::Error, store, store::orders::Filter};

/// Lists the orders that the caller reaches, newest first. A page ends early where its lines would be too many for one
/// answer.
pub(super) async fn list_orders(
    app: Contracts,
    call: Call<pb::ListOrdersRequest>,
) -> Result<pb::ListOrdersResponse, Error> {
    let ask = ListOrders::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    let heads = store::orders::list(&mut db, call.scope(), &ask.filter, ask.after.as_ref(), ask.size + 1).await?;
    let ids: Vec<Uuid> = heads.iter().map(|head| head.id).collect();
    let lines = store::lines::of_orders(&mut db, &ids).await?;

    let (heads, next_page_token) = page::cut(heads, ask.size.min(lines.whole), |last| {
        Token { arguments: ask.arguments, created: last.create_time, id: last.id }.encode()
    });
    let orders = store::orders::join(heads, lines)?;
    Ok(pb::ListOrdersResponse { orders: orders.iter().map(present::order).collect(), next_page_token })
}

struct ListOrders {
    size: i64,
    arguments: u64,
    after: Option<Token>,
    filter: Filter,
}

impl TryFrom<&pb::ListOrdersRequest> for ListOrders {
    type Error = Violations;

    fn try_from(msg: &pb::ListOrdersRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let bare = pb::ListOrdersRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let arguments = page::arguments(&bare);
        let size = wrong.page_size(msg.page_size);
        let after = wrong.page_token(&msg.page_token, arguments);
        let state = wrong.optional_choice("state", msg.state);
        let deal = wrong.optional_name("deal", &msg.deal);
        let client = wrong.optional_name("client", &msg.client);
        match (size, after, state, deal, client) {
            (Some(size), Some(after), Some(state), Some(deal), Some(client)) => {
                let state = state.and_then(order_state);
                Ok(Self { size, arguments, after, filter: Filter { state, deal, client } })
            }
            _ => Err(wrong),
        }
    }
}

fn order_state(state: pb::order::State) -> Option<State> {
    match state {
        pb::order::State::Unspecified => None,
        pb::order::State::New => Some(State::New),
        pb::order::State::Confirmed => Some(State::Confirmed),
        pb::order::State::Cancelled => Some(State::Cancelled),
    }
}
