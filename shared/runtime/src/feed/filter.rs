use prost_reflect::Kind;

use super::{Cursor, FeedEvent, item::Asked};
use crate::{auth::DESCRIPTORS, violations::Violations};

/// The most entries of one filter.
const MOST: usize = 100;

/// Longer than any resource name.
const LONGEST_NAME: usize = 200;

/// Which events a subscriber wants. Empty lists: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) types: Vec<String>,
    pub(super) subjects: Vec<String>,
}

/// Where a subscriber wants to continue, and what it wants.
pub(super) fn parse<E: FeedEvent>(asked: Asked<'_>) -> Result<(Option<Cursor>, Filter), Violations> {
    let mut wrong = Violations::default();
    let after = match asked.start_after {
        "" => None,
        text => wrong.take("start_after", text.parse()),
    };
    bounded(&mut wrong, "event_types", asked.event_types, |name| {
        if fact_types::<E>().any(|known| known == name) { Ok(()) } else { Err("is not a fact of this service") }
    });
    bounded(&mut wrong, "subjects", asked.subjects, |name| {
        if name.contains('/') && name.len() <= LONGEST_NAME { Ok(()) } else { Err("is not a resource name") }
    });
    wrong.into_result()?;
    Ok((after, Filter { types: asked.event_types.to_vec(), subjects: asked.subjects.to_vec() }))
}

fn bounded(wrong: &mut Violations, field: &str, entries: &[String], check: impl Fn(&str) -> Result<(), &'static str>) {
    if entries.len() > MOST {
        wrong.add(field, format_args!("must not have more than {MOST} entries"));
        return;
    }
    for (at, entry) in entries.iter().enumerate() {
        wrong.take(&format!("{field}[{at}]"), check(entry));
    }
}

/// The full message names of the facts of an event.
fn fact_types<E: FeedEvent>() -> impl Iterator<Item = String> {
    let event = DESCRIPTORS.get_message_by_name(&E::full_name());
    let fields = event.into_iter().flat_map(|event| event.fields().collect::<Vec<_>>());
    fields.filter(|field| field.containing_oneof().is_some()).filter_map(|field| match field.kind() {
        Kind::Message(fact) => Some(fact.full_name().to_owned()),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use otdel_api::{billing::BillingEvent, contracts::ContractEvent, leads::LeadEvent};

    use super::*;

    fn texts(of: &[&str]) -> Vec<String> {
        of.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn every_fact_of_a_service_can_be_asked_for() {
        for (facts, known) in [
            (fact_types::<LeadEvent>().collect::<Vec<_>>(), "otdel.leads.v1.LeadSubmitted"),
            (fact_types::<ContractEvent>().collect(), "otdel.contracts.v1.OrderConfirmed"),
            (fact_types::<BillingEvent>().collect(), "otdel.billing.v1.InvoiceIssued"),
        ] {
            assert!(facts.iter().any(|fact| fact == known), "{facts:?}");
            assert!(!facts.iter().any(|fact| fact.ends_with("Envelope")), "{facts:?}");
        }
    }

    #[test]
    fn nothing_asked_for_is_everything() {
        let asked = Asked { start_after: "", event_types: &[], subjects: &[] };
        assert_eq!(parse::<LeadEvent>(asked).unwrap(), (None, Filter::default()));
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let types = texts(&["otdel.leads.v1.LeadSubmitted", "otdel.billing.v1.InvoiceIssued"]);
        let subjects = texts(&["leads/1", "nonsense", ""]);
        let asked = Asked { start_after: "nonsense", event_types: &types, subjects: &subjects };
        let wrong = parse::<LeadEvent>(asked).unwrap_err();
        let fields: Vec<_> = wrong.0.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["start_after", "event_types[1]", "subjects[1]", "subjects[2]"]);
    }

    #[test]
    fn a_filter_has_so_many_entries_and_no_more() {
        let subjects = vec!["leads/1".to_owned(); MOST + 1];
        let ask = |subjects| parse::<LeadEvent>(Asked { start_after: "", event_types: &[], subjects });
        assert!(ask(&subjects[..MOST]).is_ok());
        assert_eq!(ask(&subjects).unwrap_err().0.len(), 1);
    }
}
