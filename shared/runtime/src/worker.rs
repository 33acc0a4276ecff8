//! Loops that do what is due.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::{clock, core::Core, fault::Fault};

/// Work with deadlines that are rows. Any number of replicas may run it: each unit claims its row with `for update skip
/// locked`, and its effect, its event and the row's end commit together.
#[tonic::async_trait]
pub trait Due: Send + Sync + 'static {
    /// The worker's name, such as `leads.reassign`: in logs, metrics and events.
    fn name(&self) -> &'static str;

    /// The longest sleep between two looks: a deadline that another replica set is seen at most this late.
    fn longest_sleep(&self) -> Duration {
        Duration::from_millis(250)
    }

    /// The earliest deadline that waits, whether it is due already or not. None also where nobody waits for the work:
    /// a test clock stops at deadlines only.
    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Fault>;

    /// Does up to a batch of what is due at `now` and tells how much it did; 0 when nothing is left.
    async fn run_due(&self, now: DateTime<Utc>) -> Result<usize, Fault>;
}

/// Runs a worker until it is cancelled, which it notices between its batches, never inside one. Failures are logged and
/// tried again after a pause; none ends the loop.
pub async fn run(core: Core, worker: Arc<dyn Due>, stop: CancellationToken) {
    let mut pause = SHORTEST_PAUSE;
    let failures =
        metrics::counter!("otdel_worker_failures_total", "service" => core.service, "worker" => worker.name());
    // A failure is then seen as a step from 0.
    failures.increment(0);
    while !stop.is_cancelled() {
        let wait = async {
            match run_or_look(&core, worker.clone()).await {
                Ok(look) => {
                    pause = SHORTEST_PAUSE;
                    measure(&core, worker.as_ref(), &look);
                    match look {
                        Look::Again => {}
                        // Somebody else holds what is due: its row is locked.
                        Look::Nothing { now, next: Some(due) } if due <= now => clock::pause(SHORTEST_PAUSE).await,
                        Look::Nothing { next, .. } => core.clock.wait_until(next, worker.longest_sleep()).await,
                    }
                }
                Err(fault) => {
                    failures.increment(1);
                    tracing::warn!(worker = worker.name(), reason = fault.reason, cause = ?fault.cause, "worker failed, trying again");
                    clock::pause(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        stop.run_until_cancelled(wait).await;
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a worker found.
enum Look {
    /// There was something to do, and there may be more.
    Again,
    /// There was nothing that could be done at `now`.
    Nothing {
        now: DateTime<Utc>,
        /// The earliest deadline that waits.
        next: Option<DateTime<Utc>>,
    },
}

/// Says how long the oldest work has waited. Where there is more to do than a batch, the next look tells.
fn measure(core: &Core, worker: &dyn Due, look: &Look) {
    if let Look::Nothing { now, next } = look {
        let overdue = next.and_then(|due| (*now - due).to_std().ok()).unwrap_or_default();
        metrics::gauge!("otdel_due_overdue_seconds", "service" => core.service, "worker" => worker.name())
            .set(overdue.as_secs_f64());
    }
}

/// Does a batch of what is due, or looks when to do so again. The batch runs in a task of its own and counts as a unit of
/// work there: a stop abandons the wait for it, never the transaction in it, and a drain waits for it.
async fn run_or_look(core: &Core, worker: Arc<dyn Due>) -> Result<Look, Fault> {
    // Taken here, where a stop ends the wait for it: nothing begins after a drain.
    let permit = core.units.for_worker().await?;
    let now = core.clock.now();
    let unit = async move {
        let _permit = permit;
        match worker.run_due(now).await? {
            0 => Ok(Look::Nothing { now, next: worker.next_due().await? }),
            _ => Ok(Look::Again),
        }
    };
    tokio::spawn(unit).await.unwrap_or_else(|panic| Err(Fault::internal(panic)))
}

/// Does everything that is due now and tells how much that was. Each batch counts as a unit of work.
pub async fn run_all(core: &Core, worker: &dyn Due) -> Result<usize, Fault> {
    let mut done = 0;
    loop {
        let _permit = core.units.for_worker().await?;
        let batch = worker.run_due(core.clock.now()).await?;
        done += batch;
        if batch == 0 {
            return Ok(done);
        }
    }
}

/// Forgets answers to requests that were kept long enough.
#[derive(Debug)]
pub struct ForgetAnswers(pub Core);

#[tonic::async_trait]
impl Due for ForgetAnswers {
    fn name(&self) -> &'static str {
        "runtime.forget_answers"
    }

    fn longest_sleep(&self) -> Duration {
        Duration::from_mins(1)
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Fault> {
        Ok(None)
    }

    async fn run_due(&self, now: DateTime<Utc>) -> Result<usize, Fault> {
        let mut tx = self.0.begin_in_background().await?;
        let done = crate::idempotency::forget(&mut tx, now, 500).await?;
        tx.commit().await?;
        Ok(usize::try_from(done).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use ring::{rand::SystemRandom, signature::Ed25519KeyPair};
    use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

    use super::*;
    use crate::{auth::Identity, clock::Clock, core::Units, db, faults::Faults};

    /// A service that never asks its database, with one place for calls.
    fn core() -> Core {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let db = PgPoolOptions::new().connect_lazy_with(PgConnectOptions::new());
        Core {
            service: "leads",
            background: db::background(&db),
            db,
            clock: Clock::system(),
            zone: "UTC".parse().unwrap(),
            units: Units::new(1),
            identity: Identity::new("leads", pkcs8.as_ref()).unwrap(),
            committed: Arc::default(),
            faults: Faults::default(),
        }
    }

    /// Work that is always due, of which `left` can be done.
    #[derive(Default)]
    struct Work {
        left: AtomicUsize,
        looks: AtomicUsize,
    }

    #[tonic::async_trait]
    impl Due for Work {
        fn name(&self) -> &'static str {
            "leads.work"
        }

        async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Fault> {
            Ok(Some(DateTime::UNIX_EPOCH))
        }

        async fn run_due(&self, _now: DateTime<Utc>) -> Result<usize, Fault> {
            self.looks.fetch_add(1, Ordering::SeqCst);
            let take = |left: usize| left.checked_sub(1);
            Ok(usize::from(self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()))
        }
    }

    /// Runs a worker for a while and stops it.
    async fn run_for(span: Duration, core: &Core, work: &Arc<Work>) {
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(core.clone(), work.clone(), stop.clone()));
        clock::pause(span).await;
        stop.cancel();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn calls_do_not_keep_workers_out() {
        let core = core();
        let call = core.units.admit().unwrap();
        assert!(core.units.admit().is_err());
        let work = Arc::new(Work { left: AtomicUsize::new(3), ..Work::default() });
        run_for(Duration::from_millis(20), &core, &work).await;
        assert_eq!(work.left.load(Ordering::SeqCst), 0);
        drop(call);
    }

    #[tokio::test]
    async fn what_somebody_else_holds_is_not_asked_for_without_a_pause() {
        let work = Arc::new(Work::default());
        run_for(SHORTEST_PAUSE * 4, &core(), &work).await;
        assert!((1..=6).contains(&work.looks.load(Ordering::SeqCst)));
    }

    #[tokio::test]
    async fn a_drain_waits_for_workers_and_keeps_none_of_their_places() {
        let core = core();
        let batch = core.units.for_worker().await.unwrap();
        let drained = tokio::spawn({
            let units = core.units.clone();
            async move { units.drained().await }
        });
        clock::pause(Duration::from_millis(20)).await;
        assert!(!drained.is_finished());
        drop(batch);
        drained.await.unwrap();
        assert!(core.units.for_worker().await.is_ok() && core.units.admit().is_ok());
    }
}
