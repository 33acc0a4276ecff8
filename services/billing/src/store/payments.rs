//! Statements about `billing.payment` and `billing.allocation`.

use chrono::{DateTime, NaiveDate, Utc};
use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, InvoiceId, PaymentId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Sums;
use crate::domain::payment::{Allocated, Part, Payment, Receipt};

struct Row {
    id: Uuid,
    client_id: Uuid,
    currency: String,
    amount: i64,
    allocated: i64,
    bank_ref: String,
    value_date: NaiveDate,
    version: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
    part_invoices: Vec<Uuid>,
    part_amounts: Vec<i64>,
}

impl TryFrom<Row> for Payment {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let sums = Sums::of(&row.currency)?;
        let parts = row.part_invoices.into_iter().zip(row.part_amounts);
        Ok(Self {
            id: PaymentId(row.id),
            receipt: Receipt {
                client: ClientId(row.client_id),
                amount: sums.money(row.amount),
                bank_ref: row.bank_ref,
                value_date: row.value_date,
            },
            allocated: sums.money(row.allocated),
            parts: parts.map(|(id, minor)| Part { invoice: InvoiceId(id), amount: sums.money(minor) }).collect(),
            version: row.version,
            create_time: row.create_time,
            update_time: row.update_time,
        })
    }
}

/// Reads a payment that `scope` reaches, with its parts as they are at the same moment.
pub(crate) async fn get(db: &mut PgConnection, scope: &Scope, id: PaymentId) -> sqlx::Result<Option<Payment>> {
    let row = sqlx::query_as!(
        Row,
        r#"select p.id, p.client_id, p.currency, p.amount, p.allocated, p.bank_ref, p.value_date, p.version,
                  p.create_time, p.update_time, part.invoices as "part_invoices!", part.amounts as "part_amounts!"
           from billing.payment p
           cross join lateral (
               select coalesce(array_agg(one.invoice_id order by one.first), '{}') as invoices,
                      coalesce(array_agg(one.amount order by one.first), '{}') as amounts
               from (select l.invoice_id, sum(l.amount)::bigint as amount, min(l.place) as first
                     from billing.allocation l where l.payment_id = p.id group by l.invoice_id) one) part
           where p.id = $1
             and ($2 or exists (
                 select from billing.live_access a
                 where a.kind = 'client' and a.resource_id = p.client_id
                   and (a.owner_id = $3 or a.team_id = any($4))))"#,
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(db)
    .await?;
    row.map(Payment::try_from).transpose()
}

/// Reads a payment that `scope` reaches and holds its row until the transaction ends. Two statements: one that waits
/// for the row would read the parts as they were before the wait.
pub(crate) async fn lock(db: &mut PgConnection, scope: &Scope, id: PaymentId) -> sqlx::Result<Option<Payment>> {
    let held = sqlx::query_scalar!("select id from billing.payment where id = $1 for update", id.0);
    match held.fetch_optional(&mut *db).await? {
        Some(_) => get(db, scope, id).await,
        None => Ok(None),
    }
}

/// Lists payments that `scope` reaches, newest first, after the place that `after` names. What is reached comes as an
/// array for the reason that `invoices::list` gives.
pub(crate) async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    client: Option<ClientId>,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Payment>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select p.id, p.client_id, p.currency, p.amount, p.allocated, p.bank_ref, p.value_date, p.version,
                  p.create_time, p.update_time, part.invoices as "part_invoices!", part.amounts as "part_amounts!"
           from (select * from billing.payment p
                 where ($1 or p.client_id = any (array(
                           select a.resource_id from billing.live_access a
                           where a.kind = 'client' and (a.owner_id = $2 or a.team_id = any($3)))))
                   and ($4::uuid is null or p.client_id = $4)
                   and ($5::timestamptz is null or (p.create_time, p.id) < ($5, $6))
                 order by p.create_time desc, p.id desc
                 limit $7) p
           cross join lateral (
               select coalesce(array_agg(one.invoice_id order by one.first), '{}') as invoices,
                      coalesce(array_agg(one.amount order by one.first), '{}') as amounts
               from (select l.invoice_id, sum(l.amount)::bigint as amount, min(l.place) as first
                     from billing.allocation l where l.payment_id = p.id group by l.invoice_id) one) part
           order by p.create_time desc, p.id desc"#,
        scope.all,
        scope.me,
        &scope.teams,
        client.map(|client| client.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Payment::try_from).collect()
}

/// Writes a new payment, or tells that its bank reference is taken. Where another transaction is recording the same
/// reference, it waits for that one's end.
pub(crate) async fn insert(db: &mut PgConnection, payment: &Payment) -> sqlx::Result<bool> {
    let receipt = &payment.receipt;
    let done = sqlx::query!(
        "insert into billing.payment (id, client_id, currency, amount, allocated, bank_ref, value_date, version,
             create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         on conflict on constraint payment_bank_ref do nothing",
        payment.id.0,
        receipt.client.0,
        receipt.amount.currency.code(),
        receipt.amount.minor,
        payment.allocated.minor,
        receipt.bank_ref,
        receipt.value_date,
        payment.version,
        payment.create_time,
        payment.update_time,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Finds the payment of a bank reference, whoever may see it: it decides whether a payment came before.
pub(crate) async fn by_bank_ref(db: &mut PgConnection, bank_ref: &str) -> sqlx::Result<Option<Payment>> {
    let id = sqlx::query_scalar!("select id from billing.payment where bank_ref = $1", bank_ref)
        .fetch_optional(&mut *db)
        .await?;
    match id {
        Some(id) => get(db, &Scope::all(), PaymentId(id)).await,
        None => Ok(None),
    }
}

/// Reads the parts that a payment was recorded with, in no order.
pub(crate) async fn recorded_parts(db: &mut PgConnection, payment: &Payment) -> sqlx::Result<Vec<Part>> {
    let rows = sqlx::query!(
        "select invoice_id, amount from billing.allocation where payment_id = $1 and payment_version = 1",
        payment.id.0,
    )
    .fetch_all(db)
    .await?;
    let sums = Sums(payment.receipt.amount.currency);
    let part = |invoice, minor| Part { invoice: InvoiceId(invoice), amount: sums.money(minor) };
    Ok(rows.into_iter().map(|row| part(row.invoice_id, row.amount)).collect())
}

/// Writes what may change of a payment, and its new parts.
pub(crate) async fn save(db: &mut PgConnection, allocated: &Allocated) -> sqlx::Result<()> {
    let (payment, new) = (&allocated.payment, &allocated.allocations);
    sqlx::query!(
        "with saved as (
             update billing.payment set allocated = $2, version = $3, update_time = $4 where id = $1
             returning id, version, client_id, currency, update_time)
         insert into billing.allocation (id, payment_id, payment_version, invoice_id, client_id, currency, amount,
             create_time)
         select part.id, saved.id, saved.version, part.invoice_id, saved.client_id, saved.currency, part.amount,
             saved.update_time
         from saved, unnest($5::uuid[], $6::uuid[], $7::bigint[]) as part (id, invoice_id, amount)",
        payment.id.0,
        payment.allocated.minor,
        payment.version,
        payment.update_time,
        &new.iter().map(|one| one.id).collect::<Vec<Uuid>>(),
        &new.iter().map(|one| one.part.invoice.0).collect::<Vec<Uuid>>(),
        &new.iter().map(|one| one.part.amount.minor).collect::<Vec<i64>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}
