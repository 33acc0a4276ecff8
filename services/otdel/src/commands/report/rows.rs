use std::borrow::Cow;

use anyhow::{Context as _, Result};
use otdel_api::common;
use otdel_runtime::convert::money_of;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};

/// The rows of a report as texts, under columns that are named as in the proto.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// In the order of the proto. A field of a message inside the row is `cycle_days.mean`.
    pub(super) columns: Vec<Column>,
    /// Each with a cell for every column.
    pub(super) rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: What,
}

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Text,
    Number,
    Money,
}

/// A cell: its text, and for money the currency beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) currency: String,
}

impl Cell {
    /// The cell in one piece.
    pub(super) fn whole(&self) -> String {
        if self.currency.is_empty() { self.text.clone() } else { format!("{} {}", self.text, self.currency) }
    }
}

/// What may be counted by: a column of each row that is empty unless it is asked for.
const DIMENSIONS: [&str; 3] = ["month", "origin", "channel"];

impl Columns {
    /// Reads the rows of an answer.
    pub(super) fn of(answer: &DynamicMessage) -> Result<Self> {
        let field = answer.descriptor().get_field_by_name("rows").context("the report has no rows")?;
        let Kind::Message(row) = field.kind() else { anyhow::bail!("the report's rows are no messages") };
        let leaves = leaves(&row, &[]);
        let columns = leaves.iter().map(|leaf| Column { name: name(leaf), kind: kind(leaf) }).collect();
        let mut rows = Vec::new();
        if let Value::List(found) = answer.get_field(&field).as_ref() {
            for row in found {
                let row = row.as_message().context("a row is no message")?;
                rows.push(leaves.iter().map(|leaf| cell(row, leaf)).collect::<Result<_>>()?);
            }
        }
        Ok(Self { columns, rows })
    }

    /// Without the dimensions that were not asked for, which are empty in every row.
    pub(super) fn shown(&self, asked: &[String]) -> Self {
        let counted = self.columns.iter().any(|column| column.name == "origin");
        let is_shown =
            |column: &Column| !counted || !DIMENSIONS.contains(&column.name.as_str()) || asked.contains(&column.name);
        let kept: Vec<usize> = (0..self.columns.len()).filter(|at| is_shown(&self.columns[*at])).collect();
        Self {
            columns: kept.iter().map(|at| self.columns[*at].clone()).collect(),
            rows: self.rows.iter().map(|row| kept.iter().map(|at| row[*at].clone()).collect()).collect(),
        }
    }

    /// The rows as comma-separated values. An amount of money and its currency are two columns, `net` and
    /// `net.currency_code`. No text is a formula, whoever has submitted it.
    pub(super) fn csv(&self) -> Result<String> {
        let mut to = csv::Writer::from_writer(Vec::new());
        let mut names = Vec::new();
        for column in &self.columns {
            names.push(column.name.clone());
            if column.kind == What::Money {
                names.push(format!("{}.currency_code", column.name));
            }
        }
        to.write_record(&names)?;
        for row in &self.rows {
            let mut cells = Vec::with_capacity(names.len());
            for (column, cell) in self.columns.iter().zip(row) {
                let is_text = column.kind == What::Text;
                cells.push(if is_text { inert(&cell.text) } else { Cow::Borrowed(cell.text.as_str()) });
                if column.kind == What::Money {
                    cells.push(Cow::Borrowed(cell.currency.as_str()));
                }
            }
            to.write_record(cells.iter().map(|cell| cell.as_bytes()))?;
        }
        Ok(String::from_utf8(to.into_inner()?)?)
    }
}

/// A text as a spreadsheet shows it: one that begins so is a formula there, which may call out (ASVS 1.2.10).
fn inert(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// The way from a row to a value: through messages to a single value, or to a list.
type Leaf = Vec<FieldDescriptor>;

fn leaves(message: &MessageDescriptor, before: &[FieldDescriptor]) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for field in message.fields() {
        let way: Leaf = before.iter().cloned().chain([field.clone()]).collect();
        match field.kind() {
            Kind::Message(inner) if !field.is_list() && !is_value(&inner) => leaves.extend(self::leaves(&inner, &way)),
            _ => leaves.push(way),
        }
    }
    leaves
}

/// Messages that stand for one value.
fn is_value(message: &MessageDescriptor) -> bool {
    matches!(message.full_name(), MONEY | DECIMAL)
}

const MONEY: &str = "google.type.Money";
const DECIMAL: &str = "google.type.Decimal";

fn name(leaf: &Leaf) -> String {
    leaf.iter().map(FieldDescriptor::name).collect::<Vec<_>>().join(".")
}

fn kind(leaf: &Leaf) -> What {
    let Some(last) = leaf.last() else { return What::Text };
    match last.kind() {
        Kind::Message(message) if message.full_name() == MONEY && !last.is_list() => What::Money,
        Kind::Message(message) if message.full_name() == DECIMAL => What::Number,
        Kind::String | Kind::Bool | Kind::Enum(_) | Kind::Message(_) => What::Text,
        _ => What::Number,
    }
}

fn cell(row: &DynamicMessage, leaf: &Leaf) -> Result<Cell> {
    let mut at = row.clone();
    let (last, before) = leaf.split_last().context("a column leads nowhere")?;
    for field in before {
        if !at.has_field(field) {
            return Ok(Cell::default());
        }
        at = at.get_field(field).as_message().context("a column leads nowhere")?.clone();
    }
    if last.supports_presence() && !at.has_field(last) {
        return Ok(Cell::default());
    }
    value(last, at.get_field(last).as_ref())
}

fn value(field: &FieldDescriptor, value: &Value) -> Result<Cell> {
    let text = match value {
        Value::List(all) => {
            let all = all.iter().map(|one| self::value(field, one).map(|cell| cell.whole()));
            all.collect::<Result<Vec<_>>>()?.join("; ")
        }
        Value::Message(message) if message.descriptor().full_name() == MONEY => {
            let money = money_of(&message.transcode_to::<common::Money>()?)?.to_string();
            let (text, currency) = money.split_once(' ').context("an amount without a currency")?;
            return Ok(Cell { text: text.to_owned(), currency: currency.to_owned() });
        }
        Value::Message(message) => {
            message.get_field_by_name("value").and_then(|text| text.as_str().map(ToOwned::to_owned)).unwrap_or_default()
        }
        Value::EnumNumber(number) => match field.kind() {
            Kind::Enum(known) => {
                known.get_value(*number).map_or_else(|| number.to_string(), |known| known.name().to_owned())
            }
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Bool(yes) => yes.to_string(),
        Value::I32(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        other => anyhow::bail!("a report has a value of a kind that is not written: {other:?}"),
    };
    Ok(Cell { text, currency: String::new() })
}

#[cfg(test)]
mod tests {
    use otdel_api::reporting as rp;
    use otdel_runtime::auth::DESCRIPTORS;
    use prost::Message as _;

    use super::*;

    fn columns(message: &str, answer: Vec<u8>) -> Columns {
        let descriptor = DESCRIPTORS.get_message_by_name(message).unwrap();
        Columns::of(&DynamicMessage::decode(descriptor, answer.as_slice()).unwrap()).unwrap()
    }

    fn money(units: i64, nanos: i32, code: &str) -> common::Money {
        common::Money { currency_code: code.into(), units, nanos }
    }

    #[test]
    fn money_is_exact_and_its_currency_has_a_column_of_its_own() {
        let row = rp::RevenueRow {
            month: "2026-01".into(),
            invoices: 2,
            net: Some(money(9_007_199_254_740_993, 10_000_000, "RUB")),
            vat: Some(money(0, -500_000_000, "RUB")),
            gross: Some(money(5, 0, "JPY")),
            paid: None,
        };
        let answer = rp::GetRevenueReportResponse { rows: vec![row], freshness: vec![] };
        let csv = columns("otdel.reporting.v1.GetRevenueReportResponse", answer.encode_to_vec()).csv().unwrap();
        assert_eq!(
            csv,
            "month,invoices,net,net.currency_code,vat,vat.currency_code,gross,gross.currency_code,paid,\
             paid.currency_code\n2026-01,2,9007199254740993.01,RUB,-0.50,RUB,5,JPY,,\n"
        );
    }

    #[test]
    fn what_is_inside_a_row_is_a_column_too_and_what_was_not_asked_for_is_not_shown() {
        let row = rp::WonRow {
            origin: "весна, «лето»".into(),
            won: 3,
            cycle_days: Some(rp::CycleDays {
                mean: Some(common::Decimal { value: "1.5000".into() }),
                min: -2,
                ..Default::default()
            }),
            amounts: vec![money(1, 0, "RUB"), money(2, 0, "EUR")],
            ..Default::default()
        };
        let answer = rp::GetWonReportResponse { rows: vec![row, rp::WonRow::default()], freshness: vec![] };
        let all = columns("otdel.reporting.v1.GetWonReportResponse", answer.encode_to_vec());
        let shown = all.shown(&["origin".to_owned()]);
        let names: Vec<&str> = shown.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "origin",
                "won",
                "cycle_days.mean",
                "cycle_days.median",
                "cycle_days.min",
                "cycle_days.max",
                "cycle_days.negative",
                "amounts"
            ]
        );
        let texts = |row: usize| shown.rows[row].iter().map(Cell::whole).collect::<Vec<_>>();
        assert_eq!(texts(0), ["весна, «лето»", "3", "1.5000", "", "-2", "0", "0", "1.00 RUB; 2.00 EUR"]);
        assert_eq!(texts(1), ["", "0", "", "", "", "", "", ""]);
    }

    #[test]
    fn what_somebody_submitted_is_no_formula_in_a_spreadsheet() {
        let row = |origin: &str| rp::WonRow {
            origin: origin.into(),
            cycle_days: Some(rp::CycleDays { min: -2, ..Default::default() }),
            ..Default::default()
        };
        let rows = vec![row("=HYPERLINK(1)"), row("@x"), row("a=b")];
        let answer = rp::GetWonReportResponse { rows, freshness: vec![] };
        let columns = columns("otdel.reporting.v1.GetWonReportResponse", answer.encode_to_vec());
        let csv = columns.shown(&["origin".to_owned()]).csv().unwrap();
        let starts: Vec<&str> = csv.lines().map(|line| line.split(',').next().unwrap()).collect();
        assert_eq!(starts, ["origin", "'=HYPERLINK(1)", "'@x", "a=b"]);
        assert!(csv.contains(",-2,"), "a number stays one: {csv}");
    }

    #[test]
    fn a_report_without_rows_has_its_columns() {
        let csv = columns("otdel.reporting.v1.GetFunnelReportResponse", Vec::new()).csv().unwrap();
        assert_eq!(csv, "pipeline,stage,entered,standing\n");
    }
}
