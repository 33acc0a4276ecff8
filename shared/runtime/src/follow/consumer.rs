//! The loop that keeps a live build up with one source.

use std::{pin::pin, time::Duration};

use sqlx::{Connection as _, PgConnection};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{
    Following, Source,
    batch::Reader,
    lane::{Lane, Stopped},
    store::{self, Step},
};
use crate::{clock, fault::Fault, session};

/// A process that is stopped loses its office after so long. One that works is heard from more often: with each event, and
/// with the word that a source sends after 15 s of silence.
///
/// It waits for the row of the live build longer than a rebuild may hold that, which is 3 s.
const SETTINGS: [(&str, &str); 2] = [("idle_session_timeout", "45s"), ("lock_timeout", "4s")];

/// How often the database hears of a consumer that waits for something else.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How often a replica asks whether it may take over.
const TURN: Duration = Duration::from_millis(250);

/// What can hold a follower up: the source, a gap in its feed, an event that cannot be applied, something here.
const TROUBLES: [&str; 4] = ["source", "gap", "event", "here"];

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);

/// A source that was away is read again within this time after it is back.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Follows one source until it is stopped, which it notices between its transactions. One replica does it at a time: the
/// one whose session holds the lock. The batches run in that very session, so to lose it is to stop; and were two of
/// them to run after all, the cursor lets through only one.
pub(super) async fn run(following: Following, source: Source, stop: CancellationToken) {
    let mut pause = SHORTEST_PAUSE;
    begin_at_zero(&following, source);
    while !stop.is_cancelled() {
        let mut consumer =
            Consumer { following: following.clone(), source, stop: stop.clone(), went_well: false, generation: 0 };
        let stopped = consumer.hold_office().await;
        if consumer.went_well {
            pause = SHORTEST_PAUSE;
        }
        if let Err(stopped) = stopped {
            consumer.tell(&stopped);
        }
        stop.run_until_cancelled(clock::pause(pause)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// What goes wrong is then seen as a step from 0.
fn begin_at_zero(following: &Following, source: Source) {
    let (follower, source) = (following.name(), source.name());
    metrics::counter!("otdel_follow_data_loss_total", "follower" => follower, "source" => source).increment(0);
    metrics::counter!("otdel_follow_digests_differ_total", "follower" => follower).increment(0);
    for reason in TROUBLES {
        metrics::counter!(
            "otdel_follow_troubles_total",
            "follower" => follower, "source" => source, "reason" => reason
        )
        .increment(0);
    }
}

struct Consumer {
    following: Following,
    source: Source,
    stop: CancellationToken,
    /// Whether anything was read or applied since the last pause.
    went_well: bool,
    /// The build that was followed last.
    generation: i64,
}

impl Consumer {
    /// Waits for its turn and follows until something goes wrong.
    async fn hold_office(&mut self) -> Result<(), Stopped> {
        let mut db = session::open(&self.following.0.core.db, &SETTINGS).await.map_err(Stopped::Here)?;
        let office = format!("otdel.follow/{}/{}", self.following.0.core.service, self.office());
        while !store::elect(&mut db, &office).await? {
            self.went_well = true;
            if self.stop.run_until_cancelled(clock::pause(TURN)).await.is_none() {
                return Ok(());
            }
        }
        while !self.stop.is_cancelled() {
            match self.follow(&mut db).await {
                // The source ends its streams once a minute, so that it may ask anew who reads: that is no failure.
                Err(Stopped::Source(status)) if reason(&status) == "REAUTHORIZE" => {}
                Err(Stopped::Source(status)) if status.code() == Code::DataLoss => {
                    self.begin_again(&mut db, &status).await?;
                }
                Err(Stopped::Moved) => tokio::task::yield_now().await,
                other => return other,
            }
        }
        Ok(())
    }

    fn office(&self) -> String {
        format!("{}/{}", self.following.name(), self.source.name())
    }

    /// Follows one stream to its end.
    async fn follow(&mut self, db: &mut PgConnection) -> Result<(), Stopped> {
        let name = self.following.name();
        let generation = store::prepare(db, name, self.following.0.follower.sources()).await?;
        self.generation = generation;
        let at = store::at(&mut *db, name, generation, self.source).await?;
        let reader = Reader { following: self.following.clone(), source: self.source, generation, live: true };
        // Said before anything comes, or a follower that is stuck from the start would look like one that is not there.
        reader.place(at.position);
        let mut lane = Lane::open(reader, at).await?;
        let mut pause = SHORTEST_PAUSE;
        while let Some(received) = self.stop.clone().run_until_cancelled(lane.receive()).await {
            received?;
            self.went_well = true;
            if lane.is_empty() {
                db.ping().await?;
            }
            match lane.apply(db, i64::MAX).await {
                Ok(()) => pause = SHORTEST_PAUSE,
                // Neither the session nor the stream is given up meanwhile: the source waits.
                Err(stopped) if stopped.leaves_the_session_whole() => {
                    self.tell(&stopped);
                    self.stop.clone().run_until_cancelled(clock::pause(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(stopped) => return Err(stopped),
            }
        }
        Ok(())
    }

    /// The source was restored to an earlier state, so that what was read of it is not what it holds. A read model is
    /// built again; a follower that only reacts reads again from the start, and its effects, being unique by what they
    /// are about, do not happen twice.
    async fn begin_again(&mut self, db: &mut PgConnection, status: &Status) -> Result<(), Stopped> {
        let (follower, source) = (self.following.name(), self.source.name());
        tracing::error!(
            follower,
            source,
            reason = reason(status),
            "source was restored to an earlier state, reading it again"
        );
        metrics::counter!("otdel_follow_data_loss_total", "follower" => follower, "source" => source).increment(1);
        if self.following.0.follower.rebuild().is_some() {
            let stop = self.stop.clone();
            return stop.run_until_cancelled(self.wait_for_rebuild(db)).await.unwrap_or(Ok(()));
        }
        let at = store::at(&mut *db, follower, self.generation, self.source).await?;
        let step = Step { from: at.position, to: 0, token: "", occur_time: None };
        store::advance(db, follower, self.generation, self.source, &step).await?;
        Ok(())
    }

    /// Waits for a later build than the one whose place the source refused, and keeps the office meanwhile.
    async fn wait_for_rebuild(&self, db: &mut PgConnection) -> Result<(), Stopped> {
        let mut rebuilt = pin!(self.following.rebuild_after_loss(self.generation));
        loop {
            match timeout(SIGN_OF_LIFE, &mut rebuilt).await {
                Ok(rebuilt) => return rebuilt.map(drop).map_err(Stopped::Here),
                Err(_) => db.ping().await?,
            }
        }
    }

    /// Says once, here where it is handled, why it does not go on. Never what an event carries.
    fn tell(&self, stopped: &Stopped) {
        let (follower, source) = (self.following.name(), self.source.name());
        let trouble = |reason: &str| {
            let labels =
                [("follower", follower.to_owned()), ("source", source.to_owned()), ("reason", reason.to_owned())];
            metrics::counter!("otdel_follow_troubles_total", &labels).increment(1);
        };
        match stopped {
            Stopped::Source(status) => {
                trouble("source");
                let (code, reason) = (status.code(), reason(status));
                tracing::warn!(follower, source, ?code, reason, "source cannot be read, trying again");
            }
            Stopped::Gap { wanted, found } => {
                trouble("gap");
                tracing::error!(follower, source, position = found, wanted, "source left out events");
            }
            Stopped::Event { position, kind, fault } => {
                trouble("event");
                let Fault { reason, cause, .. } = fault;
                tracing::warn!(
                    follower,
                    source,
                    position,
                    event.r#type = kind,
                    reason,
                    ?cause,
                    "event failed, trying again"
                );
            }
            Stopped::Here(fault) => {
                trouble("here");
                let Fault { reason, cause, .. } = fault;
                tracing::warn!(follower, source, reason, ?cause, "following failed, trying again");
            }
            Stopped::Moved => {}
        }
    }
}

/// The stable reason of a status. Empty where it has none.
pub(super) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}
