//! Numbers what was committed.
//!
//! Every replica runs this loop, and no election chooses one: each numbering transaction holds the feed's end
//! (`feed_head`) until it commits, so at most one is under way and each continues where the last one ended. A
//! session-level advisory lock, as first designed, would add nothing to that and take something away: a holder that is
//! stopped, or whose machine has gone, keeps the lock as long as its connection looks alive, and the feed of all
//! replicas stands still; and commits of the other replicas would wait for the holder's next look. So a replica numbers
//! its own commits at once. Losing a process costs at most its one transaction, and one that is stopped inside of it a
//! second.
//!
//! The rows that a transaction sees are numbered in the order of `seq`. What is not committed yet gets a later position,
//! so an old open transaction delays nobody.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Feed, chain::link, store};
use crate::{clock, fault::Fault, session};

/// The most rows of one transaction.
const BATCH: usize = 1_000;

const SETTINGS: [(&str, &str); 2] = [
    // A process that is stopped in the few milliseconds of a transaction of its holds up the others this long at most.
    ("idle_in_transaction_session_timeout", "1s"),
    // What waits is a handful at the end of the outbox. Where the statistics were made while all of a young outbox waited,
    // each look was planned as a walk over all of it.
    ("enable_seqscan", "off"),
];

/// How often to look for what other replicas committed or numbered.
const LOOK: Duration = Duration::from_millis(20);

/// The pause between two transactions under load, so that they get larger instead of more.
const BREATH: Duration = Duration::from_millis(5);

/// A look that takes long is followed by a pause of so many times as long. While an old transaction keeps the database
/// from forgetting earlier versions of rows, a look passes all that were numbered since: 20 ms behind 100,000 events.
const REST: u32 = 4;

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What one look did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Where the feed ends now.
    pub(super) end: i64,
    /// How many events were numbered.
    pub(super) numbered: usize,
    /// When the first of them had happened.
    pub(super) oldest: Option<DateTime<Utc>>,
}

impl Look {
    /// Whether more may wait.
    pub(super) fn is_full(&self) -> bool {
        self.numbered == BATCH
    }
}

/// Numbers until it is stopped, which it notices between its transactions, and tells the process where the feed ends.
/// It has a connection of its own, so that calls that hold the whole pool do not hold up the feed.
pub(crate) async fn run(feed: Feed, stop: CancellationToken) {
    let (mut session, mut pause) = (None, SHORTEST_PAUSE);
    let failures = metrics::counter!("otdel_feed_failures_total", "service" => feed.core().service);
    // A failure is then seen as a step from 0.
    failures.increment(0);
    while !stop.is_cancelled() {
        let (committed, began) = (feed.core().committed.notified(), Instant::now());
        let looked = look(&feed, session.take()).await;
        let took = began.elapsed();
        let wait = async {
            match looked {
                Ok((db, look)) => {
                    (session, pause) = (Some(db), SHORTEST_PAUSE);
                    feed.publish(&look);
                    match look.numbered {
                        BATCH => {}
                        0 => tokio::select! {
                            () = committed => {}
                            () = clock::pause(LOOK.max(took * REST)) => {}
                        },
                        _ => clock::pause(BREATH.max(took)).await,
                    }
                }
                Err(fault) => {
                    failures.increment(1);
                    tracing::warn!(reason = fault.reason, cause = ?fault.cause, "events were not numbered, trying again");
                    clock::pause(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        };
        stop.run_until_cancelled(wait).await;
    }
}

/// One look over a connection that is opened when need be and kept only if all went well.
async fn look(feed: &Feed, session: Option<PgConnection>) -> Result<(PgConnection, Look), Fault> {
    let mut db = match session {
        Some(db) => db,
        None => session::open(&feed.core().db, &SETTINGS).await?,
    };
    let look = number(&mut db).await?;
    Ok((db, look))
}

/// Numbers up to a batch of what is visible.
pub(super) async fn number(db: &mut PgConnection) -> Result<Look, Fault> {
    let (end, waiting) = store::end(&mut *db).await?;
    if !waiting {
        return Ok(Look { end, numbered: 0, oldest: None });
    }
    let mut tx = db.begin().await?;
    // Under READ COMMITTED the rows are looked for after the lock was given, so none that another sequencer has numbered
    // is found.
    let mut head = store::lock_head(&mut tx).await?;
    let rows = store::unnumbered(&mut tx, i64::try_from(BATCH).unwrap_or(i64::MAX)).await?;
    let first = head.position + 1;
    let (mut seqs, mut hashes) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in &rows {
        head.hash = link(&head.hash, &row.payload);
        head.position += 1;
        seqs.push(row.seq);
        hashes.push(head.hash.clone());
    }
    if rows.is_empty() {
        return Ok(Look { end: head.position, numbered: 0, oldest: None });
    }
    if store::number(&mut tx, &seqs, first, &hashes).await? != rows.len() as u64 {
        return Err(Fault::internal(Lost));
    }
    store::move_head(&mut tx, &head).await?;
    tx.commit().await?;
    Ok(Look { end: head.position, numbered: rows.len(), oldest: rows.iter().map(|row| row.occur_time).min() })
}

/// Rows vanished between two statements of a transaction: somebody deletes from the outbox.
#[derive(Debug, thiserror::Error)]
#[error("rows that were to be numbered are gone")]
struct Lost;
