//! Statements about leads whose deadline has passed and leads that wait in the pool, in sets.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use otdel_types::{LeadId, PersonId};
use sqlx::PgConnection;
use uuid::Uuid;

use super::leads::{self, column};
use crate::domain::lead::{Lead, SlaPolicy, State};

/// Tells the earliest response deadline.
pub(crate) async fn next(db: &mut PgConnection) -> sqlx::Result<Option<DateTime<Utc>>> {
    sqlx::query_scalar!("select min(respond_by_time) from leads.lead where respond_by_time is not null")
        .fetch_one(db)
        .await
}

/// Whether a lead can be claimed whose deadline has passed, or one in the pool for which somebody on shift has room. It
/// looks without the rota, so that a worker which finds nothing keeps nobody from taking turns; and it passes over locked
/// leads as the claims do, so that it finds nothing where they would. Only outside a transaction: a lead that it sees
/// would stay locked, and the rota comes before leads.
///
/// The earliest deadline is asked for, because without an order each look was planned as a walk over all leads that hopes for
/// one that is due: of 111,000, of which none was, 28 ms.
pub(crate) async fn is_work_waiting(db: &mut PgConnection, now: DateTime<Utc>) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (
                   select from leads.lead where respond_by_time <= $1
                   order by respond_by_time
                   limit 1
                   for update skip locked)
               or exists (
                   select from leads.lead l
                   join leads.sla_policy s on s.version = l.sla_version
                   where l.state = 'pooled' and l.round < s.most_rounds
                     and exists (
                         select from leads.person p
                         where p.on_shift and p.open_leads < p.capacity
                           and not exists (
                               select from leads.lead_holder h where h.lead_id = l.id and h.person_id = p.id))
                   limit 1
                   for update of l skip locked) as "waiting!""#,
        now,
    )
    .fetch_one(db)
    .await
}

/// Claims leads whose deadline has passed, the earliest first, leaving those that other transactions work on.
pub(crate) async fn claim_overdue(db: &mut PgConnection, now: DateTime<Utc>, limit: i64) -> sqlx::Result<Vec<Lead>> {
    let ids = sqlx::query_scalar!(
        "select id from leads.lead
         where respond_by_time <= $1
         order by respond_by_time, id
         limit $2
         for update skip locked",
        now,
        limit,
    )
    .fetch_all(&mut *db)
    .await?;
    leads::in_order(db, &ids).await
}

/// Claims leads that have waited longest in the pool, among those that one of these people has not held yet and that may
/// still change hands.
pub(crate) async fn claim_pooled(db: &mut PgConnection, people: &[PersonId], limit: i64) -> sqlx::Result<Vec<Lead>> {
    let people: Vec<Uuid> = people.iter().map(|person| person.0).collect();
    let ids = sqlx::query_scalar!(
        "select l.id from leads.lead l
         where l.state = 'pooled'
           and l.round < (select s.most_rounds from leads.sla_policy s where s.version = l.sla_version)
           and exists (
               select from unnest($1::uuid[]) as able (person_id)
               where not exists (
                   select from leads.lead_holder h where h.lead_id = l.id and h.person_id = able.person_id))
         order by l.create_time, l.id
         limit $2
         for update of l skip locked",
        &people,
        limit,
    )
    .fetch_all(&mut *db)
    .await?;
    leads::in_order(db, &ids).await
}

/// Reads who has held these leads.
pub(crate) async fn holders(db: &mut PgConnection, leads: &[Lead]) -> sqlx::Result<HashMap<LeadId, Vec<PersonId>>> {
    let ids: Vec<Uuid> = leads.iter().map(|lead| lead.id.0).collect();
    let rows = sqlx::query!("select lead_id, person_id from leads.lead_holder where lead_id = any($1)", &ids)
        .fetch_all(db)
        .await?;
    let mut holders: HashMap<LeadId, Vec<PersonId>> = HashMap::new();
    for row in rows {
        holders.entry(LeadId(row.lead_id)).or_default().push(PersonId(row.person_id));
    }
    Ok(holders)
}

/// Reads the response policies by version.
pub(crate) async fn policies(db: &mut PgConnection) -> sqlx::Result<HashMap<i32, SlaPolicy>> {
    let rows =
        sqlx::query!("select version, respond_within_s, most_rounds from leads.sla_policy").fetch_all(db).await?;
    let policy = |version, seconds: i32, most_rounds| SlaPolicy {
        version,
        respond_within: TimeDelta::seconds(seconds.into()),
        most_rounds,
    };
    let by_version = |version, seconds, rounds| (version, policy(version, seconds, rounds));
    Ok(rows.into_iter().map(|row| by_version(row.version, row.respond_within_s, row.most_rounds)).collect())
}

/// Writes what handing on changes of leads, and who holds them now.
pub(crate) async fn save(db: &mut PgConnection, leads: &[Lead]) -> sqlx::Result<()> {
    let ids: Vec<LeadId> = leads.iter().map(|lead| lead.id).collect();
    sqlx::query!(
        "update leads.lead
         set state = new.state, owner_id = new.owner_id, team_id = new.team_id, round = new.round,
             assign_time = new.assign_time, respond_by_time = new.respond_by_time, version = new.version,
             update_time = new.update_time
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::integer[], $6::timestamptz[],
                     $7::timestamptz[], $8::bigint[], $9::timestamptz[])
              as new (id, state, owner_id, team_id, round, assign_time, respond_by_time, version, update_time)
         where lead.id = new.id",
        &column(leads, |lead| lead.id.0),
        &column(leads, |lead| lead.state) as &[State],
        &column(leads, |lead| lead.owner.map(|owner| owner.0)) as &[Option<Uuid>],
        &column(leads, |lead| lead.team.map(|team| team.0)) as &[Option<Uuid>],
        &column(leads, |lead| lead.round),
        &column(leads, |lead| lead.assign_time) as &[Option<DateTime<Utc>>],
        &column(leads, |lead| lead.respond_by) as &[Option<DateTime<Utc>>],
        &column(leads, |lead| lead.version),
        &column(leads, |lead| lead.update_time),
    )
    .execute(&mut *db)
    .await?;
    leads::add_holders(db, &ids).await
}
