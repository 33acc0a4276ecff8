use otdel_api::leads as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::PrincipalId;

use super::{parse::Page, present};
use crate::{Leads, error::Error, store};

/// Lists API keys, newest first, never their digests.
pub(crate) async fn list_api_keys(
    app: Leads,
    call: Call<pb::ListApiKeysRequest>,
) -> Result<pb::ListApiKeysResponse, Error> {
    let ListApiKeys { page, principal } = ListApiKeys::try_from(&call.msg)?;

    let mut db = app.core.db.acquire().await?;
    let rows = store::api_keys::list(&mut db, principal, page.after(), page.limit()).await?;
    let rows = rows.iter().map(|key| ((key.create_time, key.id.0), present::api_key(key)));
    let (api_keys, next_page_token) = page.fill(rows);
    Ok(pb::ListApiKeysResponse { api_keys, next_page_token })
}

struct ListApiKeys {
    page: Page,
    principal: Option<PrincipalId>,
}

impl TryFrom<&pb::ListApiKeysRequest> for ListApiKeys {
    type Error = Violations;

    fn try_from(msg: &pb::ListApiKeysRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let others = pb::ListApiKeysRequest { page_size: 0, page_token: String::new(), ..msg.clone() };
        let page = Page::parse(&mut wrong, msg.page_size, &msg.page_token, &others);
        let principal = wrong.optional_name("principal", &msg.principal);
        match (page, principal) {
            (Some(page), Some(principal)) => Ok(Self { page, principal }),
            _ => Err(wrong),
        }
    }
}
