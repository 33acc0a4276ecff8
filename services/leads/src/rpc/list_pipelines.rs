use otdel_api::leads as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::{parse::Page, present};
use crate::{Leads, error::Error, store};

/// Lists all pipeline versions, newest first.
pub(crate) async fn list_pipelines(
    app: Leads,
    call: Call<pb::ListPipelinesRequest>,
) -> Result<pb::ListPipelinesResponse, Error> {
    let mut wrong = Violations::default();
    let others = pb::ListPipelinesRequest::default();
    let page = Page::parse(&mut wrong, call.msg.page_size, &call.msg.page_token, &others).ok_or(wrong)?;

    let mut db = app.core.db.acquire().await?;
    let rows = store::pipelines::list(&mut db, page.after(), page.limit()).await?;
    let rows = rows.iter().map(|pipeline| ((pipeline.create_time, pipeline.id.0), present::pipeline(pipeline)));
    let (pipelines, next_page_token) = page.fill(rows);
    Ok(pb::ListPipelinesResponse { pipelines, next_page_token })
}
