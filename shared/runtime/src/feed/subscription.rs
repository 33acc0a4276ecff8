//! One stream of a feed.

use std::{future::Future, time::Duration};

use otdel_api::event::{CaughtUp, Checkpoint};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout, timeout_at},
};
use tonic::Status;

use super::{
    Cursor, Feed, FeedEvent, Item,
    filter::Filter,
    store::{self, Seen},
    streams::Slot,
};
use crate::fault::Fault;

/// How many rows are read at once.
const BATCH: i64 = 500;

/// After how many filtered-out events a reader is told its place.
const SKIPPED: u32 = 500;

/// After how much silence a reader is told its place, which also keeps proxies from cutting the stream.
const IDLE: Duration = Duration::from_secs(15);

/// How long a stream lives. The caller's token lives as long and the caller's rights may change, and only the caller can
/// get a new token; so the stream ends with UNAVAILABLE and the reader comes back with its cursor and a fresh token. To
/// judge the old token again would need the directory, which only the gateway has.
const LIFE: Duration = Duration::from_mins(1);

/// How long the last word may take to a reader that has stopped reading.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What fills one stream. It waits for its own reader only: the channel to it is bounded.
pub(super) struct Subscription<E: FeedEvent> {
    pub(super) feed: Feed,
    pub(super) filter: Filter,
    pub(super) at: Cursor,
    pub(super) send: mpsc::Sender<Result<E::Response, Status>>,
    pub(super) slot: Slot,
}

/// The reader is gone.
struct Gone;

/// Why a stream ends.
enum End {
    /// Its reader is gone.
    Reader,
    /// As it should. The reader comes back.
    Planned(Fault),
    /// It cannot go on.
    Fault(Fault),
}

impl From<Gone> for End {
    fn from(_: Gone) -> Self {
        Self::Reader
    }
}

impl From<Fault> for End {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for End {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl<E: FeedEvent> Subscription<E> {
    /// Fills the stream until its reader goes, its life ends or the service shuts down.
    pub(super) async fn run(self) {
        let (send, stop) = (self.send.clone(), self.feed.stop().clone());
        let (service, slot) = (self.feed.core().service, self.slot);
        let pump = Pump {
            ends: self.feed.ends(),
            feed: self.feed,
            filter: self.filter,
            at: self.at,
            send: self.send,
            skipped: 0,
            idle_at: Instant::now() + IDLE,
        };
        let end = tokio::select! {
            end = fill::<E>(pump) => end,
            () = send.closed() => End::Reader,
            () = stop.cancelled() => End::Planned(Fault::unavailable("SHUTTING_DOWN", "the service is shutting down")),
        };
        drop(slot);
        let status = match end {
            End::Reader => return,
            End::Planned(fault) => fault.into_status(service),
            End::Fault(fault) => crate::call::tell(service, &fault),
        };
        let _ = timeout(LAST_WORD, send.send(Err(status))).await;
    }
}

async fn fill<E: FeedEvent>(mut pump: Pump<E>) -> End {
    match timeout(LIFE, pump.fill()).await {
        Ok(Err(end)) => end,
        Ok(Ok(never)) => match never {},
        Err(_) => End::Planned(Fault::unavailable("REAUTHORIZE", "come back with the last cursor and a fresh token")),
    }
}

struct Pump<E: FeedEvent> {
    feed: Feed,
    filter: Filter,
    at: Cursor,
    send: mpsc::Sender<Result<E::Response, Status>>,
    ends: watch::Receiver<i64>,
    skipped: u32,
    idle_at: Instant,
}

impl<E: FeedEvent> Pump<E> {
    async fn fill(&mut self) -> Result<std::convert::Infallible, End> {
        let mut caught_up = false;
        loop {
            // Marked as seen before the rows are read, so that what is numbered meanwhile wakes the wait below.
            self.ends.borrow_and_update();
            let rows = store::after(self.feed.reads(), self.at.position, &self.filter, BATCH).await?;
            if rows.is_empty() && !caught_up {
                caught_up = true;
                self.send(Item::CaughtUp(CaughtUp { cursor: self.at.to_string(), position: self.at.position })).await?;
            }
            let more = !rows.is_empty();
            for row in rows {
                self.pass(row).await?;
            }
            if Instant::now() >= self.idle_at {
                self.checkpoint().await?;
            }
            if !more {
                let _ = timeout_at(self.idle_at, self.ends.changed()).await;
            }
        }
    }

    /// Sends a row's event, or counts the row as filtered out.
    async fn pass(&mut self, row: Seen) -> Result<(), End> {
        if row.position != self.at.position + 1 {
            return Err(Fault::internal(Hole { wanted: self.at.position + 1 }).into());
        }
        (self.at.position, self.at.hash) = (row.position, row.hash);
        let Some(payload) = row.payload else {
            self.skipped += 1;
            if self.skipped == SKIPPED {
                self.checkpoint().await?;
            }
            return Ok(());
        };
        let event = read::<E>(&payload, &self.at)?;
        self.send(Item::Event(event)).await?;
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<(), Gone> {
        self.send(Item::Checkpoint(Checkpoint { cursor: self.at.to_string(), position: self.at.position })).await
    }

    fn send(&mut self, item: Item<E>) -> impl Future<Output = Result<(), Gone>> {
        self.skipped = 0;
        self.idle_at = Instant::now() + IDLE;
        let response = E::response(item);
        async { self.send.send(Ok(response)).await.map_err(|_| Gone) }
    }
}

/// The event in stored bytes, with its place in the feed.
pub(super) fn read<E: FeedEvent>(payload: &[u8], at: &Cursor) -> Result<E, Fault> {
    let mut event = E::decode(payload).map_err(Fault::internal)?;
    let envelope = event.envelope_mut();
    envelope.position = at.position;
    envelope.cursor = at.to_string();
    envelope.epoch = at.epoch.to_string();
    Ok(event)
}

/// An event is missing where one was numbered. Nobody but `verify` can tell which, so no reader gets past it.
#[derive(Debug, thiserror::Error)]
#[error("the event at position {wanted} is missing")]
struct Hole {
    wanted: i64,
}
