use otdel_api::leads as pb;
use otdel_runtime::convert::{money, timestamp};

use super::Sight;
use crate::domain::{
    deal::{Deal, LossReason, OpenGate, State},
    pipeline::Gate,
};

pub(crate) fn deal(deal: &Deal, sight: Sight) -> pb::Deal {
    pb::Deal {
        name: deal.id.to_string(),
        client: deal.client.to_string(),
        lead: deal.lead.to_string(),
        owner: deal.owner.to_string(),
        team: deal.team.to_string(),
        pipeline: deal.pipeline.to_string(),
        stage: deal.stage.clone(),
        state: deal_state(deal.state).into(),
        need: sight.text(&deal.need),
        amount: deal.amount.map(money),
        open_gates: deal.open_gates.iter().map(open_gate).collect(),
        win_time: deal.win_time.map(timestamp),
        lose_time: deal.lose_time.map(timestamp),
        loss_reason: deal.loss.as_ref().map(|loss| loss_reason(loss.reason()).into()).unwrap_or_default(),
        create_time: Some(timestamp(deal.create_time)),
        update_time: Some(timestamp(deal.update_time)),
        etag: deal.version.to_string(),
    }
}

fn open_gate(open: &OpenGate) -> pb::Gate {
    pb::Gate { kind: gate(open.kind).into(), proof: open.proof.clone(), open_time: Some(timestamp(open.open_time)) }
}

pub(crate) fn deal_state(state: State) -> pb::deal::State {
    match state {
        State::Open => pb::deal::State::Open,
        State::Won => pb::deal::State::Won,
        State::Lost => pb::deal::State::Lost,
    }
}

pub(crate) fn gate(gate: Gate) -> pb::GateKind {
    match gate {
        Gate::Need => pb::GateKind::Need,
        Gate::Amount => pb::GateKind::Amount,
        Gate::ContractSigned => pb::GateKind::ContractSigned,
        Gate::InvoiceIssued => pb::GateKind::InvoiceIssued,
        Gate::Paid => pb::GateKind::Paid,
    }
}

pub(crate) fn loss_reason(reason: LossReason) -> pb::LossReason {
    match reason {
        LossReason::Price => pb::LossReason::Price,
        LossReason::Competitor => pb::LossReason::Competitor,
        LossReason::NoNeed => pb::LossReason::NoNeed,
        LossReason::NoAnswer => pb::LossReason::NoAnswer,
        LossReason::Other => pb::LossReason::Other,
    }
}
