use otdel_api::billing as pb;
use otdel_runtime::{call::Call, violations::Violations};
use otdel_types::PaymentId;

use super::present;
use crate::{Billing, error::Error, store};

/// Returns a payment that the caller reaches.
pub(super) async fn get_payment(
    app: Billing,
    call: Call<pb::GetPaymentRequest>,
) -> Result<pb::GetPaymentResponse, Error> {
    let mut wrong = Violations::default();
    let id: Option<PaymentId> = wrong.name("name", &call.msg.name);
    let Some(id) = id else { return Err(wrong.into()) };

    let mut db = app.core.db.acquire().await?;
    let payment = store::payments::get(&mut db, call.scope(), id).await?.ok_or(Error::NoSuchPayment(id))?;
    Ok(pb::GetPaymentResponse { payment: Some(present::payment(&payment)) })
}
