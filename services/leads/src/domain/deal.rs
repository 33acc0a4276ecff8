//! A deal's way through the stages of its pipeline, and its end (P1, P2, I8, I10).

use chrono::{DateTime, Utc};
use otdel_types::{ClientId, DealId, LeadId, Money, PersonId, PipelineId, TeamId};

use super::{
    lead::Holder,
    pipeline::{Gate, Pipeline},
};

/// Whether a deal is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum State {
    /// It goes through the stages.
    Open,
    /// The client bought.
    Won,
    /// The client did not buy.
    Lost,
}

/// Why a deal was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum LossReason {
    /// The price.
    Price,
    /// A competitor sold instead.
    Competitor,
    /// The client no longer wants it.
    NoNeed,
    /// The client stopped answering.
    NoAnswer,
    /// Another reason.
    Other,
}

/// Why a deal was lost, and to whom: a competitor is named exactly where one is the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    reason: LossReason,
    competitor: String,
}

/// A competitor is the reason and not named, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be given with the reason LOSS_REASON_COMPETITOR and with no other")]
pub struct CompetitorMismatch;

impl Loss {
    /// A loss for a reason. The competitor is empty where there is none.
    pub fn new(reason: LossReason, competitor: String) -> Result<Self, CompetitorMismatch> {
        if (reason == LossReason::Competitor) == competitor.trim().is_empty() {
            return Err(CompetitorMismatch);
        }
        Ok(Self { reason, competitor })
    }

    /// Why.
    pub fn reason(&self) -> LossReason {
        self.reason
    }

    /// To whom; empty where the reason is another.
    pub fn competitor(&self) -> &str {
        &self.competitor
    }
}

/// A gate that a fact of another service opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenGate {
    /// Which gate.
    pub kind: Gate,
    /// The fact, as `{service}/{event id}`.
    pub proof: String,
    /// When it opened.
    pub open_time: DateTime<Utc>,
}

/// A sale on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deal {
    /// Its id.
    pub id: DealId,
    /// Who buys.
    pub client: ClientId,
    /// The request it came from.
    pub lead: LeadId,
    /// Who answers for it.
    pub owner: PersonId,
    /// The owner's team.
    pub team: TeamId,
    /// The pipeline version that it goes through.
    pub pipeline: PipelineId,
    /// The id of the stage at which it stands.
    pub stage: String,
    /// Whether it is open.
    pub state: State,
    /// What the client wants to achieve; empty while unknown.
    pub need: String,
    /// What it is worth.
    pub amount: Option<Money>,
    /// The gates that facts of other services opened.
    pub open_gates: Vec<OpenGate>,
    /// When it was won.
    pub win_time: Option<DateTime<Utc>>,
    /// When it was lost.
    pub lose_time: Option<DateTime<Utc>>,
    /// Why it was lost.
    pub loss: Option<Loss>,
    /// Grows with every change.
    pub version: i64,
    /// When it was opened.
    pub create_time: DateTime<Utc>,
    /// When it changed last.
    pub update_time: DateTime<Utc>,
}

/// Why a deal does not do what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its state does not allow it.
    #[error("a deal in this state cannot be {verb}")]
    WrongState {
        /// The state.
        state: State,
        /// What was asked.
        verb: &'static str,
    },
    /// Another stage comes next.
    #[error("a deal enters the stages of its pipeline one after another")]
    StageSkipped {
        /// The id of the stage that comes next; none at the last.
        next: Option<String>,
    },
    /// Gates are shut, all of those that were asked for.
    #[error("gates of the deal are shut")]
    GatesShut(Vec<Gate>),
    /// An import met a pipeline version with gates.
    #[error("an import closes deals only in a pipeline version without gates")]
    PipelineHasGates,
}

impl Deal {
    /// A deal at the first stage of a pipeline. A pipeline without stages is never published, and the table refuses a deal
    /// at none.
    pub fn open(lead: LeadId, client: ClientId, owner: Holder, pipeline: &Pipeline, now: DateTime<Utc>) -> Self {
        Self {
            id: DealId::new(),
            client,
            lead,
            owner: owner.person,
            team: owner.team,
            pipeline: pipeline.id,
            stage: pipeline.stages.first().map(|first| first.id.clone()).unwrap_or_default(),
            state: State::Open,
            need: String::new(),
            amount: None,
            open_gates: Vec::new(),
            win_time: None,
            lose_time: None,
            loss: None,
            version: 1,
            create_time: now,
            update_time: now,
        }
    }

    fn expect_open(&self, verb: &'static str) -> Result<(), Refusal> {
        if self.state == State::Open { Ok(()) } else { Err(Refusal::WrongState { state: self.state, verb }) }
    }

    /// The same with a later version.
    fn touched(self, now: DateTime<Utc>) -> Self {
        Self { version: self.version + 1, update_time: now, ..self }
    }

    /// Whether a gate is open: what the deal says of itself, or a fact of another service.
    pub fn fulfils(&self, gate: Gate) -> bool {
        match gate {
            Gate::Need => !self.need.trim().is_empty(),
            Gate::Amount => self.amount.is_some(),
            Gate::ContractSigned | Gate::InvoiceIssued | Gate::Paid => {
                self.open_gates.iter().any(|open| open.kind == gate)
            }
        }
    }

    /// Refuses where one of the gates is shut, and names all that are.
    fn expect_gates(&self, gates: &[Gate]) -> Result<(), Refusal> {
        let shut: Vec<Gate> = gates.iter().copied().filter(|gate| !self.fulfils(*gate)).collect();
        if shut.is_empty() { Ok(()) } else { Err(Refusal::GatesShut(shut)) }
    }

    /// Records what the client needs and what the deal is worth.
    pub fn describe(self, need: String, amount: Money, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.expect_open("described")?;
        Ok(Self { need, amount: Some(amount), ..self }.touched(now))
    }

    /// Enters a stage: the one after the current, and only with its gates open.
    pub fn advance(self, stage: &str, pipeline: &Pipeline, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.expect_open("advanced")?;
        let next = pipeline.after(&self.stage);
        let Some(next) = next.filter(|next| next.id == stage) else {
            return Err(Refusal::StageSkipped { next: next.map(|next| next.id.clone()) });
        };
        self.expect_gates(&next.gates)?;
        Ok(Self { stage: next.id.clone(), ..self }.touched(now))
    }

    /// Wins at the last stage, where every gate of the pipeline is open: one may have shut again on the way.
    pub fn win(self, pipeline: &Pipeline, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.expect_open("won")?;
        if !pipeline.ends_with(&self.stage) {
            let next = pipeline.after(&self.stage).map(|next| next.id.clone());
            return Err(Refusal::StageSkipped { next });
        }
        self.expect_gates(&pipeline.gates())?;
        Ok(Self { state: State::Won, win_time: Some(now), ..self }.touched(now))
    }

    /// Wins what was won in another system, from any stage. A pipeline with gates is none that an import may go through:
    /// it would be a way around them.
    pub fn import_won(self, win_time: DateTime<Utc>, pipeline: &Pipeline, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.expect_open("won")?;
        if !pipeline.gates().is_empty() {
            return Err(Refusal::PipelineHasGates);
        }
        Ok(Self { state: State::Won, win_time: Some(win_time), ..self }.touched(now))
    }

    /// Loses it.
    pub fn lose(self, loss: Loss, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.expect_open("lost")?;
        Ok(Self { state: State::Lost, lose_time: Some(now), loss: Some(loss), ..self }.touched(now))
    }

    /// Notes that a fact opened a gate. None: it is open already, and its first proof stays. A fact is a fact, so a deal
    /// that has ended notes it too.
    pub fn open_gate(mut self, kind: Gate, proof: String, now: DateTime<Utc>) -> Option<Self> {
        if self.open_gates.iter().any(|open| open.kind == kind) {
            return None;
        }
        self.open_gates.push(OpenGate { kind, proof, open_time: now });
        Some(self.touched(now))
    }

    /// Notes that a fact took an open gate's ground away. None: it was not open.
    pub fn shut_gate(mut self, kind: Gate, now: DateTime<Utc>) -> Option<Self> {
        let before = self.open_gates.len();
        self.open_gates.retain(|open| open.kind != kind);
        (self.open_gates.len() < before).then(|| self.touched(now))
    }
}

#[cfg(test)]
mod tests;
