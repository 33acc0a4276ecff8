use otdel_api::leads as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::{parse::Page, present};
use crate::{Leads, error::Error, store};

/// Lists all teams, newest first.
pub(crate) async fn list_teams(app: Leads, call: Call<pb::ListTeamsRequest>) -> Result<pb::ListTeamsResponse, Error> {
    let mut wrong = Violations::default();
    let others = pb::ListTeamsRequest::default();
    let page = Page::parse(&mut wrong, call.msg.page_size, &call.msg.page_token, &others).ok_or(wrong)?;

    let mut db = app.core.db.acquire().await?;
    let rows = store::teams::list(&mut db, page.after(), page.limit()).await?;
    let rows = rows.iter().map(|team| ((team.create_time, team.id.0), present::team(team)));
    let (teams, next_page_token) = page.fill(rows);
    Ok(pb::ListTeamsResponse { teams, next_page_token })
}
