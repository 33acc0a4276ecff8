//! Statements about `leads.person` and `leads.rota`.

use chrono::{DateTime, TimeDelta, Utc};
use otdel_runtime::scope::Scope;
use otdel_types::{PersonId, TeamId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{
    lead::SlaPolicy,
    rota::{Candidate, Rota},
    staff::Person,
};

struct Row {
    id: Uuid,
    display_name: String,
    team_id: Uuid,
    on_shift: bool,
    capacity: i32,
    open_leads: i32,
    version: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
}

impl From<Row> for Person {
    fn from(row: Row) -> Self {
        Self {
            id: PersonId(row.id),
            display_name: row.display_name,
            team: TeamId(row.team_id),
            on_shift: row.on_shift,
            capacity: row.capacity,
            open_leads: row.open_leads,
            version: row.version,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

/// Reads a person whom `scope` reaches: themselves, or as one of a team.
pub(crate) async fn get(db: &mut PgConnection, scope: &Scope, id: PersonId) -> sqlx::Result<Option<Person>> {
    let row = sqlx::query_as!(
        Row,
        "select id, display_name, team_id, on_shift, capacity, open_leads, version, create_time, update_time
         from leads.person
         where id = $1 and ($2 or id = $3 or team_id = any($4))",
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Person::from))
}

/// Reads a person whom `scope` reaches and holds the row until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, scope: &Scope, id: PersonId) -> sqlx::Result<Option<Person>> {
    // `no key`: rows that point at the person are written meanwhile.
    let row = sqlx::query_as!(
        Row,
        "select id, display_name, team_id, on_shift, capacity, open_leads, version, create_time, update_time
         from leads.person
         where id = $1 and ($2 or id = $3 or team_id = any($4))
         for no key update",
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Person::from))
}

/// Lists people whom `scope` reaches, newest first, after the place that `after` names.
pub(crate) async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    team: Option<TeamId>,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Person>> {
    let rows = sqlx::query_as!(
        Row,
        "select id, display_name, team_id, on_shift, capacity, open_leads, version, create_time, update_time
         from leads.person
         where ($1 or id = $2 or team_id = any($3))
           and ($4::uuid is null or team_id = $4)
           and ($5::timestamptz is null or (create_time, id) < ($5, $6))
         order by create_time desc, id desc
         limit $7",
        scope.all,
        scope.me,
        &scope.teams,
        team.map(|team| team.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Person::from).collect())
}

/// Writes a new person.
pub(crate) async fn insert(db: &mut PgConnection, person: &Person) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into leads.person (id, display_name, team_id, on_shift, capacity, open_leads, last_turn, version,
             create_time, update_time)
         values ($1, $2, $3, $4, $5, $6, 0, $7, $8, $8)",
        person.id.0,
        person.display_name,
        person.team.0,
        person.on_shift,
        person.capacity,
        person.open_leads,
        person.version,
        person.create_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes a person's shift.
pub(crate) async fn save_shift(db: &mut PgConnection, person: &Person) -> sqlx::Result<()> {
    sqlx::query!(
        "update leads.person set on_shift = $2, capacity = $3, version = $4, update_time = $5 where id = $1",
        person.id.0,
        person.on_shift,
        person.capacity,
        person.version,
        person.update_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Waits for the rota and reads who is on shift. Turns are taken one after another, so under its lock nobody's count
/// grows meanwhile; it may shrink, which only makes room.
pub(crate) async fn open_rota(db: &mut PgConnection) -> sqlx::Result<Rota> {
    let turn = sqlx::query_scalar!("select turn from leads.rota for update").fetch_one(&mut *db).await?;
    Ok(Rota::new(turn, on_shift(db).await?))
}

/// The same, with the response policy that new leads get, in one statement unless somebody else had the rota.
///
/// A statement that waits for the lock locks the row as it is after the wait, and sees everything else as it was before. That
/// nobody had the rota meanwhile shows where the version of the row that it locked is the one that it saw.
pub(crate) async fn open_rota_for_new(db: &mut PgConnection) -> sqlx::Result<(Rota, SlaPolicy)> {
    let rows = sqlx::query!(
        r#"with rota as materialized (select turn, xmin as written_by from leads.rota for update)
           select rota.turn, rota.written_by = (select xmin from leads.rota) as "is_current!", policy.version,
                  policy.respond_within_s, policy.most_rounds, person.id as "id?", person.team_id as "team_id?",
                  person.open_leads as "open_leads?", person.capacity as "capacity?", person.last_turn as "last_turn?"
           from rota
           cross join (select * from leads.sla_policy order by version desc limit 1) as policy
           left join leads.person on on_shift"#
    )
    .fetch_all(&mut *db)
    .await?;
    let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let (turn, is_current) = (first.turn, first.is_current);
    let policy = SlaPolicy {
        version: first.version,
        respond_within: TimeDelta::seconds(first.respond_within_s.into()),
        most_rounds: first.most_rounds,
    };
    if !is_current {
        return Ok((Rota::new(turn, on_shift(db).await?), policy));
    }
    let staff = rows.into_iter().filter_map(|row| {
        Some(Candidate {
            person: PersonId(row.id?),
            team: TeamId(row.team_id?),
            open_leads: row.open_leads?,
            capacity: row.capacity?,
            last_turn: row.last_turn?,
        })
    });
    Ok((Rota::new(turn, staff.collect()), policy))
}

/// Who can be given leads.
async fn on_shift(db: &mut PgConnection) -> sqlx::Result<Vec<Candidate>> {
    let rows = sqlx::query!("select id, team_id, open_leads, capacity, last_turn from leads.person where on_shift")
        .fetch_all(db)
        .await?;
    let staff = rows.into_iter().map(|row| Candidate {
        person: PersonId(row.id),
        team: TeamId(row.team_id),
        open_leads: row.open_leads,
        capacity: row.capacity,
        last_turn: row.last_turn,
    });
    Ok(staff.collect())
}

/// What turns did to people, as columns.
pub(super) struct Moves {
    pub(super) people: Vec<Uuid>,
    pub(super) leads: Vec<i32>,
    pub(super) turns: Vec<Option<i64>>,
}

impl Moves {
    pub(super) fn of(rota: &Rota) -> Self {
        let (people, moves): (_, Vec<_>) = rota.moves().iter().map(|(person, moved)| (person.0, *moved)).unzip();
        let (leads, turns) = moves.into_iter().map(|moved| (moved.leads, moved.last_turn)).unzip();
        Self { people, leads, turns }
    }
}

/// Writes the turns that were taken since the rota was opened.
pub(crate) async fn close_rota(db: &mut PgConnection, rota: &Rota) -> sqlx::Result<()> {
    let moves = Moves::of(rota);
    sqlx::query!(
        "with turned as (update leads.rota set turn = $1)
         update leads.person
         set open_leads = open_leads + moved.leads, last_turn = coalesce(moved.last_turn, person.last_turn)
         from unnest($2::uuid[], $3::integer[], $4::bigint[]) as moved (id, leads, last_turn)
         where person.id = moved.id",
        rota.turn(),
        &moves.people,
        &moves.leads,
        &moves.turns as &[Option<i64>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that a person no longer holds a lead.
pub(crate) async fn let_go(db: &mut PgConnection, person: PersonId) -> sqlx::Result<()> {
    sqlx::query!("update leads.person set open_leads = open_leads - 1 where id = $1", person.0).execute(db).await?;
    Ok(())
}
