//! Statements about `leads.team`.

use chrono::{DateTime, Utc};
use otdel_types::{TeamId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::staff::Team;

struct Row {
    id: Uuid,
    display_name: String,
    region_code: String,
    create_time: DateTime<Utc>,
}

impl From<Row> for Team {
    fn from(row: Row) -> Self {
        Self {
            id: TeamId(row.id),
            display_name: row.display_name,
            region_code: row.region_code,
            create_time: row.create_time,
        }
    }
}

/// Lists teams, newest first, after the place that `after` names.
pub(crate) async fn list(db: &mut PgConnection, after: Option<&Token>, limit: i64) -> sqlx::Result<Vec<Team>> {
    let rows = sqlx::query_as!(
        Row,
        "select id, display_name, region_code, create_time from leads.team
         where $1::timestamptz is null or (create_time, id) < ($1, $2)
         order by create_time desc, id desc
         limit $3",
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Team::from).collect())
}

/// Tells the first of these teams that does not exist.
pub(crate) async fn missing(db: &mut PgConnection, teams: &[TeamId]) -> sqlx::Result<Option<TeamId>> {
    let ids: Vec<Uuid> = teams.iter().map(|team| team.0).collect();
    let id = sqlx::query_scalar!(
        r#"select asked.id as "id!" from unnest($1::uuid[]) with ordinality as asked (id, place)
           where not exists (select from leads.team where team.id = asked.id)
           order by asked.place
           limit 1"#,
        &ids,
    )
    .fetch_optional(db)
    .await?;
    Ok(id.map(TeamId))
}

/// Writes a new team.
pub(crate) async fn insert(db: &mut PgConnection, team: &Team) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into leads.team (id, display_name, region_code, create_time) values ($1, $2, $3, $4)",
        team.id.0,
        team.display_name,
        team.region_code,
        team.create_time,
    )
    .execute(db)
    .await?;
    Ok(())
}
