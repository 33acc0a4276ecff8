//! Statements about `leads.gate` and `leads.deal_invoice`. Whoever writes here holds the deal's row.

use otdel_types::{DealId, InvoiceId, OrderId};
use sqlx::PgConnection;

use crate::domain::{deal::OpenGate, pipeline::Gate};

/// Writes that a gate is open.
pub(crate) async fn open(db: &mut PgConnection, deal: DealId, gate: &OpenGate) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into leads.gate (deal_id, kind, proof, open_time) values ($1, $2, $3, $4)",
        deal.0,
        gate.kind as Gate,
        gate.proof,
        gate.open_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes that a gate is shut again.
pub(crate) async fn shut(db: &mut PgConnection, deal: DealId, kind: Gate) -> sqlx::Result<()> {
    sqlx::query!("delete from leads.gate where deal_id = $1 and kind = $2", deal.0, kind as Gate).execute(db).await?;
    Ok(())
}

/// Notes an order's invoice as unpaid and tells whether it was new. It takes the place of an earlier invoice of the order,
/// which was lost with a restore of billing.
pub(crate) async fn note_issued(
    db: &mut PgConnection,
    deal: DealId,
    order: OrderId,
    invoice: InvoiceId,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into leads.deal_invoice (order_id, deal_id, invoice_id, paid) values ($1, $2, $3, false)
         on conflict (order_id) do update set invoice_id = excluded.invoice_id, paid = false
         where deal_invoice.invoice_id <> excluded.invoice_id",
        order.0,
        deal.0,
        invoice.0,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Notes that an order's invoice is paid.
pub(crate) async fn note_paid(
    db: &mut PgConnection,
    deal: DealId,
    order: OrderId,
    invoice: InvoiceId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into leads.deal_invoice (order_id, deal_id, invoice_id, paid) values ($1, $2, $3, true)
         on conflict (order_id) do update set invoice_id = excluded.invoice_id, paid = true",
        order.0,
        deal.0,
        invoice.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether the known invoice of every order of a deal is paid.
pub(crate) async fn are_all_paid(db: &mut PgConnection, deal: DealId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select not exists (select from leads.deal_invoice where deal_id = $1 and not paid) as "paid!""#,
        deal.0,
    )
    .fetch_one(db)
    .await
}
