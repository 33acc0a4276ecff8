use otdel_api::reporting as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::Money;

use super::{ask, present, snapshot::Snapshot};
use crate::{
    Reporting,
    domain::{
        ask::{Dimensions, Filter, Key},
        figures::Cycle,
    },
    error::Error,
    store::{self, won_report::WonPart},
};

/// Counts the deals that were won, by the month in which they were, with the days from request to win.
pub(super) async fn get_won_report(
    app: Reporting,
    call: Call<pb::GetWonReportRequest>,
) -> Result<pb::GetWonReportResponse, Error> {
    let ask = GetWonReport::try_from(&call.msg)?;

    let mut snapshot = Snapshot::open(&app, &call, &call.msg.at_least).await?;
    let (db, generation) = snapshot.build();
    let parts = store::won_report::count(db, generation, call.scope(), &ask.filter, &ask.dimensions).await?;
    let rows = put_together(parts, &ask.dimensions);
    Ok(pb::GetWonReportResponse { rows: rows.iter().map(present::won).collect(), freshness: snapshot.close().await? })
}

/// A number of won deals: how long they took and what they are worth by currency.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) key: Key,
    /// None of no deals.
    pub(super) cycle: Option<Cycle>,
    pub(super) worth: Vec<Money>,
}

/// The rows in the order of their dimensions, each with its sums. Without dimensions there is one row, of no deals too.
fn put_together(parts: Vec<WonPart>, dimensions: &Dimensions) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut worth = Vec::new();
    for part in parts {
        match part {
            WonPart::Count(key, cycle) => rows.push(Row { key, cycle: Some(cycle), worth: Vec::new() }),
            WonPart::Worth(key, sum) => worth.push((key, sum)),
        }
    }
    if rows.is_empty() && dimensions.are_none() {
        rows.push(Row::default());
    }
    rows.sort_by(|one, other| dimensions.compare(&one.key, &other.key));
    for (key, sum) in worth {
        if let Ok(at) = rows.binary_search_by(|row| dimensions.compare(&row.key, &key)) {
            rows[at].worth.push(sum);
        }
    }
    rows
}

struct GetWonReport {
    filter: Filter,
    dimensions: Dimensions,
}

impl TryFrom<&pb::GetWonReportRequest> for GetWonReport {
    type Error = Violations;

    fn try_from(msg: &pb::GetWonReportRequest) -> Result<Self, Violations> {
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
