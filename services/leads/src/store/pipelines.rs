//! Statements about `leads.pipeline` and `leads.stage`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use otdel_types::{PipelineId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{
    deal::Deal,
    pipeline::{Gate, Pipeline, Stage},
};

struct Row {
    id: Uuid,
    code: String,
    version: i32,
    display_name: String,
    create_time: DateTime<Utc>,
}

/// Reads a pipeline version.
pub(crate) async fn get(db: &mut PgConnection, id: PipelineId) -> sqlx::Result<Option<Pipeline>> {
    let row = sqlx::query_as!(
        Row,
        "select id, code, version, display_name, create_time from leads.pipeline where id = $1",
        id.0,
    )
    .fetch_optional(&mut *db)
    .await?;
    Ok(with_stages(db, row.into_iter().collect()).await?.pop())
}

/// Reads the pipeline version that a deal goes through.
pub(crate) async fn of_deal(db: &mut PgConnection, deal: &Deal) -> sqlx::Result<Pipeline> {
    get(db, deal.pipeline).await?.ok_or(sqlx::Error::RowNotFound)
}

/// Reads the newest version of a code that has one.
pub(crate) async fn newest(db: &mut PgConnection, code: &str) -> sqlx::Result<Pipeline> {
    let row = sqlx::query_as!(
        Row,
        "select id, code, version, display_name, create_time from leads.pipeline
         where code = $1
         order by version desc
         limit 1",
        code,
    )
    .fetch_one(&mut *db)
    .await?;
    with_stages(db, vec![row]).await?.pop().ok_or(sqlx::Error::RowNotFound)
}

/// Lists pipeline versions, newest first, after the place that `after` names.
pub(crate) async fn list(db: &mut PgConnection, after: Option<&Token>, limit: i64) -> sqlx::Result<Vec<Pipeline>> {
    let rows = sqlx::query_as!(
        Row,
        "select id, code, version, display_name, create_time from leads.pipeline
         where $1::timestamptz is null or (create_time, id) < ($1, $2)
         order by create_time desc, id desc
         limit $3",
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(&mut *db)
    .await?;
    with_stages(db, rows).await
}

async fn with_stages(db: &mut PgConnection, rows: Vec<Row>) -> sqlx::Result<Vec<Pipeline>> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let found = sqlx::query!(
        r#"select pipeline_id, id, display_name, gates as "gates: Vec<Gate>" from leads.stage
           where pipeline_id = any($1)
           order by pipeline_id, place"#,
        &ids,
    )
    .fetch_all(db)
    .await?;
    let mut stages: HashMap<Uuid, Vec<Stage>> = HashMap::new();
    for row in found {
        let stage = Stage { id: row.id, display_name: row.display_name, gates: row.gates };
        stages.entry(row.pipeline_id).or_default().push(stage);
    }
    let pipeline = |row: Row| Pipeline {
        stages: stages.remove(&row.id).unwrap_or_default(),
        id: PipelineId(row.id),
        code: row.code,
        version: row.version,
        display_name: row.display_name,
        create_time: row.create_time,
    };
    Ok(rows.into_iter().map(pipeline).collect())
}

/// Keeps others from publishing until the transaction ends and tells which version of a code comes next. Readers go on.
pub(crate) async fn lock_next_version(db: &mut PgConnection, code: &str) -> sqlx::Result<i32> {
    sqlx::query!("lock table leads.pipeline in share row exclusive mode").execute(&mut *db).await?;
    sqlx::query_scalar!(r#"select coalesce(max(version), 0) + 1 as "next!" from leads.pipeline where code = $1"#, code)
        .fetch_one(db)
        .await
}

/// Writes a pipeline version with its stages.
pub(crate) async fn insert(db: &mut PgConnection, pipeline: &Pipeline) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into leads.pipeline (id, code, version, display_name, create_time) values ($1, $2, $3, $4, $5)",
        pipeline.id.0,
        pipeline.code,
        pipeline.version,
        pipeline.display_name,
        pipeline.create_time,
    )
    .execute(&mut *db)
    .await?;
    for (place, stage) in (0..).zip(&pipeline.stages) {
        sqlx::query!(
            "insert into leads.stage (pipeline_id, place, id, display_name, gates) values ($1, $2, $3, $4, $5)",
            pipeline.id.0,
            place,
            stage.id,
            stage.display_name,
            &stage.gates as &[Gate],
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
