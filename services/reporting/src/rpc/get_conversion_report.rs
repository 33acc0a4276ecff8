use otdel_api::reporting as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::{ask, get_lead_report::in_order, present, snapshot::Snapshot};
use crate::{
    Reporting,
    domain::ask::{Dimensions, Filter},
    error::Error,
    store,
};

/// Counts the leads that were received and those of them whose deal was won since, by the dimensions asked for.
pub(super) async fn get_conversion_report(
    app: Reporting,
    call: Call<pb::GetConversionReportRequest>,
) -> Result<pb::GetConversionReportResponse, Error> {
    let ask = GetConversionReport::try_from(&call.msg)?;

    let mut snapshot = Snapshot::open(&app, &call, &call.msg.at_least).await?;
    let (db, generation) = snapshot.build();
    let counts = store::lead_report::count(db, generation, call.scope(), &ask.filter, &ask.dimensions).await?;
    let rows = in_order(counts, &ask.dimensions);
    Ok(pb::GetConversionReportResponse {
        rows: rows.iter().map(present::conversion).collect(),
        freshness: snapshot.close().await?,
    })
}

struct GetConversionReport {
    filter: Filter,
    dimensions: Dimensions,
}

impl TryFrom<&pb::GetConversionReportRequest> for GetConversionReport {
    type Error = Violations;

    fn try_from(msg: &pb::GetConversionReportRequest) -> Result<Self, Violations> {
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
