//! Reading one's writes: waiting until a change of another service is included.

use std::{collections::BTreeMap, time::Duration};

use futures_util::future::try_join_all;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, timeout_at},
};
use tonic::{Code, Status};

use super::{Following, Source, consumer, source, store};
use crate::{call::Call, clock, fault::Fault, outbox::Change, violations::Violations};

/// The most changes that one read may wait for.
const MOST: usize = 100;

/// How long to wait for a caller that set no deadline.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is left for the answer when a wait ends at the caller's deadline.
pub(super) const WAY_BACK: Duration = Duration::from_millis(100);

/// How often a process looks for what another replica has read, however many of its calls wait.
const LOOK: Duration = Duration::from_millis(50);

/// How far the live build has read, as far as this process knows: its own consumers tell it at once, and one of those who
/// wait looks now and then for all of them.
#[derive(Default)]
pub(super) struct Seen {
    positions: watch::Sender<BTreeMap<Source, i64>>,
    /// When was looked last.
    looked: Mutex<Option<Instant>>,
}

impl Seen {
    /// A consumer of this process has read so far.
    pub(super) fn read(&self, source: Source, position: i64) {
        self.positions.send_modify(|positions| {
            positions.insert(source, position);
        });
    }
}

impl Following {
    /// Waits until the live build includes every one of these changes, which are those of a request's `at_least`. Wrong
    /// ones are all told at once; what has not come when the caller's time is over is UNAVAILABLE `BEHIND`.
    pub async fn at_least<T>(&self, call: &Call<T>, changes: &[String]) -> Result<(), Fault> {
        let changes = self.parse(changes).map_err(|wrong| Fault::fields(&wrong))?;
        if changes.is_empty() {
            return Ok(());
        }
        let until = Instant::now() + call.time_left().map_or(PATIENCE, |left| left.saturating_sub(WAY_BACK));
        let located = changes.into_iter().map(|(at, source, change)| self.locate(at, source, change, until));
        let mut wanted: BTreeMap<Source, i64> = BTreeMap::new();
        for (source, position) in try_join_all(located).await? {
            let last = wanted.entry(source).or_default();
            *last = position.max(*last);
        }
        for (source, position) in wanted {
            self.wait_until(source, position, until).await?;
        }
        Ok(())
    }

    /// Waits until the live build has read a source up to a position. UNAVAILABLE `BEHIND` when it has not in time.
    async fn wait_until(&self, source: Source, wanted: i64, until: Instant) -> Result<(), Fault> {
        let is_read = |positions: &BTreeMap<Source, i64>| positions.get(&source).is_some_and(|at| *at >= wanted);
        loop {
            let position = self.look().await?.get(&source).copied().unwrap_or_default();
            if position >= wanted {
                return Ok(());
            }
            if Instant::now() >= until {
                let text = format_args!("{} events of {} have not arrived yet", wanted - position, source.name());
                let behind = Fault::unavailable("BEHIND", text).with("service", source.name());
                return Err(behind.with("position", position).with("wanted", wanted));
            }
            // What is seen is a hint: another build, which has read less, may be live by now. So it is looked again.
            let mut seen = self.0.seen.positions.subscribe();
            let woken = timeout_at(until, async {
                tokio::select! {
                    _ = seen.wait_for(is_read) => Ok(()),
                    failed = self.keep_looking() => failed,
                }
            })
            .await;
            woken.unwrap_or(Ok(()))?;
        }
    }

    /// Looks for all who wait in this process, in turn with them, until looking fails.
    async fn keep_looking(&self) -> Result<(), Fault> {
        loop {
            clock::pause(LOOK).await;
            let Ok(mut looked) = self.0.seen.looked.try_lock() else { continue };
            if looked.is_none_or(|at| at.elapsed() >= LOOK) {
                self.look().await?;
                *looked = Some(Instant::now());
            }
        }
    }

    /// Where the live build stands in each source, which all who wait are told.
    async fn look(&self) -> Result<BTreeMap<Source, i64>, Fault> {
        let reached = self.reached(&self.0.core.db).await?;
        let positions: BTreeMap<_, _> = reached.into_iter().map(|place| (place.source, place.position)).collect();
        self.0.seen.positions.send_replace(positions.clone());
        Ok(positions)
    }

    /// The changes of other services. One's own are included in whatever one reads.
    fn parse(&self, changes: &[String]) -> Result<Vec<(usize, Source, String)>, Violations> {
        let mut wrong = Violations::default();
        if changes.len() > MOST {
            wrong.add("at_least", format_args!("must not have more than {MOST} entries"));
            return Err(wrong);
        }
        let mut parsed = Vec::with_capacity(changes.len());
        for (at, text) in changes.iter().enumerate() {
            let field = format!("at_least[{at}]");
            let Some(change) = wrong.take(&field, text.parse::<Change>()) else { continue };
            let followed = self.0.follower.sources().iter().find(|source| source.name() == change.service);
            match followed {
                Some(source) => parsed.push((at, *source, text.clone())),
                None if change.service == self.0.core.service => {}
                None => wrong.add(field, "is of a service that this answer is not made from"),
            }
        }
        wrong.into_result().map(|()| parsed)
    }

    /// Asks the source, as this service itself, where a change stands. A source that does not recognise how far the live
    /// build has read was restored to an earlier state, which the follower is about to find out: until it has read again,
    /// positions of the two mean different events.
    async fn locate(&self, at: usize, source: Source, change: String, until: Instant) -> Result<(Source, i64), Fault> {
        let (peers, identity) = (&self.0.peers, &self.0.core.identity);
        loop {
            let read_to = store::read_to(&self.0.core.db, self.name(), source).await?;
            let left = until.saturating_duration_since(Instant::now());
            match source::locate(peers, identity, source, change.clone(), read_to, left).await {
                Ok(position) => return Ok((source, position)),
                Err(status) if status.code() != Code::DataLoss => return Err(self.not_located(at, source, &status)),
                Err(_) if Instant::now() + LOOK >= until => {
                    let text =
                        format_args!("{} was restored to an earlier state and is being read again", source.name());
                    return Err(Fault::unavailable("BEHIND", text).with("service", source.name()));
                }
                Err(_) => clock::pause(LOOK).await,
            }
        }
    }

    fn not_located(&self, at: usize, source: Source, status: &Status) -> Fault {
        if status.code() == Code::NotFound {
            let mut wrong = Violations::default();
            wrong.add(format!("at_least[{at}]"), format_args!("is no event of {}", source.name()));
            return Fault::fields(&wrong);
        }
        let (follower, source, code) = (self.name(), source.name(), status.code());
        tracing::warn!(follower, source, ?code, reason = consumer::reason(status), "change cannot be located");
        Fault::unavailable("SERVICE_UNREACHABLE", format_args!("{source} cannot be asked")).with("service", source)
    }
}
