use otdel_api::reporting as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::PipelineId;

use super::{ask, present, snapshot::Snapshot};
use crate::{Reporting, domain::ask::Filter, error::Error, store};

/// Counts how many deals entered each stage and how many stand there.
pub(super) async fn get_funnel_report(
    app: Reporting,
    call: Call<pb::GetFunnelReportRequest>,
) -> Result<pb::GetFunnelReportResponse, Error> {
    let ask = GetFunnelReport::try_from(&call.msg)?;

    let mut snapshot = Snapshot::open(&app, &call, &call.msg.at_least).await?;
    let (db, generation) = snapshot.build();
    let stages = store::funnel_report::count(db, generation, call.scope(), &ask.filter, ask.pipeline).await?;
    Ok(pb::GetFunnelReportResponse {
        rows: stages.iter().map(present::stage).collect(),
        freshness: snapshot.close().await?,
    })
}

struct GetFunnelReport {
    filter: Filter,
    pipeline: Option<PipelineId>,
}

impl TryFrom<&pb::GetFunnelReportRequest> for GetFunnelReport {
    type Error = Violations;

    fn try_from(msg: &pb::GetFunnelReportRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let filter = ask::filter(&mut wrong, msg.filter.as_ref());
        let pipeline = wrong.optional_name("pipeline", &msg.pipeline);
        let at_least = ask::at_least(&mut wrong, &msg.at_least);
        match (filter, pipeline, at_least) {
            (Some(filter), Some(pipeline), Some(())) => Ok(Self { filter, pipeline }),
            _ => Err(wrong),
        }
    }
}
