//! Builds the read model of the reports.

use chrono::{DateTime, Utc};
use otdel_runtime::{
    fault::Fault,
    follow::{Follower, Rebuild, Source, SourceEvent},
};
use otdel_types::Zone;
use sqlx::PgConnection;

use super::{billing, leads};
use crate::store;

/// The sources of the reports.
pub(crate) const SOURCES: &[Source] = &[Source::Leads, Source::Contracts, Source::Billing];

/// The follower that writes the read model. What it writes for an event depends on the events before it in the same feed
/// alone, so that builds are equal however the feeds interleave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reports {
    /// Decides to which date an instant belongs.
    pub(crate) zone: Zone,
}

/// An event about something that its feed has not told of before. Its effect would be lost if it were skipped.
#[derive(Debug, thiserror::Error)]
#[error("the event is about a lead or deal that the feed has not told of")]
struct Unheard;

#[tonic::async_trait]
impl Follower for Reports {
    fn name(&self) -> &'static str {
        "reporting"
    }

    fn sources(&self) -> &'static [Source] {
        SOURCES
    }

    async fn apply(
        &self,
        db: &mut PgConnection,
        generation: i64,
        event: &SourceEvent,
        _now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let position = event.envelope().map(|envelope| envelope.position).unwrap_or_default();
        match event {
            SourceEvent::Leads(event) => {
                let Some(change) = leads::change(event, self.zone).map_err(Fault::internal)? else { return Ok(()) };
                match store::lead_facts::apply(db, generation, position, &change).await? {
                    0 => Err(Fault::internal(Unheard)),
                    _ => Ok(()),
                }
            }
            SourceEvent::Billing(event) => {
                let Some(change) = billing::change(event, self.zone).map_err(Fault::internal)? else { return Ok(()) };
                Ok(store::billing_facts::apply(db, generation, position, &change).await?)
            }
            SourceEvent::Contracts(_) => Ok(()),
        }
    }

    fn rebuild(&self) -> Option<&dyn Rebuild> {
        Some(self)
    }
}

#[tonic::async_trait]
impl Rebuild for Reports {
    /// Computed from every row, because a rebuild is to find what was changed behind the back of what the database keeps.
    /// A build whose sums are not what its facts make is like no other build.
    async fn digest(&self, db: &mut PgConnection, generation: i64) -> Result<String, Fault> {
        let digest = store::build::recounted_digest(db, generation).await?;
        let mut wrong = store::build::wrong_sums(db, generation).await?;
        if store::build::digest(db, generation).await? != digest {
            wrong.push("content".into());
        }
        Ok(if wrong.is_empty() { digest } else { format!("{digest} with wrong {}", wrong.join(", ")) })
    }

    async fn discard(&self, db: &mut PgConnection, generation: i64) -> Result<(), Fault> {
        Ok(store::build::discard(db, generation).await?)
    }
}
