//! The way from a source's stream to batches without gaps.

use std::collections::VecDeque;

use futures_util::{FutureExt as _, StreamExt as _};
use sqlx::PgConnection;
use tonic::Status;

use super::{
    SourceEvent,
    batch::{Reader, Refused},
    source::{self, Items},
    store::At,
};
use crate::{fault::Fault, feed::Item};

/// The most events of one transaction.
const MOST: usize = 200;

/// Why a lane stopped.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The source ended the stream or cannot be reached.
    Source(Status),
    /// The source left out events. Never accepted: what comes after stands on what is missing.
    Gap {
        /// The position that had to come.
        wanted: i64,
        /// The position that came.
        found: i64,
    },
    /// The cursor or the live build is another by now.
    Moved,
    /// An event cannot be applied. It is tried again and never skipped.
    Event {
        /// Its position.
        position: i64,
        /// Its type.
        kind: &'static str,
        /// Why.
        fault: Fault,
    },
    /// Something here failed.
    Here(Fault),
}

impl Stopped {
    /// Whether only a transaction failed, or a wait for a lock took too long, so that the same may be tried again in the
    /// same session.
    pub(super) fn leaves_the_session_whole(&self) -> bool {
        match self {
            Self::Event { .. } => true,
            Self::Here(fault) => fault.reason == "BUSY",
            Self::Source(_) | Self::Gap { .. } | Self::Moved => false,
        }
    }
}

impl From<sqlx::Error> for Stopped {
    fn from(error: sqlx::Error) -> Self {
        Self::Here(error.into())
    }
}

/// A source's stream, and what has come of it and waits to be applied.
pub(super) struct Lane {
    reader: Reader,
    items: Items,
    /// The last position that was applied, and its cursor.
    at: At,
    arrived: Arrived,
    /// Why nothing comes any more. Told when what came before is applied.
    broken: Option<Stopped>,
    /// The most events of the next transaction: fewer where an event behind them was refused.
    most: usize,
}

/// What has come and waits.
struct Arrived {
    /// The last position that came.
    position: i64,
    waiting: VecDeque<SourceEvent>,
    /// Whether the source has sent everything that was there when it was asked.
    caught_up: bool,
}

impl Lane {
    /// Opens the source's feed behind `at`.
    pub(super) async fn open(reader: Reader, at: At) -> Result<Self, Stopped> {
        let (core, peers) = (&reader.following.0.core, &reader.following.0.peers);
        let opened = source::open(peers, &core.identity, reader.source, at.token.clone()).await;
        let items = opened.map_err(Stopped::Source)?;
        let arrived = Arrived { position: at.position, waiting: VecDeque::new(), caught_up: false };
        Ok(Self { reader, items, at, arrived, broken: None, most: MOST })
    }

    /// Waits for the source to send something, and takes all that is ready, up to a batch. May be abandoned.
    pub(super) async fn receive(&mut self) -> Result<(), Stopped> {
        if self.is_empty() && self.broken.is_none() {
            let mut next = self.items.next().await;
            loop {
                self.broken = self.take(next).err();
                if self.broken.is_some() || self.arrived.waiting.len() >= MOST {
                    break;
                }
                let Some(ready) = self.items.next().now_or_never() else { break };
                next = ready;
            }
        }
        if self.is_empty() { self.broken.take().map_or(Ok(()), Err) } else { Ok(()) }
    }

    fn take(&mut self, next: Option<Result<Item<SourceEvent>, Status>>) -> Result<(), Stopped> {
        let item = next.unwrap_or_else(|| Err(Status::unavailable("the stream ended")));
        self.arrived.accept(item.map_err(Stopped::Source)?)
    }

    /// Applies what has come, no further than `up_to`, in one transaction. Where an event fails, those before it are
    /// applied alone the next time, so that it stands first and nothing waits that need not.
    pub(super) async fn apply(&mut self, db: &mut PgConnection, up_to: i64) -> Result<(), Stopped> {
        let room = usize::try_from(up_to.saturating_sub(self.at.position)).unwrap_or_default();
        let count = self.arrived.waiting.len().min(room).min(self.most);
        let events = &self.arrived.waiting.make_contiguous()[..count];
        match self.reader.apply(db, &mut self.at, events).await {
            Ok(()) => {
                self.arrived.waiting.drain(..count);
                self.most = MOST;
                Ok(())
            }
            Err(Refused::Event { at, .. }) if at > 0 => {
                self.most = at;
                Ok(())
            }
            Err(Refused::Event { fault, .. }) => {
                let (position, kind) = (self.at.position + 1, events.first().map_or("", SourceEvent::fact_type));
                self.most = 1;
                Err(Stopped::Event { position, kind, fault })
            }
            Err(Refused::Moved) => Err(Stopped::Moved),
            Err(Refused::Fault(fault)) => Err(Stopped::Here(fault)),
        }
    }

    /// The last position that was applied.
    pub(super) fn position(&self) -> i64 {
        self.at.position
    }

    /// Whether everything that was there when the source was asked is applied.
    pub(super) fn is_caught_up(&self) -> bool {
        self.arrived.caught_up && self.arrived.waiting.is_empty()
    }

    /// Whether nothing waits to be applied.
    pub(super) fn is_empty(&self) -> bool {
        self.arrived.waiting.is_empty()
    }
}

impl Arrived {
    /// Takes an item, if it continues what came before without a gap.
    fn accept(&mut self, item: Item<SourceEvent>) -> Result<(), Stopped> {
        let wanted = self.position + 1;
        match item {
            Item::Event(event) => match event.envelope().map(|envelope| envelope.position) {
                Some(position) if position == wanted => {
                    self.position = position;
                    self.waiting.push_back(event);
                    Ok(())
                }
                // Delivery is at least once.
                Some(position) if (1..wanted).contains(&position) => Ok(()),
                position => Err(Stopped::Gap { wanted, found: position.unwrap_or_default() }),
            },
            Item::CaughtUp(place) => {
                self.caught_up = true;
                self.check(place.position)
            }
            Item::Checkpoint(place) => self.check(place.position),
        }
    }

    /// Nothing is filtered out, so the source's place is where the last event was.
    fn check(&self, position: i64) -> Result<(), Stopped> {
        if position == self.position {
            return Ok(());
        }
        Err(Stopped::Gap { wanted: self.position + 1, found: position })
    }
}

#[cfg(test)]
mod tests {
    use otdel_api::{
        event::{CaughtUp, Checkpoint, Envelope},
        leads::LeadEvent,
    };

    use super::*;

    fn event(position: i64) -> Item<SourceEvent> {
        let envelope = Envelope { position, ..Envelope::default() };
        Item::Event(SourceEvent::Leads(LeadEvent { envelope: Some(envelope), fact: None }))
    }

    fn behind(position: i64) -> Arrived {
        Arrived { position, waiting: VecDeque::new(), caught_up: false }
    }

    #[test]
    fn events_come_without_a_gap_and_count_once() {
        let mut arrived = behind(7);
        for position in [8, 8, 7, 9] {
            arrived.accept(event(position)).unwrap();
        }
        assert_eq!((arrived.position, arrived.waiting.len()), (9, 2));
        for position in [11, 0, -1] {
            let refused = arrived.accept(event(position));
            assert!(matches!(refused, Err(Stopped::Gap { wanted: 10, found }) if found == position));
        }
        let bare = Item::Event(SourceEvent::Leads(LeadEvent::default()));
        assert!(matches!(arrived.accept(bare), Err(Stopped::Gap { wanted: 10, found: 0 })));
    }

    #[test]
    fn a_place_without_its_events_is_a_gap() {
        let mut arrived = behind(7);
        let (caught_up, checkpoint) = (CaughtUp { position: 7, ..CaughtUp::default() }, Checkpoint::default());
        arrived.accept(Item::CaughtUp(caught_up)).unwrap();
        assert!(arrived.caught_up);
        assert!(matches!(arrived.accept(Item::Checkpoint(checkpoint)), Err(Stopped::Gap { wanted: 8, found: 0 })));
    }
}
