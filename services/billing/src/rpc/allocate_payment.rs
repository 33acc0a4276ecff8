use otdel_api::billing as pb;
use otdel_runtime::{
    call::Call,
    idempotency::{self, Keep},
    violations::Violations,
};
use otdel_types::PaymentId;

use super::{present, settle};
use crate::{Billing, domain::payment::Part, error::Error, store};

/// Pays invoices with a payment, all or none (B3).
pub(super) async fn allocate_payment(
    app: Billing,
    call: Call<pb::AllocatePaymentRequest>,
) -> Result<pb::AllocatePaymentResponse, Error> {
    let ask = AllocatePayment::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let payment = store::payments::lock(&mut tx, call.scope(), ask.payment).await?;
    let payment = payment.ok_or(Error::NoSuchPayment(ask.payment))?;
    settle::check_currency(&ask.parts, payment.receipt.amount.currency)?;

    let payment = payment.revise(ask.seen, call.now)?;
    let done = settle::settle(&mut tx, call.scope(), payment, &ask.parts, call.now).await?;

    store::ledger::book(&mut tx, &settle::bookings(&done)?).await?;
    let change = settle::tell(&mut tx, &call.act(), &done).await?.map(|change| change.to_string());
    let payment = present::payment(&done.payment);
    let reply = pb::AllocatePaymentResponse { payment: Some(payment), change: change.unwrap_or_default() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct AllocatePayment {
    payment: PaymentId,
    seen: Option<i64>,
    parts: Vec<Part>,
}

impl TryFrom<&pb::AllocatePaymentRequest> for AllocatePayment {
    type Error = Violations;

    fn try_from(msg: &pb::AllocatePaymentRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        wrong.request_id(&msg.request_id);
        let payment = wrong.name("name", &msg.name);
        let seen = wrong.etag("etag", &msg.etag);
        let parts = settle::parts(&mut wrong, &msg.allocations, None);
        if msg.allocations.is_empty() {
            wrong.add("allocations", "must not be empty");
        }
        match (wrong.0.is_empty(), payment, seen) {
            (true, Some(payment), Some(seen)) => Ok(Self { payment, seen, parts }),
            _ => Err(wrong),
        }
    }
}
