use otdel_api::leads as pb;
use otdel_runtime::call::Call;

use super::{parse, present};
use crate::{
    Leads,
    error::{Error, Resource},
    store,
};

/// Returns a pipeline version.
pub(crate) async fn get_pipeline(
    app: Leads,
    call: Call<pb::GetPipelineRequest>,
) -> Result<pb::GetPipelineResponse, Error> {
    let id = parse::named(&call.msg.name)?;

    let mut db = app.core.db.acquire().await?;
    let pipeline = store::pipelines::get(&mut db, id).await?.ok_or(Error::NotFound(Resource::Pipeline(id)))?;
    Ok(pb::GetPipelineResponse { pipeline: Some(present::pipeline(&pipeline)) })
}
