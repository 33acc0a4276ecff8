//! One timeline out of several feeds.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, Utc};

/// Something that happened to a deal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The service whose feed it stands in.
    pub(crate) service: &'static str,
    /// Where in the feed.
    pub(crate) position: i64,
    /// The fact's name, such as `LeadSubmitted`.
    pub(crate) fact: String,
    /// The resource that it is about.
    pub(crate) subject: String,
    /// When it happened.
    pub(crate) occurred: DateTime<Utc>,
    /// Who did it.
    pub(crate) actor: String,
    /// Its id, as `{service}/{event id}`.
    pub(crate) event: String,
    /// The event that it answers. Empty where a caller began it.
    pub(crate) cause: String,
}

/// Merges feeds, each in the order of its positions, by time; among equals the earlier feed goes first.
///
/// Two orders hold whatever the clocks say: that of the positions within a feed, and that an event comes after the one
/// it answers. Clocks of two machines differ by more than a service needs to answer, and on a test clock all of it
/// happens at one instant.
pub(crate) fn merge(feeds: Vec<Vec<Entry>>) -> Vec<Entry> {
    let mut waiting: HashSet<String> = feeds.iter().flatten().map(|entry| entry.event.clone()).collect();
    let mut feeds: Vec<VecDeque<Entry>> = feeds.into_iter().map(VecDeque::from).collect();
    let mut merged = Vec::with_capacity(waiting.len());
    loop {
        let heads = || feeds.iter().enumerate().filter_map(|(at, feed)| Some((at, feed.front()?)));
        let earliest = |(at, entry): &(usize, &Entry)| (entry.occurred, *at);
        // Causes cannot go in circles; if data says so all the same, time alone decides.
        let next = heads().filter(|(_, entry)| !waiting.contains(&entry.cause)).min_by_key(earliest);
        let Some((at, _)) = next.or_else(|| heads().min_by_key(earliest)) else { return merged };
        if let Some(entry) = feeds.get_mut(at).and_then(VecDeque::pop_front) {
            waiting.remove(&entry.event);
            merged.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(service: &'static str, position: i64, second: i64, cause: &str) -> Entry {
        Entry {
            service,
            position,
            fact: "LeadSubmitted".into(),
            subject: String::new(),
            occurred: DateTime::from_timestamp(second, 0).unwrap(),
            actor: String::new(),
            event: format!("{service}/{position}"),
            cause: cause.into(),
        }
    }

    fn order(merged: &[Entry]) -> Vec<&str> {
        merged.iter().map(|entry| entry.event.as_str()).collect()
    }

    #[test]
    fn time_decides_and_then_the_feed() {
        let leads = vec![entry("leads", 1, 1, ""), entry("leads", 2, 5, "")];
        let billing = vec![entry("billing", 1, 1, ""), entry("billing", 2, 3, "")];
        assert_eq!(order(&merge(vec![leads, billing])), ["leads/1", "billing/1", "billing/2", "leads/2"]);
    }

    #[test]
    fn an_answer_never_comes_before_what_it_answers() {
        // On a test clock a payment and the gate that it opens happen at the same instant.
        let leads = vec![entry("leads", 1, 1, ""), entry("leads", 2, 5, "billing/1"), entry("leads", 3, 5, "")];
        let billing = vec![entry("billing", 1, 5, "")];
        assert_eq!(order(&merge(vec![leads, billing])), ["leads/1", "billing/1", "leads/2", "leads/3"]);
    }

    #[test]
    fn a_cause_that_is_not_told_holds_nothing_up() {
        assert_eq!(order(&merge(vec![vec![entry("leads", 1, 1, "contracts/9")]])), ["leads/1"]);
        let circle = vec![vec![entry("a", 1, 1, "b/1")], vec![entry("b", 1, 1, "a/1")]];
        assert_eq!(order(&merge(circle)), ["a/1", "b/1"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_every_feed_keeps_its_order(
            seconds in prop::collection::vec((0_usize..3, 0_i64..5, 0_usize..12), 0..40),
        ) {
            let services = ["leads", "contracts", "billing"];
            let mut feeds = vec![Vec::new(), Vec::new(), Vec::new()];
            for (at, second, cause) in seconds {
                let cause = format!("{}/{}", services[cause % 3], cause / 3);
                let position = i64::try_from(feeds[at].len()).unwrap();
                feeds[at].push(entry(services[at], position, second, &cause));
            }
            let merged = merge(feeds.clone());
            prop_assert_eq!(merged.len(), feeds.iter().map(Vec::len).sum::<usize>());
            for (service, feed) in services.iter().zip(feeds) {
                let kept: Vec<_> = merged.iter().filter(|entry| entry.service == *service).cloned().collect();
                prop_assert_eq!(kept, feed);
            }
        }
    }
}
