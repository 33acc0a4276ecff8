use std::slice;

use otdel_api::leads as pb;
use otdel_runtime::{call::Call, fault::Fault, together, violations::Violations};
use otdel_types::PersonId;

use super::{parse::Page, present};
use crate::{
    Leads,
    domain::lead::{Lead, State},
    error::Error,
    store::{self, leads::OfOwner},
};

/// A page of an owner's leads, and who asks for it.
pub(crate) type Asked = OfOwner;

/// The leads of the page that the one who asks reaches.
pub(crate) type Answer = Result<Vec<Lead>, Fault>;

/// Lists the leads that the caller reaches, newest first.
///
/// Managers look at their own leads all day, so the pages of owners that are asked for at the same time are read by one
/// statement. Others wait for whoever is in it, so it is for those pages alone for which no more leads are looked at than it
/// shows: what a caller does not reach or ask for may be all that an owner ever had.
pub(crate) async fn list_leads(app: Leads, call: Call<pb::ListLeadsRequest>) -> Result<pb::ListLeadsResponse, Error> {
    let ListLeads { page, state, owner } = ListLeads::try_from(&call.msg)?;
    let (after, limit) = (page.after(), page.limit());

    let leads = if let Some(owner) = owner.or(call.scope().only_person()) {
        let scope = call.scope().clone();
        let asked = OfOwner { scope, owner, state, after: after.copied(), limit };
        if asked.is_whole() {
            app.lister.ask(asked, |lot| read(app.clone(), lot)).await??
        } else {
            let mut db = app.core.db.acquire().await?;
            store::leads::list_of_owners(&mut db, slice::from_ref(&asked)).await?.pop().unwrap_or_default()
        }
    } else {
        let mut db = app.core.db.acquire().await?;
        store::leads::list(&mut db, call.scope(), state, after, limit).await?
    };
    let sight = present::Sight::of(&call.principal);
    let rows = leads.into_iter().map(|lead| ((lead.create_time, lead.id.0), present::lead(lead, sight)));
    let (leads, next_page_token) = page.fill(rows);
    Ok(pb::ListLeadsResponse { leads, next_page_token })
}

async fn read(app: Leads, lot: Vec<Asked>) -> Vec<Answer> {
    let read = async {
        let mut db = app.core.db.acquire().await?;
        Ok(store::leads::list_of_owners(&mut db, &lot).await?)
    };
    together::share(lot.len(), read.await)
}

struct ListLeads {
    page: Page,
    state: Option<State>,
    owner: Option<PersonId>,
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
            (Some(page), Some(state), Some(owner)) => Ok(Self { page, state: state.and_then(lead_state), owner }),
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
