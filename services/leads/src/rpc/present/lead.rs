use otdel_api::leads as pb;
use otdel_runtime::convert::timestamp;

use super::{Sight, name};
use crate::domain::lead::{Channel, CloseReason, ContactKind, ContactOutcome, Lead, ResponseResult, State};

pub(crate) fn lead(lead: Lead, sight: Sight) -> pb::Lead {
    let intake = lead.intake;
    pb::Lead {
        name: lead.id.to_string(),
        channel: channel(intake.channel).into(),
        origin: intake.origin,
        source_ref: sight.text(intake.source_ref),
        contact: Some(pb::LeadContact {
            display_name: sight.text(intake.display_name),
            phone: sight.text(intake.phone),
            email: sight.text(intake.email),
        }),
        text: sight.text(intake.text),
        receive_time: Some(timestamp(lead.receive_time)),
        state: lead_state(lead.state).into(),
        owner: name(lead.owner),
        team: lead.owner.and(lead.team).map(|team| team.to_string()).unwrap_or_default(),
        round: lead.round,
        assign_time: lead.assign_time.map(timestamp),
        respond_by_time: lead.respond_by.map(timestamp),
        contact_time: lead.contact_time.map(timestamp),
        holder_result: result(lead.holder_result).into(),
        client_result: result(lead.client_result).into(),
        client: name(lead.client),
        deal: name(lead.deal),
        policy_version: policy_version(lead.sla_version),
        create_time: Some(timestamp(lead.create_time)),
        update_time: Some(timestamp(lead.update_time)),
        etag: lead.version.to_string(),
    }
}

/// A lead for somebody who does not reach it and yet has sent it: its name and what was sent, without what came of it.
pub(crate) fn lead_for_source(lead: Lead, sight: Sight) -> pb::Lead {
    let pb::Lead { name, channel, origin, source_ref, contact, text, receive_time, create_time, .. } =
        self::lead(lead, sight);
    pb::Lead { name, channel, origin, source_ref, contact, text, receive_time, create_time, ..pb::Lead::default() }
}

/// How events and resources name a version of the response policy.
pub(crate) fn policy_version(version: i32) -> String {
    format!("sla/{version}")
}

pub(crate) fn channel(channel: Channel) -> pb::Channel {
    match channel {
        Channel::Phone => pb::Channel::Phone,
        Channel::Email => pb::Channel::Email,
        Channel::Social => pb::Channel::Social,
        Channel::Site => pb::Channel::Site,
        Channel::WalkIn => pb::Channel::WalkIn,
    }
}

pub(crate) fn lead_state(state: State) -> pb::lead::State {
    match state {
        State::Pooled => pb::lead::State::Pooled,
        State::Assigned => pb::lead::State::Assigned,
        State::Contacted => pb::lead::State::Contacted,
        State::Converted => pb::lead::State::Converted,
        State::Closed => pb::lead::State::Closed,
    }
}

pub(crate) fn result(result: Option<ResponseResult>) -> pb::ResponseResult {
    match result {
        None => pb::ResponseResult::Unspecified,
        Some(ResponseResult::Met) => pb::ResponseResult::Met,
        Some(ResponseResult::Breached) => pb::ResponseResult::Breached,
    }
}

pub(crate) fn contact_kind(kind: ContactKind) -> pb::ContactKind {
    match kind {
        ContactKind::Call => pb::ContactKind::Call,
        ContactKind::Email => pb::ContactKind::Email,
        ContactKind::Message => pb::ContactKind::Message,
        ContactKind::Meeting => pb::ContactKind::Meeting,
    }
}

pub(crate) fn contact_outcome(outcome: ContactOutcome) -> pb::ContactOutcome {
    match outcome {
        ContactOutcome::Reached => pb::ContactOutcome::Reached,
        ContactOutcome::NoAnswer => pb::ContactOutcome::NoAnswer,
    }
}

pub(crate) fn close_reason(reason: CloseReason) -> pb::CloseReason {
    match reason {
        CloseReason::Spam => pb::CloseReason::Spam,
        CloseReason::Duplicate => pb::CloseReason::Duplicate,
        CloseReason::NoInterest => pb::CloseReason::NoInterest,
        CloseReason::NotOffered => pb::CloseReason::NotOffered,
    }
}
