//! Where a lot of new requests is taken in: what is looked at, decided and written for all of them together.

use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    outbox::{self, Change, Sealed},
};
use sqlx::PgConnection;

use super::{
    facts, present,
    submit_lead::{Answer, Asked},
};
use crate::{
    domain::{
        lead::{Lead, SlaPolicy},
        rota::Rota,
    },
    error::Error,
    store::{self, leads::Known},
};

/// What came of one of the requests.
#[expect(clippy::large_enum_variant, reason = "it lives as long as its lot, and most answers are large")]
pub(super) enum Outcome {
    /// It is answered already.
    Answered(Answer),
    /// It is the same call as an earlier one of the lot.
    SameAs(usize),
    /// It made a lead or had made one before.
    Lead(Found),
}

/// A lead of the desk.
#[derive(Clone, Copy)]
pub(super) struct Found {
    at: usize,
    again: bool,
}

/// What decides who gets new requests, and the leads that they made.
pub(super) struct Desk {
    policy: SlaPolicy,
    /// By request.
    known: Vec<Known>,
    rota: Rota,
    /// Those that were there before, then the new ones.
    leads: Vec<Lead>,
    /// How many were there before.
    old: usize,
    /// Which requests made the new ones.
    made_by: Vec<usize>,
}

impl Desk {
    /// Looks at what decides about a lot, and locks the rota.
    pub(super) async fn open(db: &mut PgConnection, lot: &[Asked]) -> sqlx::Result<Self> {
        let intakes: Vec<_> = lot.iter().map(|asked| &asked.ask.intake).collect();
        let (rota, policy) = store::people::open_rota_for_new(db).await?;
        // Turns are taken one after another, so nothing is submitted between this look and the insert.
        let known = store::leads::known(db, &intakes).await?;
        let ids: Vec<_> = known.iter().filter_map(|known| known.lead).map(|lead| lead.0).collect();
        let leads = if ids.is_empty() { Vec::new() } else { store::leads::in_order(db, &ids).await? };
        let old = leads.len();
        Ok(Self { policy, known, rota, leads, old, made_by: Vec::new() })
    }

    /// Decides about the request at this place of the lot: it comes again, or somebody gets it.
    pub(super) fn take_in(&mut self, at: usize, Asked { call, ask }: &Asked) -> Outcome {
        if let Some(before) = self.leads.iter().position(|lead| ask.is_of(lead)) {
            return match &self.leads[before] {
                lead if ask.repeats(lead) => Outcome::Lead(Found { at: before, again: true }),
                lead => Outcome::Answered(Err(Error::SourceRefTaken(lead.id))),
            };
        }
        let lead = Lead::receive(ask.intake.clone(), ask.receive_time.unwrap_or(call.now), &self.policy, call.now);
        let lead = match self.rota.give(self.known[at].owner, &[]) {
            Some(holder) => lead.assign(holder, &self.policy, call.now),
            None => Ok(lead),
        };
        match lead {
            Ok(lead) => {
                self.leads.push(lead);
                self.made_by.push(at);
                Outcome::Lead(Found { at: self.leads.len() - 1, again: false })
            }
            Err(refusal) => Outcome::Answered(Err(refusal.into())),
        }
    }

    /// Writes the new leads and the turns that they took.
    pub(super) async fn write(self, db: &mut PgConnection, lot: &[Asked]) -> Result<Written, Error> {
        let (old, new) = self.leads.split_at(self.old);
        let mut changes = Vec::with_capacity(self.leads.len());
        for lead in old {
            let first = outbox::first_about(db, "leads", &lead.id.to_string()).await?;
            changes.push(first.ok_or(sqlx::Error::RowNotFound)?);
        }
        let mut events = Vec::with_capacity(new.len());
        if !new.is_empty() {
            store::leads::insert(db, new, &self.rota).await?;
            let version = present::policy_version(self.policy.version);
            let act = |by: usize| lot[by].call.act().under(&version);
            let made = new.iter().zip(&self.made_by);
            events.extend(made.map(|(lead, by)| Sealed::new(&act(*by), facts::lead_submitted(lead))));
            changes.extend(events.iter().map(Sealed::change));
        }
        Ok(Written { leads: self.leads, changes, events })
    }
}

/// The leads of a lot, with the events that they began with.
pub(super) struct Written {
    leads: Vec<Lead>,
    changes: Vec<Change>,
    /// Those of the new ones, which are yet to be written.
    pub(super) events: Vec<Sealed>,
}

impl Written {
    /// The answer to a call. Whoever sends a request again that they may not read, or do not reach by now, has proved by
    /// the equal content to be its source, and is told its name, but not who works on it and what came of it.
    pub(super) fn answer(&self, call: &Call<pb::SubmitLeadRequest>, found: Found) -> pb::SubmitLeadResponse {
        let (lead, sight) = (&self.leads[found.at], present::Sight::of(&call.principal));
        let shown = if found.again && !store::leads::is_reached(&call.principal.scope("leads.read"), lead) {
            present::lead_for_source(lead.clone(), sight)
        } else {
            present::lead(lead.clone(), sight)
        };
        pb::SubmitLeadResponse { lead: Some(shown), change: self.changes[found.at].to_string() }
    }
}
