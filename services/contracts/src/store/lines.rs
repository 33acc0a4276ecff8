//! Statements about `contracts.contract_line` and `contracts.order_line`.

use std::collections::HashMap;

use otdel_types::{ContractId, Currency, OrderId, VatRate};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{sums, undecodable};
use crate::domain::line::{Line, Lines, Offer};

/// A stored line that has not met its document yet.
#[derive(Debug)]
pub(super) struct Row {
    document_id: Uuid,
    id: Uuid,
    display_name: String,
    quantity: Decimal,
    unit_code: String,
    unit_price: Decimal,
    vat_rate: String,
    vat_included: bool,
    net: i64,
    vat: i64,
    gross: i64,
}

/// A rate of VAT that no binary of ours wrote.
#[derive(Debug, thiserror::Error)]
#[error("unknown rate of VAT")]
struct UnknownRate;

impl Row {
    /// The line in its document's currency.
    pub(super) fn line(self, currency: Currency) -> sqlx::Result<Line> {
        Ok(Line {
            id: self.id,
            offer: Offer {
                display_name: self.display_name,
                quantity: self.quantity,
                unit_code: self.unit_code,
                unit_price: self.unit_price,
                vat_rate: VatRate::from_text(&self.vat_rate).ok_or_else(|| undecodable(UnknownRate))?,
                vat_included: self.vat_included,
            },
            sums: sums(self.net, self.vat, self.gross, currency),
        })
    }
}

/// The most lines that one answer shows: the largest that they can be is half of what an answer may have.
const MOST: i64 = 2_000;

/// The lines of some documents.
#[derive(Debug)]
pub(crate) struct Batch {
    rows: HashMap<Uuid, Vec<Row>>,
    /// How many of the documents, from the first on, have all of their lines here. At least one, since a document has far
    /// fewer lines than an answer may show.
    pub(crate) whole: i64,
}

impl Batch {
    fn of(documents: &[Uuid], found: Vec<Row>) -> Self {
        let full = i64::try_from(found.len()).unwrap_or(i64::MAX) > MOST;
        let cut =
            found.last().filter(|_| full).and_then(|last| documents.iter().position(|id| *id == last.document_id));
        let whole = i64::try_from(cut.unwrap_or(documents.len())).unwrap_or(i64::MAX);
        let mut rows: HashMap<Uuid, Vec<Row>> = HashMap::new();
        for row in found {
            rows.entry(row.document_id).or_default().push(row);
        }
        Self { rows, whole }
    }

    pub(super) fn take(&mut self, document: Uuid) -> Vec<Row> {
        self.rows.remove(&document).unwrap_or_default()
    }
}

/// Reads the lines of contracts, those of the first one first, as many as one answer shows.
pub(crate) async fn of_contracts(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Batch> {
    let rows = sqlx::query_as!(
        Row,
        "select l.contract_id as document_id, l.id, l.display_name, l.quantity, l.unit_code, l.unit_price, l.vat_rate,
                l.vat_included, l.net, l.vat, l.gross
         from unnest($1::uuid[]) with ordinality as asked (id, nth)
         join contracts.contract_line l on l.contract_id = asked.id
         order by asked.nth, l.place
         limit $2",
        ids,
        MOST + 1,
    )
    .fetch_all(db)
    .await?;
    Ok(Batch::of(ids, rows))
}

/// Reads the lines of orders, those of the first one first, as many as one answer shows.
pub(crate) async fn of_orders(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Batch> {
    let rows = sqlx::query_as!(
        Row,
        "select l.order_id as document_id, l.id, l.display_name, l.quantity, l.unit_code, l.unit_price, l.vat_rate,
                l.vat_included, l.net, l.vat, l.gross
         from unnest($1::uuid[]) with ordinality as asked (id, nth)
         join contracts.order_line l on l.order_id = asked.id
         order by asked.nth, l.place
         limit $2",
        ids,
        MOST + 1,
    )
    .fetch_all(db)
    .await?;
    Ok(Batch::of(ids, rows))
}

/// Writes the lines of a contract.
pub(crate) async fn add_to_contract(db: &mut PgConnection, contract: ContractId, lines: &Lines) -> sqlx::Result<()> {
    let columns = Columns::of(lines);
    sqlx::query!(
        "insert into contracts.contract_line (contract_id, place, id, display_name, quantity, unit_code, unit_price,
             vat_rate, vat_included, net, vat, gross)
         select $1, place, id, display_name, quantity, unit_code, unit_price, vat_rate, vat_included, net, vat, gross
         from unnest($2::uuid[], $3::text[], $4::numeric[], $5::text[], $6::numeric[], $7::text[], $8::boolean[],
                     $9::bigint[], $10::bigint[], $11::bigint[]) with ordinality
              as line (id, display_name, quantity, unit_code, unit_price, vat_rate, vat_included, net, vat, gross, place)",
        contract.0,
        &columns.id,
        &columns.display_name,
        &columns.quantity,
        &columns.unit_code,
        &columns.unit_price,
        &columns.vat_rate,
        &columns.vat_included,
        &columns.net,
        &columns.vat,
        &columns.gross,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Removes the lines of a contract that is a draft again.
pub(crate) async fn remove_from_contract(db: &mut PgConnection, contract: ContractId) -> sqlx::Result<()> {
    sqlx::query!("delete from contracts.contract_line where contract_id = $1", contract.0).execute(db).await?;
    Ok(())
}

/// Writes the lines of an order.
pub(crate) async fn add_to_order(db: &mut PgConnection, order: OrderId, lines: &Lines) -> sqlx::Result<()> {
    let columns = Columns::of(lines);
    sqlx::query!(
        "insert into contracts.order_line (order_id, place, id, display_name, quantity, unit_code, unit_price,
             vat_rate, vat_included, net, vat, gross)
         select $1, place, id, display_name, quantity, unit_code, unit_price, vat_rate, vat_included, net, vat, gross
         from unnest($2::uuid[], $3::text[], $4::numeric[], $5::text[], $6::numeric[], $7::text[], $8::boolean[],
                     $9::bigint[], $10::bigint[], $11::bigint[]) with ordinality
              as line (id, display_name, quantity, unit_code, unit_price, vat_rate, vat_included, net, vat, gross, place)",
        order.0,
        &columns.id,
        &columns.display_name,
        &columns.quantity,
        &columns.unit_code,
        &columns.unit_price,
        &columns.vat_rate,
        &columns.vat_included,
        &columns.net,
        &columns.vat,
        &columns.gross,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lines by column: up to 200 of them are one statement.
#[derive(Default)]
struct Columns {
    id: Vec<Uuid>,
    display_name: Vec<String>,
    quantity: Vec<Decimal>,
    unit_code: Vec<String>,
    unit_price: Vec<Decimal>,
    vat_rate: Vec<String>,
    vat_included: Vec<bool>,
    net: Vec<i64>,
    vat: Vec<i64>,
    gross: Vec<i64>,
}

impl Columns {
    fn of(lines: &Lines) -> Self {
        let mut columns = Self::default();
        for Line { id, offer, sums } in &lines.all {
            columns.id.push(*id);
            columns.display_name.push(offer.display_name.clone());
            columns.quantity.push(offer.quantity);
            columns.unit_code.push(offer.unit_code.clone());
            columns.unit_price.push(offer.unit_price);
            columns.vat_rate.push(offer.vat_rate.text().to_owned());
            columns.vat_included.push(offer.vat_included);
            columns.net.push(sums.net.minor);
            columns.vat.push(sums.vat.minor);
            columns.gross.push(sums.gross.minor);
        }
        columns
    }
}
