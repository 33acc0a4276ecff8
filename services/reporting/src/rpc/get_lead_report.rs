use otdel_api::reporting as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::{ask, present, snapshot::Snapshot};
use crate::{
    Reporting,
    domain::ask::{Dimensions, Filter},
    error::Error,
    store::{self, lead_report::LeadCount},
};

/// Counts the leads that were received, by the dimensions asked for.
pub(super) async fn get_lead_report(
    app: Reporting,
    call: Call<pb::GetLeadReportRequest>,
) -> Result<pb::GetLeadReportResponse, Error> {
    let ask = GetLeadReport::try_from(&call.msg)?;

    let mut snapshot = Snapshot::open(&app, &call, &call.msg.at_least).await?;
    let (db, generation) = snapshot.build();
    let counts = store::lead_report::count(db, generation, call.scope(), &ask.filter, &ask.dimensions).await?;
    let rows = in_order(counts, &ask.dimensions);
    Ok(pb::GetLeadReportResponse {
        rows: rows.iter().map(present::leads).collect(),
        freshness: snapshot.close().await?,
    })
}

/// The rows in the order of their dimensions. Without dimensions there is one row, of no leads too.
pub(super) fn in_order(mut counts: Vec<LeadCount>, dimensions: &Dimensions) -> Vec<LeadCount> {
    if counts.is_empty() && dimensions.are_none() {
        counts.push(LeadCount::default());
    }
    counts.sort_by(|one, other| dimensions.compare(&one.key, &other.key));
    counts
}

struct GetLeadReport {
    filter: Filter,
    dimensions: Dimensions,
}

impl TryFrom<&pb::GetLeadReportRequest> for GetLeadReport {
    type Error = Violations;

    fn try_from(msg: &pb::GetLeadReportRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let filter = ask::filter(&mut wrong, msg.filter.as_ref());
        let dimensions = ask::dimensions(&mut wrong, &msg.dimensions);
        let at_least = ask::at_least(&mut wrong, &msg.at_least);
        match (filter, dimensions, at_least) {
            (Some(filter), Some(dimensions), Some(())) => Ok(Self { filter, dimensions }),
            _ => Err(wrong),
        }
    }
}
