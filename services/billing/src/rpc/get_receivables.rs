use otdel_api::billing as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::ClientId;

use super::present;
use crate::{Billing, error::Error, store};

/// Tells what a client owes by the invoices that the caller reaches, and what it paid in advance (B2). A client of whom
/// the caller reaches nothing owes nothing, like one that does not exist.
pub(super) async fn get_receivables(
    app: Billing,
    call: Call<pb::GetReceivablesRequest>,
) -> Result<pb::GetReceivablesResponse, Error> {
    let mut wrong = Violations::default();
    let client: Option<ClientId> = wrong.name("client", &call.msg.client);
    let Some(client) = client else { return Err(wrong.into()) };

    let mut db = app.core.db.acquire().await?;
    let receivables = store::receivables::of_client(&mut db, call.scope(), client).await?;
    Ok(pb::GetReceivablesResponse { receivables: receivables.iter().map(present::receivable).collect() })
}
