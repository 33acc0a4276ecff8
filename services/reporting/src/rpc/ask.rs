//! Reading what reports are asked for. Every violation is noted.

use otdel_api::reporting as pb;
use otdel_runtime::{outbox::Change, violations::Violations};
use otdel_types::Month;

use crate::{
    domain::ask::{Dimension, Dimensions, Filter},
    workers::SOURCES,
};

/// The most entries of a repeated field that are looked at.
const MOST: usize = 100;

/// Notes a field that has more entries than are looked at.
fn bounded<'a, T>(wrong: &mut Violations, field: &str, entries: &'a [T]) -> Option<&'a [T]> {
    if entries.len() > MOST {
        wrong.add(field, format_args!("must not have more than {MOST} entries"));
        return None;
    }
    Some(entries)
}

/// The filter of a report; absent: everything.
pub(super) fn filter(wrong: &mut Violations, filter: Option<&pb::Filter>) -> Option<Filter> {
    let Some(filter) = filter else { return Some(Filter::default()) };
    let before = wrong.0.len();
    let from = month(wrong, "filter.from_month", &filter.from_month);
    let to = month(wrong, "filter.to_month", &filter.to_month);
    let owner = wrong.optional_name("filter.owner", &filter.owner);
    let team = wrong.optional_name("filter.team", &filter.team);
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        wrong.add("filter.to_month", "must not be before from_month");
    }
    let filter = Filter { from, to, owner: owner?, team: team? };
    (wrong.0.len() == before).then_some(filter)
}

/// A month; none where the text is empty, and where it is wrong, which is noted.
fn month(wrong: &mut Violations, field: &str, text: &str) -> Option<Month> {
    if text.is_empty() { None } else { wrong.take(field, text.parse()) }
}

/// What a report is to count by, each at most once.
pub(super) fn dimensions(wrong: &mut Violations, asked: &[i32]) -> Option<Dimensions> {
    let (mut dimensions, before) = (Dimensions::default(), wrong.0.len());
    for (index, value) in bounded(wrong, "dimensions", asked)?.iter().enumerate() {
        let field = format!("dimensions[{index}]");
        let Some(dimension) = wrong.choice(&field, *value).and_then(dimension) else { continue };
        if !dimensions.add(dimension) {
            wrong.add(field, "must not be given twice");
        }
    }
    (wrong.0.len() == before).then_some(dimensions)
}

fn dimension(dimension: pb::Dimension) -> Option<Dimension> {
    match dimension {
        pb::Dimension::Unspecified => None,
        pb::Dimension::Month => Some(Dimension::Month),
        pb::Dimension::Origin => Some(Dimension::Origin),
        pb::Dimension::Channel => Some(Dimension::Channel),
    }
}

/// The changes that an answer must include. Looked at here so that wrong ones are told together with other wrong fields.
pub(super) fn at_least(wrong: &mut Violations, changes: &[String]) -> Option<()> {
    let before = wrong.0.len();
    for (index, text) in bounded(wrong, "at_least", changes)?.iter().enumerate() {
        let field = format!("at_least[{index}]");
        let Some(change) = wrong.take(&field, text.parse::<Change>()) else { continue };
        if !SOURCES.iter().any(|source| source.name() == change.service) {
            wrong.add(field, "is of a service that reports are not made from");
        }
    }
    (wrong.0.len() == before).then_some(())
}
