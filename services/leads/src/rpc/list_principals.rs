use otdel_api::leads as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::{parse::Page, present};
use crate::{Leads, error::Error, store};

/// Lists all principals, newest first.
pub(crate) async fn list_principals(
    app: Leads,
    call: Call<pb::ListPrincipalsRequest>,
) -> Result<pb::ListPrincipalsResponse, Error> {
    let mut wrong = Violations::default();
    let others = pb::ListPrincipalsRequest::default();
    let page = Page::parse(&mut wrong, call.msg.page_size, &call.msg.page_token, &others).ok_or(wrong)?;

    let mut db = app.core.db.acquire().await?;
    let rows = store::principals::list(&mut db, page.after(), page.limit()).await?;
    let rows = rows.iter().map(|principal| ((principal.create_time, principal.id.0), present::principal(principal)));
    let (principals, next_page_token) = page.fill(rows);
    Ok(pb::ListPrincipalsResponse { principals, next_page_token })
}
