use otdel_api::reporting as pb;
use otdel_runtime::{call::Call, page, violations::Violations};
use otdel_types::ClientId;

use super::{ask, present, snapshot::Snapshot};
use crate::{Reporting, domain::debt::Place, error::Error, store};

/// Sums what clients owe, by currency and client, in each currency the largest debt first.
pub(super) async fn get_receivables_report(
    app: Reporting,
    call: Call<pb::GetReceivablesReportRequest>,
) -> Result<pb::GetReceivablesReportResponse, Error> {
    let ask = GetReceivablesReport::try_from(&call.msg)?;

    let mut snapshot = Snapshot::open(&app, &call, &call.msg.at_least).await?;
    let (db, generation) = snapshot.build();
    let (scope, after) = (call.scope(), ask.after.as_ref());
    let (debts, next) = page::cut(
        store::receivables_report::list(db, generation, scope, ask.client, after, ask.size + 1).await?,
        ask.size,
        |last| Place::of(last).encode(ask.arguments),
    );
    Ok(pb::GetReceivablesReportResponse {
        rows: debts.iter().map(present::debt).collect(),
        next_page_token: next,
        freshness: snapshot.close().await?,
    })
}

struct GetReceivablesReport {
    client: Option<ClientId>,
    size: i64,
    arguments: u64,
    after: Option<Place>,
}

impl TryFrom<&pb::GetReceivablesReportRequest> for GetReceivablesReport {
    type Error = Violations;

    fn try_from(msg: &pb::GetReceivablesReportRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        // What an answer must include says nothing about which rows it has.
        let bare = pb::GetReceivablesReportRequest { client: msg.client.clone(), ..Default::default() };
        let arguments = page::arguments(&bare);
        let client = wrong.optional_name("client", &msg.client);
        let size = wrong.page_size(msg.page_size);
        let after = match msg.page_token.as_str() {
            "" => Some(None),
            token => wrong.take("page_token", Place::decode(token, arguments).map(Some)),
        };
        let at_least = ask::at_least(&mut wrong, &msg.at_least);
        match (client, size, after, at_least) {
            (Some(client), Some(size), Some(after), Some(())) => Ok(Self { client, size, arguments, after }),
            _ => Err(wrong),
        }
    }
}
