//! Statements that write what the facts of billing change: the tables `invoice` and `allocation`.

use otdel_types::Money;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::change::{Allocation, BillingChange, IssuedInvoice};

/// Writes what the fact at `position` of the feed changes in a build.
pub(crate) async fn apply(
    db: &mut PgConnection,
    generation: i64,
    position: i64,
    change: &BillingChange,
) -> sqlx::Result<()> {
    match change {
        BillingChange::Issued(invoice) => issue(db, generation, invoice).await,
        BillingChange::Allocated(allocation) => allocate(db, generation, position, allocation).await,
    }
}

async fn issue(db: &mut PgConnection, generation: i64, invoice: &IssuedInvoice) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into reporting.invoice
             (generation, invoice_id, deal_id, client_id, issue_date, currency, net, vat, gross)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        generation,
        invoice.invoice.0,
        invoice.deal.0,
        invoice.client.0,
        invoice.date,
        invoice.gross.currency.code(),
        invoice.net.minor,
        invoice.vat.minor,
        invoice.gross.minor,
    )
    .execute(db)
    .await?;
    Ok(())
}

async fn allocate(db: &mut PgConnection, generation: i64, position: i64, allocation: &Allocation) -> sqlx::Result<()> {
    let (deals, amounts): (Vec<Uuid>, Vec<Money>) =
        allocation.parts.iter().map(|(deal, amount)| (deal.0, *amount)).unzip();
    let (minors, currencies): (Vec<i64>, Vec<String>) =
        amounts.iter().map(|amount| (amount.minor, amount.currency.code().to_owned())).unzip();
    sqlx::query!(
        "insert into reporting.allocation
             (generation, position, part, deal_id, client_id, allocate_date, currency, amount)
         select $1, $2, part, deal_id, $3, $4, currency, amount
         from unnest($5::uuid[], $6::text[], $7::bigint[]) with ordinality as parts (deal_id, currency, amount, part)",
        generation,
        position,
        allocation.client.0,
        allocation.date,
        &deals,
        &currencies,
        &minors,
    )
    .execute(db)
    .await?;
    Ok(())
}
