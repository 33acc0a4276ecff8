use otdel_api::billing as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::InvoiceId;

use super::present;
use crate::{Billing, error::Error, store};

/// Returns an invoice that the caller reaches.
pub(super) async fn get_invoice(
    app: Billing,
    call: Call<pb::GetInvoiceRequest>,
) -> Result<pb::GetInvoiceResponse, Error> {
    let mut wrong = Violations::default();
    let id: Option<InvoiceId> = wrong.name("name", &call.msg.name);
    let Some(id) = id else { return Err(wrong.into()) };

    let mut db = app.core.db.acquire().await?;
    let invoice = store::invoices::get(&mut db, call.scope(), id).await?.ok_or(Error::NoSuchInvoice(id))?;
    let lines = store::invoices::lines(&mut db, &[id]).await?.remove(&id).unwrap_or_default();
    Ok(pb::GetInvoiceResponse { invoice: Some(present::invoice(&invoice, &lines)) })
}
