//! The rows of a report and how far the feeds had been read, as they were at one instant.

use otdel_api::reporting as pb;
use otdel_runtime::{call::Call, convert::timestamp, follow::Reached};
use sqlx::{PgConnection, Postgres, Transaction};

use super::present;
use crate::{Reporting, error::Error, store, workers::SOURCES};

const BEGIN: &str = "begin isolation level repeatable read read only; set local plan_cache_mode = force_custom_plan";

/// The live read model at one instant.
pub(super) struct Snapshot {
    tx: Transaction<'static, Postgres>,
    reached: Vec<Reached>,
}

impl Snapshot {
    /// Waits until the live read model includes the changes, then opens it.
    ///
    /// Between two statements of READ COMMITTED a batch of events could come in, or another build become the live one
    /// and the old one go: figures and freshness would not belong together. Statements are planned for each call: a plan
    /// for any arguments reads everything where the caller reaches little or asks for one client (3 s instead of 80 ms
    /// were measured over a million invoices).
    pub(super) async fn open<T>(app: &Reporting, call: &Call<T>, at_least: &[String]) -> Result<Self, Error> {
        app.feeds.at_least(call, at_least).await?;
        let mut tx = app.core.begin_with(BEGIN).await?;
        let reached = app.feeds.reached(&mut *tx).await?;
        Ok(Self { tx, reached })
    }

    /// The connection, and the live build to read with it.
    pub(super) fn build(&mut self) -> (&mut PgConnection, i64) {
        // Before the follower has run for the first time, no build has any rows.
        let generation = self.reached.first().map_or(1, |reached| reached.generation);
        (&mut self.tx, generation)
    }

    /// Ends the transaction and tells which build it was, with its digest.
    pub(super) async fn prove(mut self) -> Result<pb::Projection, Error> {
        let (db, generation) = self.build();
        let digest = store::build::digest(db, generation).await?;
        self.tx.commit().await?;
        Ok(present::projection(generation, &self.reached, digest))
    }

    /// Ends the transaction and tells how far the sources had been read, in the order of their names.
    pub(super) async fn close(self) -> Result<Vec<pb::Freshness>, Error> {
        self.tx.commit().await?;
        let mut sources: Vec<_> = SOURCES.iter().map(|source| source.name()).collect();
        sources.sort_unstable();
        let freshness = |service: &'static str| {
            let reached = self.reached.iter().find(|reached| reached.source.name() == service);
            pb::Freshness {
                service: service.to_owned(),
                position: reached.map_or(0, |reached| reached.position),
                occur_time: reached.and_then(|reached| reached.occur_time).map(timestamp),
            }
        };
        Ok(sources.into_iter().map(freshness).collect())
    }
}
