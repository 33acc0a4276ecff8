use chrono::NaiveDate;
use otdel_api::billing as pb;
use otdel_runtime::{
    call::Call,
    idempotency::{self, Keep},
    outbox::{self, Change},
    violations::Violations,
};
use sqlx::PgConnection;

use super::{present, settle};
use crate::{
    Billing,
    domain::{
        ledger,
        payment::{Part, Payment, Receipt},
    },
    error::Error,
    facts, store,
};

/// Records money that a client paid, and what it pays at once (B3). Repeating it with the same `request_id`, or with
/// the same bank reference and content, returns the first payment.
pub(super) async fn record_payment(
    app: Billing,
    call: Call<pb::RecordPaymentRequest>,
) -> Result<pb::RecordPaymentResponse, Error> {
    let ask = RecordPayment::parse(&call.msg, app.core.zone.date_of(call.now))?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim_for(&mut tx, &call, Keep::Forever).await? {
        return Ok(answered);
    }
    let client = ask.receipt.client;
    if !store::access::reaches_client(&mut tx, call.scope(), client).await? {
        return Err(Error::NoSuchClient(client));
    }
    let payment = Payment::record(ask.receipt, call.now);
    // Written before its invoices are looked at: a second recording must wait here and find the first, rather than find
    // invoices that the first has paid.
    let (payment, change) = if store::payments::insert(&mut tx, &payment).await? {
        take_in(&mut tx, &call, payment, &ask.parts).await?
    } else {
        earlier(&mut tx, &payment, &ask.parts).await?
    };
    let reply = pb::RecordPaymentResponse { payment: Some(present::payment(&payment)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

/// Books a payment that has not come before, and what it pays.
async fn take_in(
    db: &mut PgConnection,
    call: &Call<pb::RecordPaymentRequest>,
    payment: Payment,
    parts: &[Part],
) -> Result<(Payment, Change), Error> {
    let mut booked = vec![ledger::pay(&payment)?];

    let done = settle::settle(db, call.scope(), payment, parts, call.now).await?;

    booked.extend(settle::bookings(&done)?);
    store::ledger::book(db, &booked).await?;
    let act = call.act();
    let recorded = outbox::append(db, &act, facts::recorded(&done.payment)).await?;
    let change = settle::tell(db, &act, &done).await?.unwrap_or(recorded);
    Ok((done.payment, change))
}

/// The payment that has the bank reference already, if it is the same again: as it is now, with the newest event about
/// it.
async fn earlier(db: &mut PgConnection, again: &Payment, parts: &[Part]) -> Result<(Payment, Change), Error> {
    let first = store::payments::by_bank_ref(db, &again.receipt.bank_ref).await?.ok_or(sqlx::Error::RowNotFound)?;
    let recorded = store::payments::recorded_parts(db, &first).await?;
    if !first.is_repeated(&recorded, &again.receipt, parts) {
        return Err(Error::BankRefTaken(first.id));
    }
    let name = first.id.to_string();
    let subjects: Vec<_> = first.parts.iter().map(|part| part.invoice.to_string()).chain([name.clone()]).collect();
    let change = outbox::newest_touching(db, "billing", &subjects, &name).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok((first, change))
}

struct RecordPayment {
    receipt: Receipt,
    parts: Vec<Part>,
}

impl RecordPayment {
    fn parse(msg: &pb::RecordPaymentRequest, today: NaiveDate) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        wrong.request_id(&msg.request_id);
        let client = wrong.name("client", &msg.client);
        let amount = wrong.money("amount", msg.amount.as_ref());
        if amount.is_some_and(|amount| amount.minor <= 0) {
            wrong.add("amount", "must be above 0");
        }
        // The same reference with a blank beside it is the same payment.
        let bank_ref = wrong.text("bank_ref", msg.bank_ref.trim(), 100);
        let value_date = wrong.date("value_date", msg.value_date.as_ref());
        if value_date.is_some_and(|date| date > today) {
            wrong.add("value_date", "must not be after today");
        }
        let parts = settle::parts(&mut wrong, &msg.allocations, amount.map(|amount| amount.currency));
        let parsed = (client, amount, bank_ref, value_date);
        match (wrong.0.is_empty(), parsed) {
            (true, (Some(client), Some(amount), Some(bank_ref), Some(value_date))) => {
                Ok(Self { receipt: Receipt { client, amount, bank_ref, value_date }, parts })
            }
            _ => Err(wrong),
        }
    }
}

#[cfg(test)]
mod tests {
    use otdel_api::common;
    use otdel_types::ClientId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn white_space_around_a_bank_reference_is_left_out() {
        let msg = |bank_ref: &str| pb::RecordPaymentRequest {
            request_id: Uuid::now_v7().to_string(),
            client: ClientId::new().to_string(),
            amount: Some(common::Money { currency_code: "RUB".into(), units: 1, nanos: 0 }),
            bank_ref: bank_ref.into(),
            value_date: Some(common::Date { year: 2026, month: 1, day: 1 }),
            allocations: Vec::new(),
        };
        let today = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
        for told in ["п/п 17", " п/п 17", "п/п 17\n", "\u{a0}п/п 17\t "] {
            assert_eq!(RecordPayment::parse(&msg(told), today).unwrap().receipt.bank_ref, "п/п 17", "{told:?}");
        }
        assert!(RecordPayment::parse(&msg(" \u{a0}"), today).is_err());
    }
}
