//! The statement of the funnel report.

use otdel_runtime::scope::Scope;
use otdel_types::PipelineId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ask::Filter;

/// A stage of the funnel.
#[derive(Clone, Debug)]
pub(crate) struct StageCount {
    /// The pipeline version.
    pub(crate) pipeline: PipelineId,
    /// The stage's id; `(won)` and `(lost)` for the ends.
    pub(crate) stage: String,
    /// How many deals ever entered it.
    pub(crate) entered: i64,
    /// How many stand there.
    pub(crate) standing: i64,
}

struct Row {
    pipeline_id: Uuid,
    stage: String,
    entered: i64,
    standing: i64,
}

impl From<Row> for StageCount {
    fn from(row: Row) -> Self {
        let Row { pipeline_id, stage, entered, standing } = row;
        Self { pipeline: PipelineId(pipeline_id), stage, entered, standing }
    }
}

/// Counts the deals of a build that `scope` reaches by stage: of each pipeline version the stages in the order in which
/// deals first reached them, whoever's deals, then the ends.
pub(crate) async fn count(
    db: &mut PgConnection,
    generation: i64,
    scope: &Scope,
    filter: &Filter,
    pipeline: Option<PipelineId>,
) -> sqlx::Result<Vec<StageCount>> {
    let (from, to) = super::months(filter);
    let rows = sqlx::query_as!(
        Row,
        r#"select pipeline_id, stage, entered as "entered!", standing as "standing!"
           from (select pipeline_id, part, stage, sum(entered)::bigint as entered, sum(standing)::bigint as standing
                 from reporting.stage_sum
                 where generation = $1 and whole = $10 and ($2 or owner_id = $3 or team_id = any($4))
                   and ($5::date is null or month >= $5) and ($6::date is null or month <= $6)
                   and ($7::uuid is null or owner_id = $7) and ($8::uuid is null or team_id = $8)
                   and ($9::uuid is null or pipeline_id = $9)
                 group by pipeline_id, part, stage
                 having sum(entered) > 0) as place
           order by pipeline_id, part, (select min(position) from reporting.stage_entry entry
                                        where entry.generation = $1 and entry.pipeline_id = place.pipeline_id
                                          and entry.stage = place.stage)"#,
        generation,
        scope.all,
        scope.me,
        &scope.teams,
        from,
        to,
        filter.owner.map(|owner| owner.0),
        filter.team.map(|team| team.0),
        pipeline.map(|pipeline| pipeline.0),
        super::is_whole(scope, filter),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(StageCount::from).collect())
}
