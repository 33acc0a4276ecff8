//! What every service holds: its database, clock, identity and the units of work under way.

use std::sync::Arc;

use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::{
    auth::Identity,
    clock::Clock,
    db,
    fault::Fault,
    faults::{CommitFault, Faults},
};

/// What a service shares among its RPCs and workers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Core {
    /// The service's name, which is its schema's too.
    pub service: &'static str,
    /// Connections to the service's own schema, for calls.
    pub db: PgPool,
    /// The same for workers, which calls cannot exhaust.
    pub background: PgPool,
    /// The time of the business.
    pub clock: Clock,
    /// The zone that decides months and dates.
    pub zone: otdel_types::Zone,
    /// Units of work under way.
    pub units: Units,
    /// What the service signs with when it acts as itself.
    pub identity: Identity,
    /// Wakes the sequencer and the workers of this process after a commit.
    pub committed: Arc<Notify>,
    /// Where tests make commits fail. Nothing fails unless a test says so.
    pub faults: Faults,
}

impl Core {
    /// Begins a transaction of a call.
    pub async fn begin(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        db::begin(&self.db, "begin").await
    }

    /// Begins a transaction of a call that reads one state of the database over several statements.
    pub async fn snapshot(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        db::begin(&self.db, db::SNAPSHOT).await
    }

    /// Begins a transaction in another way.
    pub async fn begin_with(&self, statement: &'static str) -> sqlx::Result<Transaction<'static, Postgres>> {
        db::begin(&self.db, statement).await
    }

    /// Begins a transaction of a worker.
    pub async fn begin_in_background(&self) -> sqlx::Result<Transaction<'static, Postgres>> {
        db::begin(&self.background, "begin").await
    }

    /// Commits, and wakes those who wait for what was written.
    pub async fn commit(&self, tx: Transaction<'_, Postgres>) -> Result<(), Fault> {
        match self.faults.next_commit() {
            Some(CommitFault::Before) => return Err(Faults::injected()),
            Some(CommitFault::After) => {
                tx.commit().await?;
                self.committed.notify_waiters();
                return Err(Faults::injected());
            }
            None => {}
        }
        tx.commit().await?;
        self.committed.notify_waiters();
        Ok(())
    }
}

/// The units of work of a service: how many may run at once, and a way to wait until none does.
///
/// A permit lives in the unit's own task, not in the call that waits for it: with permits in the calls, 200 abandoned
/// calls once ran at the same time past a limit of 4.
#[derive(Clone, Debug)]
pub struct Units {
    calls: Arc<Semaphore>,
    limit: u32,
    workers: Arc<Semaphore>,
}

/// Batches of workers under way at once.
const WORKERS: u32 = 4;

impl Units {
    /// At most `limit` calls at once.
    pub fn new(limit: u32) -> Self {
        let lane = |places: u32| Arc::new(Semaphore::new(places as usize));
        Self { calls: lane(limit), limit, workers: lane(WORKERS) }
    }

    /// Each lane with the units under way in it and the most that there may be.
    pub(crate) fn lanes(&self) -> [(&'static str, u32, u32); 2] {
        let lane = |name, places: &Semaphore, limit: u32| {
            let free = u32::try_from(places.available_permits()).unwrap_or(u32::MAX);
            (name, limit.saturating_sub(free), limit)
        };
        [lane("calls", &self.calls, self.limit), lane("workers", &self.workers, WORKERS)]
    }

    /// A place for one more call, or UNAVAILABLE at once: who waits in a queue is answered too late.
    pub fn admit(&self) -> Result<OwnedSemaphorePermit, Fault> {
        self.calls.clone().try_acquire_owned().map_err(|full| match full {
            TryAcquireError::NoPermits => Fault::unavailable("OVERLOADED", "too many calls at once"),
            TryAcquireError::Closed => Fault::unavailable("SHUTTING_DOWN", "the service is shutting down"),
        })
    }

    /// A place for one more batch of a worker, in a lane of its own: what is due waits for other workers only, however many
    /// calls there are.
    pub async fn for_worker(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let place = self.workers.clone().acquire_owned().await;
        place.map_err(|_closed| Fault::unavailable("SHUTTING_DOWN", "the service is shutting down"))
    }

    /// Waits until no unit is under way, neither a call nor a batch.
    pub async fn drained(&self) {
        let _calls = self.calls.acquire_many(self.limit).await;
        let _workers = self.workers.acquire_many(WORKERS).await;
    }
}
