use otdel_api::leads as pb;
use otdel_runtime::convert::timestamp;

use super::gate;
use crate::domain::pipeline::{Pipeline, Stage};

pub(crate) fn pipeline(pipeline: &Pipeline) -> pb::Pipeline {
    pb::Pipeline {
        name: pipeline.id.to_string(),
        code: pipeline.code.clone(),
        version: pipeline.version,
        display_name: pipeline.display_name.clone(),
        stages: pipeline.stages.iter().map(stage).collect(),
        create_time: Some(timestamp(pipeline.create_time)),
    }
}

fn stage(stage: &Stage) -> pb::Stage {
    pb::Stage {
        id: stage.id.clone(),
        display_name: stage.display_name.clone(),
        gates: stage.gates.iter().map(|kind| gate(*kind).into()).collect(),
    }
}
