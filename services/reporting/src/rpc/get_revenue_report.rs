use otdel_api::reporting as pb;
use otdel_runtime::{call::Call, violations::Violations};

use super::{ask, present, snapshot::Snapshot};
use crate::{Reporting, domain::ask::Filter, error::Error, store};

/// Sums the invoices that were issued and what was paid, by month and currency.
pub(super) async fn get_revenue_report(
    app: Reporting,
    call: Call<pb::GetRevenueReportRequest>,
) -> Result<pb::GetRevenueReportResponse, Error> {
    let ask = GetRevenueReport::try_from(&call.msg)?;

    let mut snapshot = Snapshot::open(&app, &call, &call.msg.at_least).await?;
    let (db, generation) = snapshot.build();
    let months = store::revenue_report::sum(db, generation, call.scope(), &ask.filter).await?;
    Ok(pb::GetRevenueReportResponse {
        rows: months.iter().map(present::revenue).collect(),
        freshness: snapshot.close().await?,
    })
}

struct GetRevenueReport {
    filter: Filter,
}

impl TryFrom<&pb::GetRevenueReportRequest> for GetRevenueReport {
    type Error = Violations;

    fn try_from(msg: &pb::GetRevenueReportRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let filter = ask::filter(&mut wrong, msg.filter.as_ref());
        let at_least = ask::at_least(&mut wrong, &msg.at_least);
        match (filter, at_least) {
            (Some(filter), Some(())) => Ok(Self { filter }),
            _ => Err(wrong),
        }
    }
}
