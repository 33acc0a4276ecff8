use otdel_api::reporting as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::snapshot::Snapshot;
use crate::{Reporting, error::Error};

/// Builds the read model again beside the live one and puts it in its place. A generation that is not live any more is
/// answered with the one that is.
pub(super) async fn rebuild_projection(
    app: Reporting,
    call: Call<pb::RebuildProjectionRequest>,
) -> Result<pb::RebuildProjectionResponse, Error> {
    let seen = call.msg.generation;
    let live = app.feeds.reached(&app.core.db).await?.first().map_or(1, |reached| reached.generation);
    if !(1..=live).contains(&seen) {
        let mut wrong = Violations::default();
        wrong.add("generation", "must be a generation that was live");
        return Err(wrong.into());
    }

    // The build goes on when the caller's time is over; this call does not wait for it any longer.
    app.feeds.rebuild(seen, call.time_left()).await?;
    let snapshot = Snapshot::open(&app, &call, &[]).await?;
    Ok(pb::RebuildProjectionResponse { projection: Some(snapshot.prove().await?) })
}
