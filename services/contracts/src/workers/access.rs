//! Follows leads: who answers for which deal, and which deals were lost.

use chrono::{DateTime, Utc};
use otdel_api::leads::{DealOpened, lead_event::Fact};
use otdel_runtime::{
    fault::Fault,
    follow::{Follower, Rebuild, Source, SourceEvent},
};
use otdel_types::BadName;
use sqlx::PgConnection;

use crate::store::{self, access::Access};

/// Keeps `contracts.access`. Contracts and orders belong to deals, so that a deal's owner, team and loss are all that it
/// needs; a client without a deal has nothing here.
#[derive(Debug)]
pub(crate) struct AccessFollower;

#[tonic::async_trait]
impl Follower for AccessFollower {
    fn name(&self) -> &'static str {
        "contracts.access"
    }

    fn sources(&self) -> &'static [Source] {
        &[Source::Leads]
    }

    async fn apply(
        &self,
        db: &mut PgConnection,
        generation: i64,
        event: &SourceEvent,
        _now: DateTime<Utc>,
    ) -> Result<(), Fault> {
        let SourceEvent::Leads(event) = event else { return Ok(()) };
        match &event.fact {
            Some(Fact::DealOpened(opened)) => {
                let access = read(opened).map_err(Fault::internal)?;
                store::access::note_fact(db, generation, &access).await?;
            }
            Some(Fact::DealLost(lost)) => {
                let deal = lost.deal.parse().map_err(|bad: BadName| Fault::internal(bad))?;
                store::access::note_lost(db, generation, deal).await?;
            }
            _ => {}
        }
        Ok(())
    }

    fn rebuild(&self) -> Option<&dyn Rebuild> {
        Some(self)
    }
}

#[tonic::async_trait]
impl Rebuild for AccessFollower {
    async fn digest(&self, db: &mut PgConnection, generation: i64) -> Result<String, Fault> {
        Ok(store::access::digest(db, generation).await?)
    }

    async fn discard(&self, db: &mut PgConnection, generation: i64) -> Result<(), Fault> {
        Ok(store::access::discard(db, generation).await?)
    }
}

fn read(opened: &DealOpened) -> Result<Access, BadName> {
    Ok(Access {
        deal: opened.deal.parse()?,
        client: opened.client.parse()?,
        owner: opened.owner.parse()?,
        team: opened.team.parse()?,
    })
}
