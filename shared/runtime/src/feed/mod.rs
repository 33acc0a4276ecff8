//! A service's event feed: what it wrote into its outbox, numbered, chained and sent to those who follow.
//!
//! A service keeps one [`Feed`] and answers three RPCs with it:
//!
//! ```ignore
//! type SubscribeStream = feed::EventStream<pb::SubscribeResponse>;
//!
//! async fn subscribe(&self, request: Request<pb::SubscribeRequest>) -> Result<Response<Self::SubscribeStream>, Status> {
//!     self.feed.subscribe::<pb::LeadEvent>(request).await
//! }
//!
//! async fn locate(&self, request: Request<pb::LocateRequest>) -> Result<Response<pb::LocateResponse>, Status> {
//!     let ask = request.map(|ask| Locate { change: ask.change, read_to: ask.read_to });
//!     let place = self.feed.locate(ask).await?;
//!     Ok(Response::new(pb::LocateResponse { epoch: place.epoch.to_string(), position: place.position }))
//! }
//!
//! // rpc/list_deal_events.rs, after the deal was loaded in the caller's scope:
//! let (events, next_page_token) = feed::list_deal_events::<pb::LeadEvent>(&mut db, &ask.deal.name(), &[], ask.page).await?;
//! ```

mod chain;
mod cursor;
mod deal;
mod filter;
mod item;
mod sequencer;
mod store;
mod streams;
mod subscription;

use std::{sync::Arc, time::Duration};

use sqlx::{PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tracing::Instrument as _;
use uuid::Uuid;

pub use chain::{Broken, Verified, verify};
pub use cursor::{BadCursor, Cursor};
pub use deal::{DealPage, list_deal_events};
pub use item::{Asked, FeedEvent, Item};
pub(crate) use sequencer::run as sequence;

use crate::{
    call::{self, Call},
    core::Core,
    fault::Fault,
    outbox::Change,
    violations::Violations,
};
use sequencer::Look;
use streams::Streams;
use subscription::Subscription;

/// What `Subscribe` answers with.
pub type EventStream<R> = ReceiverStream<Result<R, Status>>;

/// Connections for the streams of a feed, apart from those of calls: neither can take the other's.
const READS: u32 = 3;

/// How many responses wait for a slow reader.
const BUFFER: usize = 64;

/// How often to look for an event that this process is not told of, because another replica numbers it.
const LOOK: Duration = Duration::from_millis(20);

/// How long `Locate` waits for a caller that set no deadline.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is left for the way back when a wait ends at the caller's deadline.
const WAY_BACK: Duration = Duration::from_millis(50);

/// The event feed of a service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Core,
    reads: PgPool,
    /// The last position that this process knows to be numbered.
    end: watch::Sender<i64>,
    streams: Streams,
    stop: CancellationToken,
}

/// What `Locate` asks for.
#[derive(Clone, Debug)]
pub struct Locate {
    /// The event, as a mutating response returned it.
    pub change: String,
    /// The cursor that the caller has read to. Empty: it is not to be recognised.
    pub read_to: String,
}

/// Where an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The feed's epoch.
    pub epoch: Uuid,
    /// The event's position.
    pub position: i64,
}

impl Feed {
    /// The feed of a service. It sends what is numbered; it numbers, and learns of new events, when the service is started.
    pub fn new(core: Core) -> Self {
        let options = core.db.connect_options().as_ref().clone();
        let reads = PgPoolOptions::new()
            .max_connections(READS)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        let (end, streams) = (watch::Sender::new(0), Streams::default());
        Self(Arc::new(Inner { core, reads, end, streams, stop: CancellationToken::new() }))
    }

    /// Answers `Subscribe`: the events after a cursor as they are numbered, each at least once and in the order of their
    /// positions. The stream holds no unit of work and no connection while it waits.
    pub async fn subscribe<E: FeedEvent>(
        &self,
        request: Request<E::Request>,
    ) -> Result<Response<EventStream<E::Response>>, Status> {
        let stream = self.open::<E>(request).await;
        stream.map(Response::new).map_err(|fault| call::tell(self.core().service, &fault))
    }

    async fn open<E: FeedEvent>(&self, request: Request<E::Request>) -> Result<EventStream<E::Response>, Fault> {
        let call = call::admitted(self.core(), request)?;
        let (after, filter) = filter::parse::<E>(E::asked(&call.msg)).map_err(|wrong| Fault::fields(&wrong))?;
        if self.stop().is_cancelled() {
            return Err(Fault::unavailable("SHUTTING_DOWN", "the service is shutting down"));
        }
        let slot = self.0.streams.take(&call.principal.name)?;
        let at = match after {
            Some(cursor) => {
                let mut db = self.reads().acquire().await?;
                recognise(&mut db, &cursor).await?.into_result(&cursor).map(|()| cursor)?
            }
            None => Cursor { epoch: store::epoch(self.reads()).await?, position: 0, hash: Vec::new() },
        };
        let (send, receive) = mpsc::channel(BUFFER);
        let subscription = Subscription::<E> { feed: self.clone(), filter, at, send, slot };
        tokio::spawn(subscription.run().in_current_span());
        Ok(ReceiverStream::new(receive))
    }

    /// Answers `Locate`: where the event of a `change` stands, waiting until it is numbered. A caller that has read
    /// events which this feed does not have gets `DATA_LOSS` instead of a position, which it would take for one among those.
    /// It only reads, so it is no unit of work: callers that wait do not keep others out.
    pub async fn locate(&self, request: Request<Locate>) -> Result<Place, Status> {
        let located = async { self.find(call::admitted(self.core(), request)?).await };
        located.await.map_err(|fault| call::tell(self.core().service, &fault))
    }

    async fn find(&self, call: Call<Locate>) -> Result<Place, Fault> {
        let (id, read_to) = self.parse(&call.msg)?;
        let patience = call.time_left().map_or(PATIENCE, |left| left.saturating_sub(WAY_BACK));
        let position = tokio::time::timeout(patience, self.position_of(id)).await;
        let position = position.map_err(|_| Fault::unavailable("NOT_NUMBERED", "the event has no position yet"))??;
        if let Some(cursor) = read_to {
            let mut db = self.core().db.acquire().await?;
            recognise(&mut db, &cursor).await?.into_result(&cursor)?;
        }
        Ok(Place { epoch: store::epoch(&self.core().db).await?, position })
    }

    fn parse(&self, ask: &Locate) -> Result<(Uuid, Option<Cursor>), Fault> {
        let mut wrong = Violations::default();
        let service = self.core().service;
        let change = wrong.take("change", ask.change.parse::<Change>());
        if change.as_ref().is_some_and(|change| change.service != service) {
            wrong.add("change", format_args!("must be a change of {service}"));
        }
        let read_to = match ask.read_to.as_str() {
            "" => None,
            text => wrong.take("read_to", text.parse()),
        };
        let wrong = wrong.into_result();
        match (change, wrong) {
            (Some(change), Ok(())) => Ok((change.id, read_to)),
            (_, wrong) => Err(Fault::fields(&wrong.err().unwrap_or_default())),
        }
    }

    async fn position_of(&self, id: Uuid) -> Result<i64, Fault> {
        let mut ends = self.ends();
        loop {
            ends.borrow_and_update();
            match store::position_of(&self.core().db, id).await? {
                Some(Some(position)) => return Ok(position),
                Some(None) => {}
                None => return Err(Fault::new(Code::NotFound, "EVENT_NOT_FOUND", "there is no such event")),
            }
            let _ = tokio::time::timeout(LOOK, ends.changed()).await;
        }
    }

    /// Numbers everything that is committed now and tells where the feed ends.
    pub async fn number_all(&self) -> Result<i64, Fault> {
        let mut db = self.core().db.acquire().await?;
        loop {
            let look = sequencer::number(&mut db).await?;
            self.publish(&look);
            if !look.is_full() {
                return Ok(look.end);
            }
        }
    }

    /// Where the feed ends, and whether everything that is committed is numbered.
    pub async fn progress(&self) -> Result<(i64, bool), Fault> {
        let (end, waiting) = store::end(&self.core().db).await?;
        Ok((end, !waiting))
    }

    /// Ends every stream with UNAVAILABLE. Their readers come back to another replica, or to this one when it is up again.
    pub(crate) fn end_streams(&self) {
        self.0.stop.cancel();
    }

    /// Waits until the service's streams are to end. For those that the feed does not run itself.
    pub async fn ended(&self) {
        self.0.stop.cancelled().await;
    }

    fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Closes the connections of the streams.
    pub(crate) async fn close(&self) {
        self.0.reads.close().await;
    }

    fn core(&self) -> &Core {
        &self.0.core
    }

    fn reads(&self) -> &PgPool {
        &self.0.reads
    }

    fn ends(&self) -> watch::Receiver<i64> {
        self.0.end.subscribe()
    }

    /// Wakes those who wait for events, and says how the feed is doing.
    fn publish(&self, look: &Look) {
        let moved = self.0.end.send_if_modified(|end| {
            let moved = look.end > *end;
            *end = look.end.max(*end);
            moved
        });
        let Core { service, clock, .. } = self.core();
        if moved {
            #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; positions stay below 2^53")]
            metrics::gauge!("otdel_feed_position", "service" => *service).set(look.end as f64);
        }
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; a look sees a batch at most")]
        metrics::gauge!("otdel_feed_unnumbered", "service" => *service).set(look.numbered as f64);
        if let Some(oldest) = look.oldest {
            let lag = (clock.now() - oldest).to_std().unwrap_or_default();
            metrics::histogram!("otdel_feed_lag_seconds", "service" => *service).record(lag.as_secs_f64());
            metrics::counter!("otdel_feed_events_total", "service" => *service).increment(look.numbered as u64);
        }
    }
}

/// What a feed makes of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// It is of this feed as it is now.
    Same,
    /// What was read up to it stands here, but under an earlier epoch.
    EarlierEpoch,
    /// Something else stands at its position, or nothing: its reader has seen events that this feed does not have.
    Diverged {
        /// Whether the feed has another epoch since, as it gets after a restore. Where it has not, events that were
        /// numbered are gone without a word.
        announced: bool,
    },
}

/// Whether a cursor is of the feed on the search path as it is now: of its epoch, and with the hash that stands at its
/// position.
pub async fn recognise(db: &mut PgConnection, cursor: &Cursor) -> sqlx::Result<Recognised> {
    let same_epoch = store::epoch(&mut *db).await? == cursor.epoch;
    let same_place = cursor.position == 0 || store::hash_at(db, cursor.position).await?.as_ref() == Some(&cursor.hash);
    Ok(match (same_place, same_epoch) {
        (true, true) => Recognised::Same,
        (true, false) => Recognised::EarlierEpoch,
        (false, _) => Recognised::Diverged { announced: !same_epoch },
    })
}

impl Recognised {
    /// A cursor that is not of this feed as it is now is `DATA_LOSS` `CURSOR_DIVERGED`.
    fn into_result(self, cursor: &Cursor) -> Result<(), Fault> {
        if self == Self::Same {
            return Ok(());
        }
        let text = "the cursor is not of this feed, which was restored to an earlier state: read it from the start";
        Err(Fault::new(Code::DataLoss, "CURSOR_DIVERGED", text).with("position", cursor.position))
    }
}
