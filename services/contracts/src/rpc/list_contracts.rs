use otdel_api::contracts as pb;
use otdel_runtime::{call::Call, page, violations::Violations};
use otdel_types::Token;
use uuid::Uuid;

use super::present;
use crate::{Contracts, domain::contract::State, error::Error, store, store::contracts::Filter};

/// Lists the contracts that the caller reaches, newest first. A page ends early where its lines would be too many for one
/// answer.
pub(super) async fn list_contracts(
    app: Contracts,
    call: Call<pb::ListContractsRequest>,
) -> Result<pb::ListContractsResponse, Error> {
    let ask = ListContracts::try_from(&call.msg)?;

    // Lines of a draft may be replaced between two statements.
    let mut tx = app.core.snapshot().await?;
    let heads = store::contracts::list(&mut tx, call.scope(), &ask.filter, ask.after.as_ref(), ask.size + 1).await?;
    let ids: Vec<Uuid> = heads.iter().map(|head| head.id).collect();
    let lines = store::lines::of_contracts(&mut tx, &ids).await?;
    tx.commit().await?;

    let (heads, next_page_token) = page::cut(heads, ask.size.min(lines.whole), |last| {
        Token { arguments: ask.arguments, created: last.create_time, id: last.id }.encode()
    });
    let contracts = store::contracts::join(heads, lines)?;
    Ok(pb::ListContractsResponse { contracts: contracts.iter().map(present::contract).collect(), next_page_token })
}

struct ListContracts {
    size: i64,
    arguments: u64,
    after: Option<Token>,
    filter: Filter,
}

impl TryFrom<&pb::ListContractsRequest> for ListContracts {
    type Error = Violations;

    fn try_from(msg: &pb::ListContractsRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let bare = pb::ListContractsRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let arguments = page::arguments(&bare);
        let size = wrong.page_size(msg.page_size);
        let after = wrong.page_token(&msg.page_token, arguments);
        let state = wrong.optional_choice("state", msg.state);
        let deal = wrong.optional_name("deal", &msg.deal);
        let client = wrong.optional_name("client", &msg.client);
        match (size, after, state, deal, client) {
            (Some(size), Some(after), Some(state), Some(deal), Some(client)) => {
                let state = state.and_then(contract_state);
                Ok(Self { size, arguments, after, filter: Filter { state, deal, client } })
            }
            _ => Err(wrong),
        }
    }
}

fn contract_state(state: pb::contract::State) -> Option<State> {
    match state {
        pb::contract::State::Unspecified => None,
        pb::contract::State::Draft => Some(State::Draft),
        pb::contract::State::Review => Some(State::Review),
        pb::contract::State::Approved => Some(State::Approved),
        pb::contract::State::Signed => Some(State::Signed),
    }
}
