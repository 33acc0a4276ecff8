use anyhow::{Result, bail};
use otdel_api::google::api::{HttpRule, http_rule::Pattern};
use otdel_runtime::auth::DESCRIPTORS;
use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, MessageDescriptor, MethodDescriptor, Value};

use crate::cli::ReportArgs;

/// The service whose RPCs are the reports.
const SERVICE: &str = "otdel.reporting.v1.ReportService";

/// A report that can be asked for.
pub(super) struct Report {
    /// Its name, the last part of its path in JSON, such as `leads`.
    pub(super) name: String,
    /// Its RPC's path.
    pub(super) rpc: String,
    /// What it answers with.
    pub(super) response: MessageDescriptor,
    request: MessageDescriptor,
}

/// Every report, in the order of the proto.
pub(super) fn all() -> Vec<Report> {
    let service = DESCRIPTORS.get_service_by_name(SERVICE);
    service
        .into_iter()
        .flat_map(|service| service.methods().filter_map(|method| Report::of(&method)).collect::<Vec<_>>())
        .collect()
}

/// The fields of a request that no flag is for: pages are followed to the last.
const OURS: [&str; 2] = ["page_size", "page_token"];

/// The largest page.
const PAGE: i32 = 200;

impl Report {
    fn of(method: &MethodDescriptor) -> Option<Self> {
        let annotation = DESCRIPTORS.get_extension_by_name("google.api.http")?;
        let options = method.options();
        let rule = options.get_extension(&annotation).as_message()?.transcode_to::<HttpRule>().ok()?;
        let Some(Pattern::Get(path)) = rule.pattern else { return None };
        Some(Self {
            name: path.rsplit('/').next()?.to_owned(),
            rpc: format!("/{SERVICE}/{}", method.name()),
            response: method.output(),
            request: method.input(),
        })
    }

    /// The flags that the report takes, by the paths of their fields.
    pub(super) fn fields(&self) -> Vec<String> {
        let mut fields = Vec::new();
        for field in self.request.fields().filter(|field| !OURS.contains(&field.name())) {
            match field.kind() {
                Kind::Message(filter) => {
                    fields.extend(filter.fields().map(|inner| format!("{}.{}", field.name(), inner.name())));
                }
                _ => fields.push(field.name().to_owned()),
            }
        }
        fields
    }

    /// The report's name and flags, on one line.
    pub(super) fn usage(&self) -> String {
        let flags: Vec<String> = self.fields().iter().map(|field| format!("[{}]", flag(field))).collect();
        format!("{} {}", self.name, flags.join(" "))
    }

    /// The request that the flags make. Every flag that the report does not take is named.
    pub(super) fn request(&self, args: &ReportArgs) -> Result<DynamicMessage> {
        let mut request = DynamicMessage::new(self.request.clone());
        let (fields, given) = (self.fields(), given(args));
        let foreign: Vec<String> = given
            .iter()
            .filter(|(field, _)| !fields.iter().any(|one| one == field))
            .map(|(field, _)| flag(field))
            .collect();
        if !foreign.is_empty() {
            bail!("the report {} takes no {}; it takes {}", self.name, foreign.join(", "), self.usage());
        }
        for (field, value) in given {
            match field.split_once('.') {
                Some((filter, field)) => {
                    if let Some(Value::Message(filter)) = request.get_field_by_name_mut(filter) {
                        filter.set_field_by_name(field, value?);
                    }
                }
                None => request.set_field_by_name(field, value?),
            }
        }
        if self.request.get_field_by_name("page_size").is_some() {
            request.set_field_by_name("page_size", Value::I32(PAGE));
        }
        Ok(request)
    }
}

/// The flag that fills a field.
fn flag(field: &str) -> String {
    match field {
        "dimensions" => "--by".to_owned(),
        _ => format!("--{}", field.rsplit('.').next().unwrap_or(field).replace('_', "-")),
    }
}

/// The fields that the command line fills, with their values.
fn given(args: &ReportArgs) -> Vec<(&'static str, Result<Value>)> {
    let text = |value: &Option<String>| value.clone().map(|text| Ok(Value::String(text)));
    let fields = [
        ("filter.from_month", text(&args.from_month)),
        ("filter.to_month", text(&args.to_month)),
        ("filter.owner", text(&args.owner)),
        ("filter.team", text(&args.team)),
        ("pipeline", text(&args.pipeline)),
        ("client", text(&args.client)),
        ("dimensions", (!args.dimensions.is_empty()).then(|| dimensions(&args.dimensions))),
        ("at_least", (!args.at_least.is_empty()).then(|| Ok(texts(&args.at_least)))),
    ];
    fields.into_iter().filter_map(|(field, value)| Some((field, value?))).collect()
}

fn texts(of: &[String]) -> Value {
    Value::List(of.iter().cloned().map(Value::String).collect())
}

fn dimensions(named: &[String]) -> Result<Value> {
    let known = DESCRIPTORS.get_enum_by_name("otdel.reporting.v1.Dimension");
    let known: Vec<_> = known.iter().flat_map(EnumDescriptor::values).filter(|value| value.number() != 0).collect();
    let name = |text: &str| format!("DIMENSION_{}", text.to_uppercase());
    let mut numbers = Vec::new();
    for text in named {
        let Some(value) = known.iter().find(|value| value.name() == name(text)) else {
            let names: Vec<String> = known.iter().map(|value| short(value.name())).collect();
            bail!("nothing is counted by {text}: --by takes {}", names.join(", "));
        };
        numbers.push(Value::EnumNumber(value.number()));
    }
    Ok(Value::List(numbers))
}

fn short(name: &str) -> String {
    name.trim_start_matches("DIMENSION_").to_lowercase()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn args(line: &str) -> ReportArgs {
        match Cli::parse_from(line.split_whitespace()).command {
            Some(Command::Report(args)) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_field_of_every_report_has_a_flag() {
        let full = args(
            "otdel report leads --from-month 2026-01 --to-month 2026-02 --owner people/1 --team teams/1 --pipeline p \
             --client c --by month,origin,channel --at-least leads/1",
        );
        let flags = given(&full);
        assert!(all().len() >= 6);
        for report in all() {
            for field in report.fields() {
                assert!(flags.iter().any(|(one, _)| *one == field), "{} of {} has no flag", field, report.name);
            }
        }
    }

    #[test]
    fn what_a_report_does_not_take_is_named_with_what_it_takes() {
        let revenue = all().into_iter().find(|report| report.name == "revenue").unwrap();
        let refused = revenue.request(&args("otdel report revenue --by month --client c --team t")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the report revenue takes no --client, --by; it takes revenue [--from-month] [--to-month] [--owner] [--team] \
             [--at-least]"
        );
        assert!(revenue.request(&args("otdel report revenue --team t")).is_ok());
        let leads = all().into_iter().find(|report| report.name == "leads").unwrap();
        let refused = leads.request(&args("otdel report leads --by month,year")).unwrap_err();
        assert_eq!(refused.to_string(), "nothing is counted by year: --by takes month, origin, channel");
    }
}
