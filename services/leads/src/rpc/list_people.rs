use otdel_api::leads as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::TeamId;

use super::{parse::Page, present};
use crate::{Leads, error::Error, store};

/// Lists people, newest first.
pub(crate) async fn list_people(
    app: Leads,
    call: Call<pb::ListPeopleRequest>,
) -> Result<pb::ListPeopleResponse, Error> {
    let ListPeople { page, team } = ListPeople::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    let rows = store::people::list(&mut db, call.scope(), team, page.after(), page.limit()).await?;
    let rows = rows.iter().map(|person| ((person.create_time, person.id.0), present::person(person)));
    let (people, next_page_token) = page.fill(rows);
    Ok(pb::ListPeopleResponse { people, next_page_token })
}

struct ListPeople {
    page: Page,
    team: Option<TeamId>,
}

impl TryFrom<&pb::ListPeopleRequest> for ListPeople {
    type Error = Violations;

    fn try_from(msg: &pb::ListPeopleRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let others = pb::ListPeopleRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let page = Page::parse(&mut wrong, msg.page_size, &msg.page_token, &others);
        let team = wrong.optional_name("team", &msg.team);
        match (page, team) {
            (Some(page), Some(team)) => Ok(Self { page, team }),
            _ => Err(wrong),
        }
    }
}
