//! How much is taken from one principal.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    DefaultDirectRateLimiter, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::{InMemoryState, NotKeyed},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use moka::{policy::EvictionPolicy, sync::Cache};
use otdel_runtime::fault::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Code;

/// The headers that tell callers how much more is taken from them: those of the IETF's draft on rate limit header fields
/// for HTTP as of version 8. The three `ratelimit-limit`, `-remaining` and `-reset` of its older versions and of everybody's
/// own say the same with a number in each, but nobody agrees on what `-reset` counts; these are structured and say both
/// the policy and what is left of it.
pub(crate) const QUOTA_HEADERS: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit-policy"), HeaderName::from_static("ratelimit")];

/// So many principals are counted at once, some 300 bytes each. Where more call, the one that has called least recently
/// is forgotten first, and begins anew.
const MOST_PRINCIPALS: u64 = 100_000;

/// How long who has too many calls under way is asked to wait: nobody knows when one of them will be answered.
const PAUSE: Duration = Duration::from_millis(100);

/// How many calls are taken from a principal, whatever their keys: `burst` at once, and each second `calls` more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Calls a second.
    pub calls: NonZeroU32,
    /// Calls at once.
    pub burst: NonZeroU32,
}

impl Quota {
    /// So many calls a second, and twice as many at once. None for 0: as many as come.
    pub fn of(calls: u32) -> Option<Self> {
        NonZeroU32::new(calls)
            .map(|calls| Self { calls, burst: calls.saturating_mul(NonZeroU32::MIN.saturating_add(1)) })
    }

    /// How long it takes until nothing remembers a principal that used all of it up.
    fn window(self) -> Duration {
        Duration::from_secs(u64::from(self.burst.get())).div_f64(f64::from(self.calls.get()))
    }

    fn limiter(self) -> Limiter {
        let quota = governor::Quota::per_second(self.calls).allow_burst(self.burst);
        DefaultDirectRateLimiter::direct(quota).with_middleware()
    }
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// What is taken from whom.
#[derive(Clone)]
pub(crate) struct Quotas {
    general: Option<Quota>,
    /// Calls of one principal under way at once, until their answers begin.
    at_once: usize,
    counted: Cache<String, Arc<Counted>>,
    clock: DefaultClock,
}

impl std::fmt::Debug for Quotas {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quotas").field("general", &self.general).finish_non_exhaustive()
    }
}

/// A principal's calls.
struct Counted {
    quota: Quota,
    limiter: Limiter,
    places: Arc<Semaphore>,
}

/// What a caller is told, its call's place, and why the call is not taken, if it is not.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) told: HeaderMap,
    pub(crate) excess: Option<Fault>,
    pub(crate) place: Option<OwnedSemaphorePermit>,
}

impl Quotas {
    /// `general` is taken from every principal that has no number of its own. None: as many as come. From one whose calls
    /// are counted no more are taken `at_once`.
    pub(crate) fn new(general: Option<Quota>, at_once: usize) -> Self {
        let counted = Cache::builder().max_capacity(MOST_PRINCIPALS).eviction_policy(EvictionPolicy::lru()).build();
        Self { general, at_once, counted, clock: DefaultClock::default() }
    }

    /// Takes a call from a principal with a number of calls a second of its own, or without.
    pub(crate) fn take(&self, principal: &str, own: Option<u32>) -> Taken {
        let Some(quota) = own.map_or(self.general, Quota::of) else { return Taken::default() };
        let counted = self.counted(principal, quota);
        let told = match counted.limiter.check() {
            Ok(state) => told(quota, state.remaining_burst_capacity(), None),
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                let text = format!("{} calls at once, and {} a second", quota.burst, quota.calls);
                return Taken {
                    told: told(quota, 0, Some(wait)),
                    excess: Some(excess(principal, text, wait)),
                    place: None,
                };
            }
        };
        let place = counted.places.clone().try_acquire_owned().ok();
        let full = || excess(principal, format!("{} calls under way", self.at_once), PAUSE);
        Taken { told, excess: place.is_none().then(full), place }
    }

    /// What counts a principal's calls: anew where its number has changed.
    fn counted(&self, principal: &str, quota: Quota) -> Arc<Counted> {
        let places = || Arc::new(Semaphore::new(self.at_once));
        let fresh = || Arc::new(Counted { quota, limiter: quota.limiter(), places: places() });
        let counted = self.counted.get_with_by_ref(principal, fresh);
        if counted.quota == quota {
            return counted;
        }
        let counted = fresh();
        self.counted.insert(principal.to_owned(), counted.clone());
        counted
    }
}

/// `ratelimit-policy: "principal";q=400;w=2` and `ratelimit: "principal";r=399;t=1`: of 400 calls within 2 s 399 are left,
/// and in a second all of them will be. Where none is left, `t` is when the next call will be taken.
fn told(quota: Quota, left: u32, wait: Option<Duration>) -> HeaderMap {
    let used = Quota { burst: NonZeroU32::new(quota.burst.get() - left).unwrap_or(NonZeroU32::MIN), ..quota };
    let until = whole_seconds(wait.unwrap_or_else(|| used.window()));
    let policy = format!("\"principal\";q={};w={}", quota.burst, whole_seconds(quota.window()));
    let state = format!("\"principal\";r={left};t={until}");
    let values = [policy, state].into_iter().filter_map(|value| HeaderValue::try_from(value).ok());
    QUOTA_HEADERS.into_iter().zip(values).collect()
}

/// Not a moment too early: what comes then would be refused again.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn excess(principal: &str, text: String, wait: Duration) -> Fault {
    let mut fault = Fault::new(Code::ResourceExhausted, "RATE_LIMITED", "too many calls of one principal");
    fault.retry_after = Some(wait);
    fault.exceeding(principal, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(calls: u32, burst: u32) -> Quota {
        Quota { calls: NonZeroU32::new(calls).unwrap(), burst: NonZeroU32::new(burst).unwrap() }
    }

    fn header(taken: &Taken, at: usize) -> String {
        taken.told[&QUOTA_HEADERS[at]].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_greedy_principal_is_stopped_and_told_when_to_come_again_and_others_are_not() {
        let quotas = Quotas::new(Some(quota(1, 3)), 256);
        for left in [2, 1, 0] {
            let taken = quotas.take("principals/greedy", None);
            assert!(taken.excess.is_none());
            assert_eq!(header(&taken, 0), "\"principal\";q=3;w=3");
            assert_eq!(header(&taken, 1), format!("\"principal\";r={left};t={}", 3 - left));
        }
        let taken = quotas.take("principals/greedy", None);
        assert_eq!(header(&taken, 1), "\"principal\";r=0;t=1");
        let excess = taken.excess.unwrap();
        assert_eq!((excess.code, excess.reason), (Code::ResourceExhausted, "RATE_LIMITED"));
        assert_eq!(excess.quotas[0].0, "principals/greedy");
        let wait = excess.retry_after.unwrap();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(1), "{wait:?}");
        assert!(quotas.take("principals/other", None).excess.is_none());
    }

    #[test]
    fn a_number_of_its_own_counts_before_the_general_one_and_none_is_no_limit() {
        let quotas = Quotas::new(Some(quota(1, 1)), 256);
        for _ in 0..100 {
            let taken = quotas.take("principals/import", Some(0));
            assert!(taken.excess.is_none() && taken.told.is_empty());
        }
        assert_eq!(header(&quotas.take("principals/import", Some(50)), 0), "\"principal\";q=100;w=2");
        assert!(quotas.take("principals/import", Some(2)).excess.is_none(), "a changed number counts from now on");
        assert!(Quotas::new(None, 0).take("principals/x", None).told.is_empty());
    }

    #[test]
    fn whose_calls_wait_for_their_answers_takes_no_more_than_its_places() {
        let quotas = Quotas::new(Some(quota(1000, 1000)), 2);
        let under_way = [(); 2].map(|()| quotas.take("principals/greedy", None));
        assert!(under_way.iter().all(|taken| taken.excess.is_none()));
        let taken = quotas.take("principals/greedy", None);
        let excess = taken.excess.unwrap();
        assert_eq!(
            (excess.code, excess.reason, excess.retry_after),
            (Code::ResourceExhausted, "RATE_LIMITED", Some(PAUSE))
        );
        assert!(quotas.take("principals/other", None).excess.is_none());
        drop(under_way);
        assert!(quotas.take("principals/greedy", None).excess.is_none());
        assert!((0..9).all(|_| quotas.take("principals/import", Some(0)).excess.is_none()), "as many as come");
    }

    #[test]
    fn however_many_call_no_more_are_remembered_than_there_is_room_for() {
        let mut quotas = Quotas::new(Some(quota(1, 1)), 256);
        quotas.counted = Cache::builder().max_capacity(10).eviction_policy(EvictionPolicy::lru()).build();
        for one in 0..1000 {
            quotas.take(&format!("principals/{one}"), None);
        }
        quotas.counted.run_pending_tasks();
        assert!(quotas.counted.entry_count() <= 10);
    }
}
