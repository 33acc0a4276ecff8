//! One transaction: events, their effects and the cursor after them.

use chrono::{DateTime, Utc};
use otdel_api::event::Envelope;
use sqlx::{Connection as _, PgConnection};

use super::{
    Following, Source, SourceEvent,
    store::{self, At, Step},
};
use crate::fault::Fault;

/// Which build reads which source.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) following: Following,
    pub(super) source: Source,
    pub(super) generation: i64,
    /// Whether the build is to be the live one at every commit. A build beside it is not.
    pub(super) live: bool,
}

/// Why a batch was not applied. Nothing of it was written.
#[derive(Debug)]
pub(super) enum Refused {
    /// Another consumer has moved the cursor, or another build is live: look again where things stand.
    Moved,
    /// An event's effect failed.
    Event {
        /// Its place in the batch.
        at: usize,
        /// Why.
        fault: Fault,
    },
    /// The transaction failed.
    Fault(Fault),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl Reader {
    /// Applies events that follow `at` without a gap, and moves `at` behind them.
    ///
    /// The cursor moves first: of two consumers that believe to be the only one, the second waits there for the first
    /// and then finds the cursor moved, before it has done anything.
    pub(super) async fn apply(
        &self,
        db: &mut PgConnection,
        at: &mut At,
        events: &[SourceEvent],
    ) -> Result<(), Refused> {
        let Some(last) = events.last().and_then(SourceEvent::envelope) else { return Ok(()) };
        let (core, name) = (&self.following.0.core, self.following.name());
        let mut tx = db.begin().await?;
        if self.live && store::lock_live(&mut tx, name).await? != Some(self.generation) {
            return Err(Refused::Moved);
        }
        let occur_time = occurred(last);
        let step = Step { from: at.position, to: last.position, token: &last.cursor, occur_time };
        if !store::advance(&mut tx, name, self.generation, self.source, &step).await? {
            return Err(Refused::Moved);
        }
        for (place, event) in events.iter().enumerate() {
            let applied = self.apply_one(&mut tx, event).await;
            applied.map_err(|fault| Refused::Event { at: place, fault })?;
        }
        core.commit(tx).await.map_err(Refused::Fault)?;
        if self.live {
            self.following.0.seen.read(self.source, last.position);
        }
        *at = At { position: last.position, token: last.cursor.clone() };
        self.measure(events.len(), last.position, occur_time);
        Ok(())
    }

    async fn apply_one(&self, db: &mut PgConnection, event: &SourceEvent) -> Result<(), Fault> {
        let envelope = event.envelope();
        if event.fact_type().is_empty() {
            let (kind, position) = envelope.map_or(("", 0), |envelope| (envelope.r#type.as_str(), envelope.position));
            let (follower, source) = (self.following.name(), self.source.name());
            tracing::warn!(follower, source, position, event.r#type = kind, "fact of a newer release skipped");
            return Ok(());
        }
        // A reaction is never earlier than what it answers, whatever the clocks of two machines say.
        let now = self.following.0.core.clock.now().max(envelope.and_then(occurred).unwrap_or_default());
        self.following.0.follower.apply(db, self.generation, event, now).await
    }

    /// Says where the live build stands.
    pub(super) fn place(&self, position: i64) {
        let labels = [("follower", self.following.name()), ("source", self.source.name())];
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float; positions stay below 2^53")]
        metrics::gauge!("otdel_follow_position", &labels).set(position as f64);
    }

    fn measure(&self, events: usize, position: i64, occur_time: Option<DateTime<Utc>>) {
        let labels = [("follower", self.following.name()), ("source", self.source.name())];
        metrics::counter!("otdel_follow_events_total", &labels).increment(events as u64);
        if !self.live {
            return;
        }
        self.place(position);
        if let Some(occur_time) = occur_time {
            let age = (self.following.0.core.clock.now() - occur_time).to_std().unwrap_or_default();
            metrics::histogram!("otdel_follow_lag_seconds", &labels).record(age.as_secs_f64());
        }
    }
}

fn occurred(envelope: &Envelope) -> Option<DateTime<Utc>> {
    let time = envelope.occur_time?;
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}
