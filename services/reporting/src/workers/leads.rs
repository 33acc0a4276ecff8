//! Reads the facts of leads.

use otdel_api::leads::{self as pb, lead_event::Fact};
use otdel_runtime::violations::Violations;
use otdel_types::Zone;

use super::money;
use crate::domain::change::{Channel, LeadChange, NO_ORIGIN, OpenedDeal, ReceivedLead};

/// What an event changes in the read model; none for a fact that no report counts. An event that cannot be read is
/// refused and not skipped, because figures would be wrong from then on: a value that this build does not know holds the
/// reports up until reporting is upgraded too.
pub(super) fn change(event: &pb::LeadEvent, zone: Zone) -> Result<Option<LeadChange>, Violations> {
    let mut wrong = Violations::default();
    let change = match event.fact.as_ref() {
        Some(Fact::LeadSubmitted(fact)) => received(&mut wrong, fact, zone),
        Some(Fact::LeadAssigned(fact)) => given(&mut wrong, &fact.lead, &fact.to, &fact.team),
        Some(Fact::LeadReassigned(fact)) => given(&mut wrong, &fact.lead, &fact.to, &fact.team),
        Some(Fact::LeadPooled(fact)) => wrong.name("lead", &fact.lead).map(|lead| LeadChange::Pooled { lead }),
        Some(Fact::DealOpened(fact)) => opened(&mut wrong, fact, event, zone),
        Some(Fact::DealStageEntered(fact)) => stage_entered(&mut wrong, fact),
        Some(Fact::DealWon(fact)) => won(&mut wrong, fact, zone),
        Some(Fact::DealLost(fact)) => wrong.name("deal", &fact.deal).map(|deal| LeadChange::Lost { deal }),
        None
        | Some(
            Fact::LeadContacted(_)
            | Fact::LeadConverted(_)
            | Fact::LeadClosed(_)
            | Fact::ClientCreated(_)
            | Fact::ClientUpdated(_)
            | Fact::DealDescribed(_)
            | Fact::DealGateOpened(_)
            | Fact::DealGateShut(_)
            | Fact::PipelineCreated(_)
            | Fact::TeamCreated(_)
            | Fact::PersonCreated(_)
            | Fact::ShiftSet(_)
            | Fact::PrincipalCreated(_)
            | Fact::PrincipalUpdated(_)
            | Fact::PrincipalStateSet(_)
            | Fact::ApiKeyCreated(_)
            | Fact::ApiKeyUpdated(_)
            | Fact::ApiKeyRevoked(_),
        ) => return Ok(None),
    };
    wrong.into_result().map(|()| change)
}

fn received(wrong: &mut Violations, fact: &pb::LeadSubmitted, zone: Zone) -> Option<LeadChange> {
    let lead = wrong.name("lead", &fact.lead);
    let received = wrong.instant("receive_time", fact.receive_time.as_ref());
    let channel = wrong.choice("channel", fact.channel).and_then(channel);
    let owner = wrong.optional_name("owner", &fact.owner);
    let team = wrong.optional_name("team", &fact.team);
    let origin = if fact.origin.is_empty() { NO_ORIGIN } else { &fact.origin };
    Some(LeadChange::Received(ReceivedLead {
        lead: lead?,
        date: zone.date_of(received?),
        channel: channel?,
        origin: origin.to_owned(),
        owner: owner?,
        team: team?,
    }))
}

fn given(wrong: &mut Violations, lead: &str, owner: &str, team: &str) -> Option<LeadChange> {
    let lead = wrong.name("lead", lead);
    let owner = wrong.name("to", owner);
    let team = wrong.name("team", team);
    Some(LeadChange::Given { lead: lead?, owner: owner?, team: team? })
}

fn opened(wrong: &mut Violations, fact: &pb::DealOpened, event: &pb::LeadEvent, zone: Zone) -> Option<LeadChange> {
    let deal = wrong.name("deal", &fact.deal);
    let lead = wrong.name("lead", &fact.lead);
    let owner = wrong.name("owner", &fact.owner);
    let team = wrong.name("team", &fact.team);
    let pipeline = wrong.name("pipeline", &fact.pipeline);
    let stage = wrong.text("stage", &fact.stage, LONGEST_STAGE);
    let occurred = event.envelope.as_ref().and_then(|envelope| envelope.occur_time.as_ref());
    let opened = wrong.instant("envelope.occur_time", occurred);
    Some(LeadChange::Opened(OpenedDeal {
        deal: deal?,
        lead: lead?,
        owner: owner?,
        team: team?,
        pipeline: pipeline?,
        stage: stage?,
        date: zone.date_of(opened?),
    }))
}

fn stage_entered(wrong: &mut Violations, fact: &pb::DealStageEntered) -> Option<LeadChange> {
    let deal = wrong.name("deal", &fact.deal);
    let stage = wrong.text("to", &fact.to, LONGEST_STAGE);
    Some(LeadChange::StageEntered { deal: deal?, stage: stage? })
}

fn won(wrong: &mut Violations, fact: &pb::DealWon, zone: Zone) -> Option<LeadChange> {
    let deal = wrong.name("deal", &fact.deal);
    let won = wrong.instant("win_time", fact.win_time.as_ref());
    let amount = match fact.amount.as_ref() {
        None => Some(None),
        some => money(wrong, "amount", some).map(Some),
    };
    Some(LeadChange::Won { deal: deal?, date: zone.date_of(won?), amount: amount? })
}

/// Far more than leads lets a stage's id have, and far less than an index entry holds.
const LONGEST_STAGE: usize = 200;

fn channel(channel: pb::Channel) -> Option<Channel> {
    match channel {
        pb::Channel::Unspecified => None,
        pb::Channel::Phone => Some(Channel::Phone),
        pb::Channel::Email => Some(Channel::Email),
        pb::Channel::Social => Some(Channel::Social),
        pb::Channel::Site => Some(Channel::Site),
        pb::Channel::WalkIn => Some(Channel::WalkIn),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use otdel_api::{common, event::Envelope};
    use otdel_runtime::convert::timestamp;
    use otdel_types::{DealId, LeadId, Money, PersonId, PipelineId, TeamId};

    use super::*;

    fn moscow() -> Zone {
        "Europe/Moscow".parse().unwrap()
    }

    /// The last half hour of a year in UTC, when Moscow has the next one.
    fn late() -> DateTime<Utc> {
        "2025-12-31T23:30:00Z".parse().unwrap()
    }

    fn read(fact: impl Into<pb::LeadEvent>) -> Result<Option<LeadChange>, Violations> {
        let envelope = Envelope { occur_time: Some(timestamp(late())), ..Envelope::default() };
        change(&pb::LeadEvent { envelope: Some(envelope), ..fact.into() }, moscow())
    }

    #[test]
    fn a_lead_is_of_the_business_zones_date_and_has_an_origin() {
        let (lead, owner, team) = (LeadId::new(), PersonId::new(), TeamId::new());
        let fact = pb::LeadSubmitted {
            lead: lead.to_string(),
            channel: pb::Channel::Site.into(),
            origin: String::new(),
            receive_time: Some(timestamp(late())),
            owner: owner.to_string(),
            team: team.to_string(),
            respond_by_time: None,
        };
        let Ok(Some(LeadChange::Received(received))) = read(fact.clone()) else { panic!("is not received") };
        assert_eq!(received.date.to_string(), "2026-01-01");
        assert_eq!(received.origin, "(missing)");
        assert_eq!((received.owner, received.team), (Some(owner), Some(team)));
        let pooled = pb::LeadSubmitted { owner: String::new(), team: String::new(), origin: "fair".into(), ..fact };
        let Ok(Some(LeadChange::Received(received))) = read(pooled) else { panic!("is not received") };
        assert_eq!((received.owner, received.team), (None, None));
        assert_eq!(received.origin, "fair");
    }

    #[test]
    fn a_lead_changes_hands_in_three_ways() {
        let (lead, owner, team) = (LeadId::new(), PersonId::new(), TeamId::new());
        let given = Ok(Some(LeadChange::Given { lead, owner, team }));
        let (to, in_team) = (owner.to_string(), team.to_string());
        let assigned =
            pb::LeadAssigned { lead: lead.to_string(), to: to.clone(), team: in_team.clone(), ..Default::default() };
        assert_eq!(read(assigned), given);
        let reassigned = pb::LeadReassigned { lead: lead.to_string(), to, team: in_team, ..Default::default() };
        assert_eq!(read(reassigned), given);
        let pooled = pb::LeadPooled { lead: lead.to_string(), ..Default::default() };
        assert_eq!(read(pooled), Ok(Some(LeadChange::Pooled { lead })));
    }

    #[test]
    fn a_deal_is_opened_moved_won_and_lost() {
        let deal = DealId::new();
        let (lead, owner, team, pipeline) = (LeadId::new(), PersonId::new(), TeamId::new(), PipelineId::new());
        let fact = pb::DealOpened {
            deal: deal.to_string(),
            lead: lead.to_string(),
            owner: owner.to_string(),
            team: team.to_string(),
            pipeline: pipeline.to_string(),
            stage: "qualified".into(),
            ..Default::default()
        };
        let date = "2026-01-01".parse().unwrap();
        let stage = "qualified".to_owned();
        let opened = OpenedDeal { deal, lead, owner, team, pipeline, stage, date };
        assert_eq!(read(fact), Ok(Some(LeadChange::Opened(opened))));
        let entered = pb::DealStageEntered { deal: deal.to_string(), to: "paid".into(), ..Default::default() };
        assert_eq!(read(entered), Ok(Some(LeadChange::StageEntered { deal, stage: "paid".into() })));
        let amount = common::Money { currency_code: "RUB".into(), units: 10, nanos: 500_000_000 };
        let won = pb::DealWon { deal: deal.to_string(), win_time: Some(timestamp(late())), amount: Some(amount) };
        let worth = Money { minor: 1_050, currency: otdel_types::Currency::RUB };
        assert_eq!(read(won.clone()), Ok(Some(LeadChange::Won { deal, date, amount: Some(worth) })));
        let unknown = pb::DealWon { amount: None, ..won };
        assert_eq!(read(unknown), Ok(Some(LeadChange::Won { deal, date, amount: None })));
        let lost = pb::DealLost { deal: deal.to_string(), ..Default::default() };
        assert_eq!(read(lost), Ok(Some(LeadChange::Lost { deal })));
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_every_field() {
        let fields = |fact: pb::LeadEvent| {
            let wrong = change(&fact, moscow()).expect_err("cannot be read");
            wrong.0.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
        };
        let submitted = pb::LeadSubmitted { channel: 99, owner: "me".into(), ..Default::default() };
        assert_eq!(fields(submitted.into()), ["lead", "receive_time", "channel", "owner"]);
        let opened = pb::DealOpened::default();
        let all = ["deal", "lead", "owner", "team", "pipeline", "stage", "envelope.occur_time"];
        assert_eq!(fields(opened.into()), all);
        let amount = Some(common::Money { currency_code: "RUR".into(), units: 1, nanos: 0 });
        let won = pb::DealWon { deal: DealId::new().to_string(), win_time: None, amount };
        assert_eq!(fields(won.into()), ["win_time", "amount"]);
    }

    #[test]
    fn other_facts_change_nothing() {
        assert_eq!(read(pb::ShiftSet::default()), Ok(None));
        assert_eq!(read(pb::LeadEvent::default()), Ok(None));
    }
}
