//! Hands leads on at their deadlines and gives out what waits in the pool (I4).

use chrono::{DateTime, Utc};
use otdel_api::leads as pb;
use otdel_runtime::{
    call::Act,
    convert::timestamp,
    core::Core,
    fault::Fault,
    outbox::{self, Fact},
    worker::Due,
};
use otdel_types::PersonId;
use sqlx::PgConnection;

use crate::{
    domain::{
        lead::{Lead, Refusal, SlaPolicy},
        rota::Rota,
    },
    rpc::{facts, present},
    store,
};

/// How many leads a transaction hands on. Ten thousand deadlines at one instant are then a matter of seconds, and intake,
/// which waits for the rota meanwhile, of milliseconds.
const BATCH: i64 = 50;

/// The worker. The leads' row locks and the key of `lead_holder` make each deadline's effect happen once, whatever number of
/// replicas run and whichever dies.
#[derive(Debug)]
pub(crate) struct HandOn(pub(crate) Core);

#[tonic::async_trait]
impl Due for HandOn {
    fn name(&self) -> &'static str {
        "leads.hand_on"
    }

    async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Fault> {
        let mut db = self.0.background.acquire().await?;
        Ok(store::deadlines::next(&mut db).await?)
    }

    async fn run_due(&self, now: DateTime<Utc>) -> Result<usize, Fault> {
        let mut db = self.0.background.acquire().await?;
        if !store::deadlines::is_work_waiting(&mut db, now).await? {
            return Ok(0);
        }
        drop(db);
        let mut tx = self.0.begin_in_background().await?;
        let mut rota = store::people::open_rota(&mut tx).await?;
        let moved = match self.hand_on(&mut tx, &mut rota, now).await? {
            moved if moved.is_empty() => self.give_out(&mut tx, &mut rota, now).await?,
            moved => moved,
        };
        if moved.is_empty() {
            return Ok(0);
        }
        store::people::close_rota(&mut tx, &rota).await?;
        let leads: Vec<Lead> = moved.iter().map(|one| one.lead.clone()).collect();
        store::deadlines::save(&mut tx, &leads).await?;
        let facts = moved.iter().map(|one| (one.act.clone(), one.fact()));
        outbox::append_all(&mut tx, facts.collect()).await?;
        self.0.commit(tx).await?;
        for late in moved.iter().filter_map(|one| one.deadline) {
            metrics::histogram!("otdel_hand_on_lateness_seconds").record(lateness_seconds(now - late));
        }
        Ok(moved.len())
    }
}

impl HandOn {
    /// Takes leads from owners who let the deadline pass: to somebody who has not held them, or to the pool.
    async fn hand_on(&self, db: &mut PgConnection, rota: &mut Rota, now: DateTime<Utc>) -> Result<Vec<Moved>, Fault> {
        let leads = store::deadlines::claim_overdue(db, now, BATCH).await?;
        let (policies, holders) = (store::deadlines::policies(db).await?, store::deadlines::holders(db, &leads).await?);
        let mut moved = Vec::new();
        for lead in leads {
            let policy = policies.get(&lead.sla_version).ok_or(sqlx::Error::RowNotFound)?;
            let (from, deadline) = (lead.owner, lead.respond_by.unwrap_or(now));
            if let Some(from) = from {
                rota.let_go(from);
            }
            let may_move = lead.round < policy.most_rounds;
            let held = holders.get(&lead.id).map_or(&[] as &[PersonId], Vec::as_slice);
            let next = if may_move { rota.give(None, held) } else { None };
            let lead = match next {
                Some(holder) => lead.assign(holder, policy, now),
                None => lead.pool(now),
            };
            let lead = lead.map_err(impossible)?;
            let act = self.act(policy, now).due(deadline);
            moved.push(Moved { lead, from, deadline: Some(deadline), may_move, act });
        }
        Ok(moved)
    }

    /// Gives the leads that have waited longest in the pool to people who have not held them, as far as there is room.
    async fn give_out(&self, db: &mut PgConnection, rota: &mut Rota, now: DateTime<Utc>) -> Result<Vec<Moved>, Fault> {
        let leads = store::deadlines::claim_pooled(db, &rota.with_room(), BATCH).await?;
        let (policies, holders) = (store::deadlines::policies(db).await?, store::deadlines::holders(db, &leads).await?);
        let mut moved = Vec::new();
        for lead in leads {
            let policy = policies.get(&lead.sla_version).ok_or(sqlx::Error::RowNotFound)?;
            let held = holders.get(&lead.id).map_or(&[] as &[PersonId], Vec::as_slice);
            let Some(holder) = rota.give(None, held) else { continue };
            let lead = lead.assign(holder, policy, now).map_err(impossible)?;
            moved.push(Moved { lead, from: None, deadline: None, may_move: true, act: self.act(policy, now) });
        }
        Ok(moved)
    }

    fn act(&self, policy: &SlaPolicy, now: DateTime<Utc>) -> Act {
        Act::of_worker(&self.0, self.name(), now).under(present::policy_version(policy.version))
    }
}

/// A lead that changed hands.
struct Moved {
    /// As it is now.
    lead: Lead,
    /// Who held it.
    from: Option<PersonId>,
    /// The deadline that passed; none for a lead from the pool.
    deadline: Option<DateTime<Utc>>,
    /// Whether it had not reached its last round.
    may_move: bool,
    act: Act,
}

impl Moved {
    fn fact(&self) -> Fact<pb::LeadEvent> {
        let Some(deadline) = self.deadline else { return facts::lead_assigned(&self.lead, self.from) };
        let lateness_ms = (self.act.now - deadline).num_milliseconds();
        let (lead, from, deadline) = (self.lead.id.to_string(), present::name(self.from), Some(timestamp(deadline)));
        let fact = if let Some(to) = self.lead.owner {
            Fact::about(
                self.lead.id,
                pb::LeadReassigned {
                    lead,
                    from,
                    to: to.to_string(),
                    team: present::name(self.lead.team),
                    round: self.lead.round,
                    deadline,
                    lateness_ms,
                    respond_by_time: self.lead.respond_by.map(timestamp),
                },
            )
        } else {
            let reason = if self.may_move { "NO_CANDIDATE" } else { "HOP_LIMIT" }.to_owned();
            Fact::about(self.lead.id, pb::LeadPooled { lead, from, deadline, lateness_ms, reason })
        };
        let fact = fact.touches(present::name(self.from)).touches(present::name(self.lead.owner));
        fact.changed(facts::CHANGED_HANDS)
    }
}

/// The row was claimed in the state that the rule starts from.
fn impossible(refusal: Refusal) -> Fault {
    Fault::internal(refusal)
}

fn lateness_seconds(lateness: chrono::TimeDelta) -> f64 {
    lateness.to_std().unwrap_or_default().as_secs_f64()
}
