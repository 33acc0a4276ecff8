use otdel_api::leads as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::{parse::Page, present};
use crate::{Leads, domain::lead::State, error::Error, store, store::leads::Filter};

/// Lists the leads that the caller reaches, newest first.
pub(crate) async fn list_leads(app: Leads, call: Call<pb::ListLeadsRequest>) -> Result<pb::ListLeadsResponse, Error> {
    let ListLeads { page, filter } = ListLeads::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    let rows = store::leads::list(&mut db, call.scope(), &filter, page.after(), page.limit()).await?;
    let sight = present::Sight::of(&call.principal);
    let rows = rows.iter().map(|lead| ((lead.create_time, lead.id.0), present::lead(lead, sight)));
    let (leads, next_page_token) = page.fill(rows);
    Ok(pb::ListLeadsResponse { leads, next_page_token })
}

struct ListLeads {
    page: Page,
    filter: Filter,
}

impl TryFrom<&pb::ListLeadsRequest> for ListLeads {
    type Error = Violations;

    fn try_from(msg: &pb::ListLeadsRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let others = pb::ListLeadsRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let page = Page::parse(&mut wrong, msg.page_size, &msg.page_token, &others);
        let state = wrong.optional_choice("state", msg.state);
        let owner = wrong.optional_name("owner", &msg.owner);
        match (page, state, owner) {
            (Some(page), Some(state), Some(owner)) => {
                Ok(Self { page, filter: Filter { state: state.and_then(lead_state), owner } })
            }
            _ => Err(wrong),
        }
    }
}

fn lead_state(state: pb::lead::State) -> Option<State> {
    match state {
        pb::lead::State::Unspecified => None,
        pb::lead::State::Pooled => Some(State::Pooled),
        pb::lead::State::Assigned => Some(State::Assigned),
        pb::lead::State::Contacted => Some(State::Contacted),
        pb::lead::State::Converted => Some(State::Converted),
        pb::lead::State::Closed => Some(State::Closed),
    }
}
