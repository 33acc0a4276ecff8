use otdel_api::leads as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::PersonId;

use super::{parse::Page, present};
use crate::{Leads, error::Error, store};

/// Lists the clients that the caller reaches, newest first.
pub(crate) async fn list_clients(
    app: Leads,
    call: Call<pb::ListClientsRequest>,
) -> Result<pb::ListClientsResponse, Error> {
    let ListClients { page, owner } = ListClients::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    let rows = store::clients::list(&mut db, call.scope(), owner, page.after(), page.limit()).await?;
    let sight = present::Sight::of(&call.principal);
    let rows = rows.iter().map(|client| ((client.create_time, client.id.0), present::client(client, sight)));
    let (clients, next_page_token) = page.fill(rows);
    Ok(pb::ListClientsResponse { clients, next_page_token })
}

struct ListClients {
    page: Page,
    owner: Option<PersonId>,
}

impl TryFrom<&pb::ListClientsRequest> for ListClients {
    type Error = Violations;

    fn try_from(msg: &pb::ListClientsRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let others = pb::ListClientsRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let page = Page::parse(&mut wrong, msg.page_size, &msg.page_token, &others);
        let owner = wrong.optional_name("owner", &msg.owner);
        match (page, owner) {
            (Some(page), Some(owner)) => Ok(Self { page, owner }),
            _ => Err(wrong),
        }
    }
}
