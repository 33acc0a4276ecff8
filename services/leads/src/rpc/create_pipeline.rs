use otdel_api::leads as pb;
use otdel_runtime::{
    call::Call,
    idempotency,
    outbox::{self, Fact},
    violations::Violations,
};
use otdel_types::PipelineId;

use super::present;
use crate::{
    Leads,
    domain::pipeline::{Gate, Pipeline, Stage, is_code, repeated},
    error::Error,
    store,
};

/// The most stages of a pipeline.
const MOST_STAGES: usize = 20;

/// Publishes the next version of a pipeline's code. Deals that are open keep theirs (I5's rule, for pipelines).
pub(crate) async fn create_pipeline(
    app: Leads,
    call: Call<pb::CreatePipelineRequest>,
) -> Result<pb::CreatePipelineResponse, Error> {
    let CreatePipeline { code, display_name, stages } = CreatePipeline::try_from(&call.msg)?;

    let mut tx = app.core.begin().await?;
    if let Some(answered) = idempotency::claim(&mut tx, &call).await? {
        return Ok(answered);
    }
    let version = store::pipelines::lock_next_version(&mut tx, &code).await?;

    let pipeline = Pipeline { id: PipelineId::new(), code, version, display_name, stages, create_time: call.now };

    store::pipelines::insert(&mut tx, &pipeline).await?;
    let fact = pb::PipelineCreated { pipeline: pipeline.id.to_string(), code: pipeline.code.clone(), version };
    let change = outbox::append(&mut tx, &call.act(), Fact::<pb::LeadEvent>::about(pipeline.id, fact)).await?;
    let reply = pb::CreatePipelineResponse { pipeline: Some(present::pipeline(&pipeline)), change: change.to_string() };
    idempotency::finish(&mut tx, &call, &reply).await?;
    app.core.commit(tx).await?;
    Ok(reply)
}

struct CreatePipeline {
    code: String,
    display_name: String,
    stages: Vec<Stage>,
}

impl TryFrom<&pb::CreatePipelineRequest> for CreatePipeline {
    type Error = Violations;

    fn try_from(msg: &pb::CreatePipelineRequest) -> Result<Self, Violations> {
        let mut wrong = Violations::default();
        let request = wrong.request_id(&msg.request_id);
        let pipeline = wrong.message("pipeline", msg.pipeline.as_ref()).cloned().unwrap_or_default();
        let code = code(&mut wrong, "pipeline.code", &pipeline.code);
        let display_name = wrong.text("pipeline.display_name", pipeline.display_name.trim(), 200);
        if !(1..=MOST_STAGES).contains(&pipeline.stages.len()) {
            wrong.add("pipeline.stages", "must be 1 to 20");
        }
        if pipeline.stages.first().is_some_and(|first| !first.gates.is_empty()) {
            wrong.add("pipeline.stages[0].gates", "must be empty: deals begin at the first stage");
        }
        let ids: Vec<&str> = pipeline.stages.iter().map(|stage| stage.id.as_str()).collect();
        if repeated(&ids).is_some() {
            wrong.add("pipeline.stages", "must have different ids");
        }
        let stages = pipeline.stages.iter().take(MOST_STAGES).enumerate();
        let stages: Vec<Option<Stage>> =
            stages.map(|(at, one)| stage(&mut wrong, &format!("pipeline.stages[{at}]"), one)).collect();
        let stages: Option<Vec<Stage>> = stages.into_iter().collect();
        match (request, code, display_name, stages) {
            (Some(_), Some(code), Some(display_name), Some(stages)) => {
                wrong.into_result().map(|()| Self { code, display_name, stages })
            }
            _ => Err(wrong),
        }
    }
}

fn code(wrong: &mut Violations, field: &str, text: &str) -> Option<String> {
    let right = is_code(text).then(|| text.to_owned());
    wrong.take(
        field,
        right.ok_or("must be a lower-case letter, then lower-case letters, digits or _, at most 40 characters"),
    )
}

fn stage(wrong: &mut Violations, field: &str, stage: &pb::Stage) -> Option<Stage> {
    let id = code(wrong, &format!("{field}.id"), &stage.id);
    let display_name = wrong.text(&format!("{field}.display_name"), stage.display_name.trim(), 200);
    let gates = stage.gates.iter().take(MOST_STAGES).enumerate();
    let gates: Vec<Option<Gate>> =
        gates.map(|(at, kind)| wrong.choice(&format!("{field}.gates[{at}]"), *kind).and_then(gate)).collect();
    let gates: Option<Vec<Gate>> = gates.into_iter().collect();
    if gates.as_deref().is_some_and(|gates| repeated(gates).is_some()) {
        wrong.add(format!("{field}.gates"), "must name each gate once");
    }
    Some(Stage { id: id?, display_name: display_name?, gates: gates? })
}

fn gate(kind: pb::GateKind) -> Option<Gate> {
    match kind {
        pb::GateKind::Unspecified => None,
        pb::GateKind::Need => Some(Gate::Need),
        pb::GateKind::Amount => Some(Gate::Amount),
        pb::GateKind::ContractSigned => Some(Gate::ContractSigned),
        pb::GateKind::InvoiceIssued => Some(Gate::InvoiceIssued),
        pb::GateKind::Paid => Some(Gate::Paid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(gates: [&[pb::GateKind]; 2]) -> Result<CreatePipeline, Violations> {
        let stage = |(at, gates): (usize, &&[pb::GateKind])| pb::Stage {
            id: format!("stage_{at}"),
            display_name: "Stage".into(),
            gates: gates.iter().map(|kind| (*kind).into()).collect(),
        };
        let stages = gates.iter().enumerate().map(stage).collect();
        let pipeline = pb::Pipeline { code: "sale".into(), display_name: "Sale".into(), stages, ..Default::default() };
        let request_id = uuid::Uuid::now_v7().to_string();
        CreatePipeline::try_from(&pb::CreatePipelineRequest { request_id, pipeline: Some(pipeline) })
    }

    #[test]
    fn a_first_stage_has_no_gates() {
        assert!(parse([&[], &[pb::GateKind::Need]]).is_ok());
        let wrong = parse([&[pb::GateKind::Need], &[]]).err().unwrap();
        let fields: Vec<_> = wrong.0.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["pipeline.stages[0].gates"]);
    }
}
