use otdel_api::reporting as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::{ask, snapshot::Snapshot};
use crate::{Reporting, error::Error};

/// Tells how far the live read model has read its sources, and its digest.
pub(super) async fn get_projection(
    app: Reporting,
    call: Call<pb::GetProjectionRequest>,
) -> Result<pb::GetProjectionResponse, Error> {
    let mut wrong = Violations::default();
    ask::at_least(&mut wrong, &call.msg.at_least);
    wrong.into_result()?;

    let snapshot = Snapshot::open(&app, &call, &call.msg.at_least).await?;
    Ok(pb::GetProjectionResponse { projection: Some(snapshot.prove().await?) })
}
