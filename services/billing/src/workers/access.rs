//! Who answers for which client and deal, as leads tells it.

use chrono::{DateTime, Utc};
use otdel_api::leads::lead_event::Fact;
use otdel_runtime::{
    fault::Fault,
    follow::{Follower, Rebuild, Source, SourceEvent},
    violations::Violations,
};
use sqlx::PgConnection;

use crate::{error::Error, store};

/// The follower that keeps billing.access.
#[derive(Debug)]
pub(crate) struct Access;

#[tonic::async_trait]
impl Follower for Access {
    fn name(&self) -> &'static str {
        "billing.access"
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
        let mut wrong = Violations::default();
        match &event.fact {
            Some(Fact::ClientCreated(fact)) => {
                let client = wrong.name("client", &fact.client);
                let (owner, team) = (wrong.name("owner", &fact.owner), wrong.name("team", &fact.team));
                let (Some(client), Some(owner), Some(team)) = (client, owner, team) else {
                    return Err(Error::Unreadable(wrong).into());
                };
                store::access::put_client(db, generation, client, owner, team).await?;
            }
            Some(Fact::DealOpened(fact)) => {
                let deal = wrong.name("deal", &fact.deal);
                let (owner, team) = (wrong.name("owner", &fact.owner), wrong.name("team", &fact.team));
                let (Some(deal), Some(owner), Some(team)) = (deal, owner, team) else {
                    return Err(Error::Unreadable(wrong).into());
                };
                store::access::put_deal(db, generation, deal, owner, team).await?;
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
impl Rebuild for Access {
    async fn digest(&self, db: &mut PgConnection, generation: i64) -> Result<String, Fault> {
        Ok(store::access::digest(db, generation).await?)
    }

    async fn discard(&self, db: &mut PgConnection, generation: i64) -> Result<(), Fault> {
        Ok(store::access::discard(db, generation).await?)
    }
}
