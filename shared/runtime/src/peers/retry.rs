use std::{fmt, time::Duration};

use http::HeaderMap;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::retry::budget::{Budget as _, TpsBudget};
use uuid::Uuid;

/// The metadata that says that somebody further out tries again, so that tries do not multiply: of two layers with
/// three tries each, a peer in trouble would see nine. The gateway sets it on what it passes on for callers outside.
pub const NO_RETRY_HEADER: &str = "otdel-no-retry";

/// How often a call is tried at most.
const MAX_TRIES: u32 = 3;

/// The pause before a second try is between the first two, before a third between the first and the last.
const PAUSES_MS: [u64; 3] = [20, 60, 200];

/// How many more tries a peer in trouble gets from this process: one for ten calls, and ten a second for those who call
/// seldom.
pub(super) struct Budget(TpsBudget);

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budget")
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self(TpsBudget::new(Duration::from_secs(10), 10, 0.1))
    }
}

impl Budget {
    /// Notes a call, which earns its tenth of a further try.
    pub(super) fn note_call(&self) {
        self.0.deposit();
    }

    /// The pause before the next try, or none where there is to be none: too many tries already, an answer that asks
    /// for more patience than the caller has, or a budget that is used up.
    pub(super) fn pause(&self, tries: u32, asked: Option<Duration>, left: Option<Duration>) -> Option<Duration> {
        if tries >= MAX_TRIES {
            return None;
        }
        let pause = jittered(tries).max(asked.unwrap_or_default());
        if left.is_some_and(|left| left <= pause) {
            return None;
        }
        self.0.withdraw().then_some(pause)
    }
}

/// A pause that differs from caller to caller: those whom one failure hits at once must not return at once.
fn jittered(tries: u32) -> Duration {
    let shortest = PAUSES_MS[0];
    let longest = PAUSES_MS[PAUSES_MS.len().min(tries as usize + 1) - 1];
    let random = Uuid::new_v4().as_u64_pair().1;
    Duration::from_millis(shortest + random % (longest - shortest + 1))
}

/// The status that headers or trailers carry.
pub(super) fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|value| Code::from_bytes(value.as_bytes()))
}

/// How long the peer asks to wait before it is asked again.
pub(super) fn asked_pause(headers: &HeaderMap) -> Option<Duration> {
    Status::from_header_map(headers)?.get_details_retry_info()?.retry_delay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_stay_within_their_bounds() {
        for _ in 0..1000 {
            assert!((20..=60).contains(&jittered(1).as_millis()));
            assert!((20..=200).contains(&jittered(2).as_millis()));
        }
    }

    #[tokio::test]
    async fn there_is_no_further_try_past_the_third_or_the_deadline_or_the_patience() {
        let budget = Budget::default();
        assert!(budget.pause(1, None, None).is_some());
        assert!(budget.pause(3, None, None).is_none());
        assert!(budget.pause(1, None, Some(Duration::from_millis(10))).is_none());
        let second = Duration::from_secs(1);
        assert!(budget.pause(1, Some(second), Some(second / 2)).is_none());
        assert_eq!(budget.pause(1, Some(second), Some(second * 2)), Some(second));
    }

    #[tokio::test]
    async fn a_peer_that_stays_away_is_tried_less_and_less() {
        let budget = Budget::default();
        let further = (0..1000).filter(|_| {
            budget.note_call();
            budget.pause(1, None, None).is_some()
        });
        let further = further.count();
        assert!((100..=250).contains(&further), "{further} further tries for 1000 calls at once");
    }
}
