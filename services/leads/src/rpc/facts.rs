//! From domain values to facts that are written in more than one place, or that take more than a line.

use otdel_api::leads as pb;
use otdel_runtime::{convert::timestamp, outbox::Fact};
use otdel_types::{LeadId, PersonId};

use super::present;
use crate::domain::{
    client::Client,
    deal::Deal,
    lead::{ContactKind, ContactOutcome, Lead},
};

/// What a lead's fact says that it changed where the lead changed hands.
pub(crate) const CHANGED_HANDS: [&str; 3] = ["state", "owner", "respond_by_time"];

pub(crate) fn lead_submitted(lead: &Lead) -> Fact<pb::LeadEvent> {
    let fact = pb::LeadSubmitted {
        lead: lead.id.to_string(),
        channel: present::channel(lead.intake.channel).into(),
        origin: lead.intake.origin.clone(),
        receive_time: Some(timestamp(lead.receive_time)),
        owner: present::name(lead.owner),
        team: present::name(lead.team),
        respond_by_time: lead.respond_by.map(timestamp),
    };
    Fact::about(lead.id, fact).touches(present::name(lead.owner))
}

/// A lead was given to its owner, by `from` where somebody held it.
pub(crate) fn lead_assigned(lead: &Lead, from: Option<PersonId>) -> Fact<pb::LeadEvent> {
    let fact = pb::LeadAssigned {
        lead: lead.id.to_string(),
        from: present::name(from),
        to: present::name(lead.owner),
        team: present::name(lead.team),
        round: lead.round,
        respond_by_time: lead.respond_by.map(timestamp),
    };
    let fact = Fact::about(lead.id, fact).touches(present::name(from)).touches(present::name(lead.owner));
    fact.changed(CHANGED_HANDS)
}

/// A contact was recorded. `first` for the one that decided the response results.
pub(crate) fn lead_contacted(
    lead: &Lead,
    kind: ContactKind,
    outcome: ContactOutcome,
    first: bool,
) -> Fact<pb::LeadEvent> {
    let fact = pb::LeadContacted {
        lead: lead.id.to_string(),
        owner: present::name(lead.owner),
        kind: present::contact_kind(kind).into(),
        outcome: present::contact_outcome(outcome).into(),
        contact_time: Some(timestamp(lead.update_time)),
        holder_result: present::result(lead.holder_result.filter(|_| first)).into(),
        client_result: present::result(lead.client_result.filter(|_| first)).into(),
    };
    let changed: &[&str] = if first { &["state", "contact_time", "holder_result", "client_result"] } else { &[] };
    Fact::about(lead.id, fact).touches(present::name(lead.owner)).changed(changed.iter().copied())
}

/// A client was recorded from a lead's requester.
pub(crate) fn client_created(client: &Client, lead: LeadId) -> Fact<pb::LeadEvent> {
    let (name, owner, team) = (client.id.to_string(), client.owner.to_string(), client.team.to_string());
    Fact::about(client.id, pb::ClientCreated { client: name, owner, team }).touches(client.owner).touches(lead)
}

/// A lead became this deal.
pub(crate) fn lead_converted(deal: &Deal) -> Fact<pb::LeadEvent> {
    let (lead, client, name) = (deal.lead.to_string(), deal.client.to_string(), deal.id.to_string());
    let fact = Fact::about(deal.lead, pb::LeadConverted { lead, client, deal: name });
    fact.of_deal(deal.id).touches(deal.client).touches(deal.owner).changed(["state", "client", "deal"])
}

pub(crate) fn deal_opened(deal: &Deal) -> Fact<pb::LeadEvent> {
    let fact = pb::DealOpened {
        deal: deal.id.to_string(),
        client: deal.client.to_string(),
        lead: deal.lead.to_string(),
        owner: deal.owner.to_string(),
        team: deal.team.to_string(),
        pipeline: deal.pipeline.to_string(),
        stage: deal.stage.clone(),
    };
    about_deal(deal, fact).touches(deal.lead)
}

/// A fact about a deal: all of them belong to its timeline and touch the same resources.
pub(crate) fn about_deal(deal: &Deal, fact: impl Into<pb::LeadEvent>) -> Fact<pb::LeadEvent> {
    Fact::about(deal.id, fact).of_deal(deal.id).touches(deal.client).touches(deal.owner)
}
