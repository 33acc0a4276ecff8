//! `otdel report`: a client of the gateway that asks for a report by name.
//!
//! Reports, what they take and their columns are read from the descriptors of `ReportService`, so that a new report or a new
//! column needs nothing here; only a new kind of filter needs a flag, which a test finds missing.

mod asked;
mod rows;
mod table;

use std::borrow::Cow;

use anyhow::{Context as _, Result, anyhow};
use prost::Message as _;
use prost_reflect::{DynamicMessage, SerializeOptions, Value};

use crate::{
    cli::{ReportArgs, ReportFormat},
    client::{Client, explain},
    say, say_exactly,
};
use asked::Report;
use rows::Columns;

/// Asks for a report, all pages of it, and writes it.
pub async fn report(args: &ReportArgs) -> Result<()> {
    let reports = asked::all();
    if args.list {
        return reports.iter().try_for_each(|report| say(&report.usage()));
    }
    let name = args.name.as_deref().unwrap_or_default();
    let report = reports.iter().find(|report| report.name == name).with_context(|| {
        let names: Vec<&str> = reports.iter().map(|report| report.name.as_str()).collect();
        format!("there is no report {name}: there are {}", names.join(", "))
    })?;
    let answer = ask(&Client::new(&args.gateway)?, report, report.request(args)?).await?;
    let columns = Columns::of(&answer)?;
    match args.format {
        ReportFormat::Json => say(&json(&answer)?),
        ReportFormat::Csv => say_exactly(&columns.csv()?),
        ReportFormat::Table => say(&table::text(&columns.shown(&args.dimensions))),
    }
}

/// Calls as often as there are pages, and returns one answer with the rows of all of them.
async fn ask(client: &Client, report: &Report, mut request: DynamicMessage) -> Result<DynamicMessage> {
    let mut all: Option<DynamicMessage> = None;
    loop {
        let answer = client.call(&report.rpc, request.encode_to_vec()).await;
        let answer = answer.map_err(|status| anyhow!("{}", explain(&status)))?;
        let answer = DynamicMessage::decode(report.response.clone(), answer.as_slice())?;
        let next = answer.get_field_by_name("next_page_token").and_then(|token| token.as_str().map(ToOwned::to_owned));
        match &mut all {
            None => all = Some(answer),
            Some(all) => append_rows(all, &answer),
        }
        match next.filter(|token| !token.is_empty()) {
            Some(token) => request.set_field_by_name("page_token", Value::String(token)),
            None => break,
        }
    }
    let mut all = all.context("nothing was answered")?;
    all.clear_field_by_name("next_page_token");
    Ok(all)
}

fn append_rows(all: &mut DynamicMessage, page: &DynamicMessage) {
    let more = page.get_field_by_name("rows").map(Cow::into_owned);
    if let (Some(Value::List(rows)), Some(Value::List(more))) = (all.get_field_by_name_mut("rows"), more) {
        rows.extend(more);
    }
}

fn json(answer: &DynamicMessage) -> Result<String> {
    let mut text = Vec::new();
    let mut to = serde_json::Serializer::pretty(&mut text);
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(false);
    answer.serialize_with_options(&mut to, &options)?;
    Ok(String::from_utf8(text)?)
}
