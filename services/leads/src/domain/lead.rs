//! A lead's life: given to somebody, answered, handed on at its deadline, converted or closed (I1–I5).

use chrono::{DateTime, TimeDelta, Utc};
use otdel_types::{ClientId, DealId, LeadId, PersonId, TeamId};

/// Where a lead stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum State {
    /// Nobody could take it.
    Pooled,
    /// It has an owner whose response clock runs.
    Assigned,
    /// The requester was reached.
    Contacted,
    /// It became a client's deal.
    Converted,
    /// It will not become a deal.
    Closed,
}

/// The way a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Channel {
    /// A phone call.
    Phone,
    /// An e-mail.
    Email,
    /// A social network or messenger.
    Social,
    /// The company's own site.
    Site,
    /// A visit to the office.
    WalkIn,
}

/// Whether an answer came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum ResponseResult {
    /// In time.
    Met,
    /// Late.
    Breached,
}

/// The way of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum ContactKind {
    /// A phone call.
    Call,
    /// An e-mail.
    Email,
    /// A message.
    Message,
    /// A meeting.
    Meeting,
}

/// What came of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum ContactOutcome {
    /// The requester was reached.
    Reached,
    /// The requester did not answer.
    NoAnswer,
}

/// Why a lead will not become a deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum CloseReason {
    /// Not a request to buy.
    Spam,
    /// The same request came twice.
    Duplicate,
    /// The requester does not want to buy.
    NoInterest,
    /// What is asked for is not sold here.
    NotOffered,
}

/// How soon a lead must be answered and how often it may change hands. Pinned on the lead: a new version moves no open
/// deadline (I5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlaPolicy {
    /// The version.
    pub version: i32,
    /// From an assignment to its deadline.
    pub respond_within: TimeDelta,
    /// How often a lead may be given to somebody.
    pub most_rounds: i32,
}

/// What a requester sent. Never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intake {
    /// The way it came in.
    pub channel: Channel,
    /// What brought the requester, in the source's own words.
    pub origin: String,
    /// The source's own reference, unique within the channel.
    pub source_ref: String,
    /// The requester's name.
    pub display_name: String,
    /// `+` and digits, or empty.
    pub phone: String,
    /// The e-mail address, or empty.
    pub email: String,
    /// What was asked.
    pub text: String,
}

/// Somebody who can hold leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who.
    pub person: PersonId,
    /// The person's team.
    pub team: TeamId,
}

/// A request from somebody who may buy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lead {
    /// Its id.
    pub id: LeadId,
    /// What was sent.
    pub intake: Intake,
    /// When the request was received.
    pub receive_time: DateTime<Utc>,
    /// Where it stands.
    pub state: State,
    /// Who answers for it; none while pooled.
    pub owner: Option<PersonId>,
    /// The owner's team; while pooled the team that had it last.
    pub team: Option<TeamId>,
    /// How often it was given to somebody.
    pub round: i32,
    /// When its owner got it.
    pub assign_time: Option<DateTime<Utc>>,
    /// When the owner must have answered; none when no clock runs.
    pub respond_by: Option<DateTime<Utc>>,
    /// When the requester was first reached.
    pub contact_time: Option<DateTime<Utc>>,
    /// Whether the owner answered in time, counted from the assignment.
    pub holder_result: Option<ResponseResult>,
    /// Whether the requester was answered in time, counted from the request.
    pub client_result: Option<ResponseResult>,
    /// Why it was closed.
    pub close_reason: Option<CloseReason>,
    /// The client it became.
    pub client: Option<ClientId>,
    /// The deal it became.
    pub deal: Option<DealId>,
    /// The policy pinned on it.
    pub sla_version: i32,
    /// Grows with every change.
    pub version: i64,
    /// When it was recorded.
    pub create_time: DateTime<Utc>,
    /// When it changed last.
    pub update_time: DateTime<Utc>,
}

/// Why a lead does not do what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its state does not allow it.
    #[error("a lead in this state cannot be {verb}")]
    WrongState {
        /// The state.
        state: State,
        /// What was asked.
        verb: &'static str,
    },
}

impl Lead {
    /// A new request, in the pool until somebody gets it.
    pub fn receive(intake: Intake, receive_time: DateTime<Utc>, policy: &SlaPolicy, now: DateTime<Utc>) -> Self {
        Self {
            id: LeadId::new(),
            intake,
            receive_time,
            state: State::Pooled,
            owner: None,
            team: None,
            round: 0,
            assign_time: None,
            respond_by: None,
            contact_time: None,
            holder_result: None,
            client_result: None,
            close_reason: None,
            client: None,
            deal: None,
            sla_version: policy.version,
            version: 1,
            create_time: now,
            update_time: now,
        }
    }

    /// Whether somebody holds it: it counts as one of their open leads.
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Assigned | State::Contacted)
    }

    /// Refuses where nobody can get it: it must be in the pool, or with an owner who has not answered.
    pub fn expect_assignable(&self) -> Result<(), Refusal> {
        match self.state {
            State::Pooled | State::Assigned => Ok(()),
            state => Err(Refusal::WrongState { state, verb: "assigned" }),
        }
    }

    /// Gives it to somebody with a fresh response clock. From the pool, or from an owner who has not answered.
    pub fn assign(self, to: Holder, policy: &SlaPolicy, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.expect_assignable()?;
        Ok(Self {
            state: State::Assigned,
            owner: Some(to.person),
            team: Some(to.team),
            round: self.round + 1,
            assign_time: Some(now),
            respond_by: Some(now + policy.respond_within),
            version: self.version + 1,
            update_time: now,
            ..self
        })
    }

    /// Takes it from an owner who let the deadline pass and puts it into the pool. The team stays, so that its head
    /// sees it.
    pub fn pool(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if self.state != State::Assigned {
            return Err(Refusal::WrongState { state: self.state, verb: "pooled" });
        }
        Ok(Self {
            state: State::Pooled,
            owner: None,
            assign_time: None,
            respond_by: None,
            version: self.version + 1,
            update_time: now,
            ..self
        })
    }

    /// Records a contact. The first that reached the requester stops the response clock for good and decides both
    /// results: the holder's from the assignment, the client's from the request (I3).
    pub fn contact(self, outcome: ContactOutcome, policy: &SlaPolicy, now: DateTime<Utc>) -> Result<Self, Refusal> {
        let first = match self.state {
            State::Assigned => outcome == ContactOutcome::Reached,
            State::Contacted => false,
            State::Pooled | State::Converted | State::Closed => {
                return Err(Refusal::WrongState { state: self.state, verb: "contacted" });
            }
        };
        let touched = Self { version: self.version + 1, update_time: now, ..self };
        if !first {
            return Ok(touched);
        }
        let met = |in_time: bool| Some(if in_time { ResponseResult::Met } else { ResponseResult::Breached });
        Ok(Self {
            state: State::Contacted,
            holder_result: met(touched.respond_by.is_none_or(|deadline| now <= deadline)),
            client_result: met(now - touched.receive_time <= policy.respond_within),
            contact_time: Some(now),
            respond_by: None,
            ..touched
        })
    }

    /// Who converts it: the owner of a lead whose requester was reached.
    pub fn converter(&self) -> Result<Holder, Refusal> {
        match (self.state, self.owner, self.team) {
            (State::Contacted, Some(person), Some(team)) => Ok(Holder { person, team }),
            _ => Err(Refusal::WrongState { state: self.state, verb: "converted" }),
        }
    }

    /// Notes what it became. From a lead whose requester was reached.
    pub fn convert(self, client: ClientId, deal: DealId, now: DateTime<Utc>) -> Result<Self, Refusal> {
        self.converter()?;
        Ok(Self {
            state: State::Converted,
            client: Some(client),
            deal: Some(deal),
            version: self.version + 1,
            update_time: now,
            ..self
        })
    }

    /// Closes a lead that will not become a deal.
    pub fn close(self, reason: CloseReason, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if matches!(self.state, State::Converted | State::Closed) {
            return Err(Refusal::WrongState { state: self.state, verb: "closed" });
        }
        Ok(Self {
            state: State::Closed,
            close_reason: Some(reason),
            respond_by: None,
            version: self.version + 1,
            update_time: now,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const POLICY: SlaPolicy = SlaPolicy { version: 1, respond_within: TimeDelta::seconds(3600), most_rounds: 4 };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn holder() -> Holder {
        Holder { person: PersonId::new(), team: TeamId::new() }
    }

    fn received() -> Lead {
        let intake = Intake {
            channel: Channel::Site,
            origin: "ads".into(),
            source_ref: "1".into(),
            display_name: "Ёлкин".into(),
            phone: "+74951234567".into(),
            email: String::new(),
            text: String::new(),
        };
        Lead::receive(intake, at(0), &POLICY, at(0))
    }

    fn assigned() -> Lead {
        received().assign(holder(), &POLICY, at(0)).unwrap()
    }

    #[test]
    fn an_answer_at_the_deadline_is_met_and_a_second_later_breached() {
        for (seconds, result) in
            [(3599, ResponseResult::Met), (3600, ResponseResult::Met), (3601, ResponseResult::Breached)]
        {
            let lead = assigned().contact(ContactOutcome::Reached, &POLICY, at(seconds)).unwrap();
            assert_eq!((lead.holder_result, lead.client_result), (Some(result), Some(result)), "{seconds} s");
            assert_eq!((lead.state, lead.respond_by), (State::Contacted, None));
        }
    }

    #[test]
    fn a_second_holder_may_meet_what_the_client_saw_breached() {
        let lead = assigned().assign(holder(), &POLICY, at(3600)).unwrap();
        let lead = lead.contact(ContactOutcome::Reached, &POLICY, at(4200)).unwrap();
        assert_eq!(lead.holder_result, Some(ResponseResult::Met));
        assert_eq!(lead.client_result, Some(ResponseResult::Breached));
    }

    #[test]
    fn nobody_reached_leaves_the_clock_running() {
        let lead = assigned();
        let after = lead.clone().contact(ContactOutcome::NoAnswer, &POLICY, at(10)).unwrap();
        assert_eq!((after.state, after.respond_by), (State::Assigned, lead.respond_by));
        assert_eq!(after.holder_result, None);
    }

    #[test]
    fn results_never_change_once_set() {
        let lead = assigned().contact(ContactOutcome::Reached, &POLICY, at(10)).unwrap();
        let again = lead.clone().contact(ContactOutcome::Reached, &POLICY, at(9999)).unwrap();
        assert_eq!((again.holder_result, again.contact_time), (lead.holder_result, lead.contact_time));
    }

    #[test]
    fn every_verb_refuses_the_states_it_does_not_start_from() {
        let contacted = assigned().contact(ContactOutcome::Reached, &POLICY, at(1)).unwrap();
        let converted = contacted.clone().convert(ClientId::new(), DealId::new(), at(2)).unwrap();
        let closed = assigned().close(CloseReason::Spam, at(2)).unwrap();
        for lead in [&contacted, &converted, &closed] {
            assert!(lead.expect_assignable().is_err());
            assert!(lead.clone().assign(holder(), &POLICY, at(3)).is_err());
            assert!(lead.clone().pool(at(3)).is_err());
        }
        for lead in [&received(), &converted, &closed] {
            assert!(lead.clone().contact(ContactOutcome::Reached, &POLICY, at(3)).is_err());
            assert!(lead.clone().convert(ClientId::new(), DealId::new(), at(3)).is_err());
        }
        assert!(converted.close(CloseReason::Spam, at(3)).is_err());
        assert!(closed.close(CloseReason::Spam, at(3)).is_err());
        assert!(assigned().convert(ClientId::new(), DealId::new(), at(3)).is_err());
    }

    proptest! {
        #[test]
        fn a_clock_runs_exactly_while_somebody_must_answer(steps in proptest::collection::vec(0_u8..6, 0..12)) {
            let mut lead = received();
            for (second, step) in steps.into_iter().enumerate() {
                let now = at(i64::try_from(second).unwrap() * 700);
                let next = match step {
                    0 => lead.clone().assign(holder(), &POLICY, now),
                    1 => lead.clone().contact(ContactOutcome::Reached, &POLICY, now),
                    2 => lead.clone().contact(ContactOutcome::NoAnswer, &POLICY, now),
                    3 => lead.clone().pool(now),
                    4 => lead.clone().convert(ClientId::new(), DealId::new(), now),
                    _ => lead.clone().close(CloseReason::NoInterest, now),
                };
                if let Ok(next) = next {
                    prop_assert_eq!(next.version, lead.version + 1);
                    lead = next;
                }
                prop_assert_eq!(lead.respond_by.is_some(), lead.state == State::Assigned);
                prop_assert_eq!(lead.owner.is_none(), lead.state == State::Pooled || (lead.state == State::Closed && lead.owner.is_none()));
                // What the table's constraints say too.
                let answered = matches!(lead.state, State::Contacted | State::Converted);
                prop_assert!(lead.contact_time.is_some() == answered || lead.state == State::Closed);
                prop_assert_eq!(lead.contact_time.is_some(), lead.holder_result.is_some());
                prop_assert_eq!(lead.contact_time.is_some(), lead.client_result.is_some());
                prop_assert_eq!(lead.client.is_some(), lead.state == State::Converted);
                prop_assert_eq!(lead.deal.is_some(), lead.state == State::Converted);
                prop_assert_eq!(lead.close_reason.is_some(), lead.state == State::Closed);
            }
        }
    }
}
