//! Statements about `leads.lead`, `leads.lead_holder`, `leads.contact` and `leads.sla_policy`.
//!
//! A lead that no team has had yet waits in the pool for any head of department: whoever reaches a team reaches it.

use std::{cmp::Reverse, collections::HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, DealId, LeadId, PersonId, TeamId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{
    lead::{Channel, CloseReason, ContactKind, ContactOutcome, Intake, Lead, ResponseResult, SlaPolicy, State},
    rota::Rota,
};

struct Row {
    id: Uuid,
    channel: Channel,
    origin: String,
    source_ref: String,
    display_name: String,
    phone: String,
    email: String,
    body: String,
    receive_time: DateTime<Utc>,
    state: State,
    owner_id: Option<Uuid>,
    team_id: Option<Uuid>,
    round: i32,
    assign_time: Option<DateTime<Utc>>,
    respond_by_time: Option<DateTime<Utc>>,
    contact_time: Option<DateTime<Utc>>,
    holder_result: Option<ResponseResult>,
    client_result: Option<ResponseResult>,
    close_reason: Option<CloseReason>,
    client_id: Option<Uuid>,
    deal_id: Option<Uuid>,
    sla_version: i32,
    version: i64,
    create_time: DateTime<Utc>,
    update_time: DateTime<Utc>,
}

/// The lead of a row with all columns, whatever else it has.
macro_rules! lead_of {
    ($row:expr) => {{
        let row = $row;
        Lead {
            id: LeadId(row.id),
            intake: Intake {
                channel: row.channel,
                origin: row.origin,
                source_ref: row.source_ref,
                display_name: row.display_name,
                phone: row.phone,
                email: row.email,
                text: row.body,
            },
            receive_time: row.receive_time,
            state: row.state,
            owner: row.owner_id.map(PersonId),
            team: row.team_id.map(TeamId),
            round: row.round,
            assign_time: row.assign_time,
            respond_by: row.respond_by_time,
            contact_time: row.contact_time,
            holder_result: row.holder_result,
            client_result: row.client_result,
            close_reason: row.close_reason,
            client: row.client_id.map(ClientId),
            deal: row.deal_id.map(DealId),
            sla_version: row.sla_version,
            version: row.version,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }};
}

impl From<Row> for Lead {
    fn from(row: Row) -> Self {
        lead_of!(row)
    }
}

/// Whether `scope` reaches a lead: the predicate of the statements below as a function.
pub(crate) fn is_reached(scope: &Scope, lead: &Lead) -> bool {
    scope.reaches(lead.owner, lead.team)
}

/// Reads the leads that are asked for, each by a scope of its own that has to reach it, in the same order.
pub(crate) async fn get_all(db: &mut PgConnection, asked: &[(Scope, LeadId)]) -> sqlx::Result<Vec<Option<Lead>>> {
    let ids: Vec<Uuid> = asked.iter().map(|(_, id)| id.0).collect();
    let leads: HashMap<LeadId, Lead> = in_order(db, &ids).await?.into_iter().map(|lead| (lead.id, lead)).collect();
    Ok(asked.iter().map(|(scope, id)| leads.get(id).filter(|lead| is_reached(scope, lead)).cloned()).collect())
}

/// Reads a lead that `scope` reaches and holds its row until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, scope: &Scope, id: LeadId) -> sqlx::Result<Option<Lead>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, channel as "channel: Channel", origin, source_ref, display_name, phone, email, body, receive_time,
                  state as "state: State", owner_id, team_id, round, assign_time, respond_by_time, contact_time,
                  holder_result as "holder_result: ResponseResult", client_result as "client_result: ResponseResult",
                  close_reason as "close_reason: CloseReason", client_id, deal_id, sla_version, version,
                  create_time, update_time
           from leads.lead
           where id = $1 and ($2 or owner_id = $3 or team_id = any($4) or (team_id is null and $4 <> '{}'))
           for update"#,
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Lead::from))
}

/// Lists leads that `scope` reaches, newest first, after the place that `after` names.
pub(crate) async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    state: Option<State>,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Lead>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, channel as "channel: Channel", origin, source_ref, display_name, phone, email, body, receive_time,
                  state as "state: State", owner_id, team_id, round, assign_time, respond_by_time, contact_time,
                  holder_result as "holder_result: ResponseResult", client_result as "client_result: ResponseResult",
                  close_reason as "close_reason: CloseReason", client_id, deal_id, sla_version, version,
                  create_time, update_time
           from leads.lead
           where ($1 or owner_id = $2 or team_id = any($3) or (team_id is null and $3 <> '{}'))
             and ($4::text is null or state = $4)
             and ($5::timestamptz is null or (create_time, id) < ($5, $6))
           order by create_time desc, id desc
           limit $7"#,
        scope.all,
        scope.me,
        &scope.teams,
        state as Option<State>,
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Lead::from).collect())
}

/// A page of an owner's leads.
#[derive(Clone, Debug)]
pub(crate) struct OfOwner {
    /// What the one who asks reaches.
    pub(crate) scope: Scope,
    /// The owner.
    pub(crate) owner: PersonId,
    /// Only leads in this state.
    pub(crate) state: Option<State>,
    /// After this place.
    pub(crate) after: Option<Token>,
    /// So many leads at most.
    pub(crate) limit: i64,
}

impl OfOwner {
    /// Whether the page is of all leads of the owner.
    pub(crate) fn is_whole(&self) -> bool {
        self.state.is_none() && (self.scope.all || self.scope.me == self.owner.0)
    }
}

/// Reads pages of owners' leads, newest first, each as far as its scope reaches, in the same order.
///
/// One plan serves any arguments: to plan for those of each call takes as long as to read a page. The server would find a
/// plan for just these cheaper, so `offset 0` keeps them from the planner, and the queries around the lists their lengths.
pub(crate) async fn list_of_owners(db: &mut PgConnection, asked: &[OfOwner]) -> sqlx::Result<Vec<Vec<Lead>>> {
    // An array has no rows of different lengths, so the teams of all scopes are one list, and each has a slice of it.
    let (mut teams, mut ends) = (Vec::new(), Vec::new());
    for one in asked {
        teams.extend(&one.scope.teams);
        ends.push(i32::try_from(teams.len()).unwrap_or(i32::MAX));
    }
    let rows = sqlx::query!(
        r#"select asked.place as "place!", lead.id, channel as "channel: Channel", origin, source_ref, display_name, phone, email,
                  body, receive_time, lead.state as "state: State", owner_id, team_id, round, assign_time, respond_by_time,
                  contact_time, holder_result as "holder_result: ResponseResult",
                  client_result as "client_result: ResponseResult", close_reason as "close_reason: CloseReason", client_id,
                  deal_id, sla_version, version, create_time, update_time
           from (select *, ($1::uuid[])[lag(slice_end, 1, 0) over (order by place) + 1 : slice_end] as teams
                 from unnest((select $2::integer[]), (select $3::uuid[]), (select $4::boolean[]), (select $5::uuid[]),
                             (select $6::text[]), (select $7::timestamptz[]), (select $8::uuid[]), (select $9::bigint[]))
                      with ordinality as given (slice_end, owner, everything, me, state, before, before_id, most, place)
                 offset 0) as asked
           cross join lateral (
               select * from leads.lead
               where owner_id = asked.owner
                 and (everything or owner_id = me or team_id = any(teams) or (team_id is null and teams <> '{}'))
                 and (asked.state is null or lead.state = asked.state)
                 and (create_time, id) < (coalesce(before, 'infinity'), before_id)
               order by create_time desc, id desc
               limit most) as lead"#,
        &teams,
        &ends,
        &asked.iter().map(|one| one.owner.0).collect::<Vec<_>>(),
        &asked.iter().map(|one| one.scope.all).collect::<Vec<_>>(),
        &asked.iter().map(|one| one.scope.me).collect::<Vec<_>>(),
        &asked.iter().map(|one| one.state).collect::<Vec<_>>() as &[Option<State>],
        &asked.iter().map(|one| one.after.map(|after| after.created)).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        &asked.iter().map(|one| one.after.map_or(Uuid::max(), |after| after.id)).collect::<Vec<_>>(),
        &asked.iter().map(|one| one.limit).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    let mut pages: Vec<Vec<Lead>> = asked.iter().map(|_| Vec::new()).collect();
    for row in rows {
        let page = usize::try_from(row.place - 1).ok().and_then(|at| pages.get_mut(at));
        page.ok_or(sqlx::Error::RowNotFound)?.push(lead_of!(row));
    }
    // They come as the index has them, but no query promises that.
    for page in &mut pages {
        page.sort_unstable_by_key(|lead| Reverse((lead.create_time, lead.id)));
    }
    Ok(pages)
}

/// Reads leads by their ids, in the order of the ids, whoever may see them.
///
/// The list stands in a query of its own so that a plan for this list looks no cheaper to the server than one for any, and it
/// does not plan anew each time.
pub(crate) async fn in_order(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Lead>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, channel as "channel: Channel", origin, source_ref, display_name, phone, email, body, receive_time,
                  state as "state: State", owner_id, team_id, round, assign_time, respond_by_time, contact_time,
                  holder_result as "holder_result: ResponseResult", client_result as "client_result: ResponseResult",
                  close_reason as "close_reason: CloseReason", client_id, deal_id, sla_version, version,
                  create_time, update_time
           from leads.lead
           where id = any((select $1::uuid[])::uuid[])
           order by array_position($1, id)"#,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Lead::from).collect())
}

/// What is known of a request before it is taken in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Who answers for the client with the requester's phone or e-mail.
    pub(crate) owner: Option<PersonId>,
    /// The lead that was made by the same source reference.
    pub(crate) lead: Option<LeadId>,
}

/// Tells what is known of each of these requests, in the same order, whoever may see it: it decides who gets them and
/// whether they came before.
///
/// The lists stand in queries of their own so that the server cannot tell how long they are: it would find a plan for so many
/// cheaper than one for any, and plan anew each time, which takes ten times as long as the statement.
pub(crate) async fn known(db: &mut PgConnection, intakes: &[&Intake]) -> sqlx::Result<Vec<Known>> {
    let rows = sqlx::query!(
        r#"select client.owner_id as "owner_id?", lead.id as "lead_id?"
           from unnest((select $1::text[]), (select $2::text[]), (select $3::text[]), (select $4::text[]))
                with ordinality as asked (channel, source_ref, phone, email, place)
           left join lateral (
               select id from leads.lead where channel = asked.channel and source_ref = asked.source_ref
               limit 1) as lead on true
           left join lateral (
               select owner_id
               from (select * from leads.client where phone = asked.phone and phone <> ''
                     union all
                     select * from leads.client where lower(email) = lower(asked.email) and email <> '') as known
               order by create_time, id
               limit 1) as client on true
           order by asked.place"#,
        &intakes.iter().map(|intake| intake.channel).collect::<Vec<_>>() as &[Channel],
        &intakes.iter().map(|intake| intake.source_ref.clone()).collect::<Vec<_>>(),
        &intakes.iter().map(|intake| intake.phone.clone()).collect::<Vec<_>>(),
        &intakes.iter().map(|intake| intake.email.clone()).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    let known = rows.into_iter().map(|row| Known { owner: row.owner_id.map(PersonId), lead: row.lead_id.map(LeadId) });
    Ok(known.collect())
}

/// Writes new leads, who holds them, and the turns of the rota that they took.
pub(crate) async fn insert(db: &mut PgConnection, leads: &[Lead], rota: &Rota) -> sqlx::Result<()> {
    let moves = super::people::Moves::of(rota);
    sqlx::query!(
        "with new as (
             insert into leads.lead (id, channel, origin, source_ref, display_name, phone, email, body, receive_time,
                 state, owner_id, team_id, round, assign_time, respond_by_time, sla_version, version, create_time,
                 update_time)
             select *, create_time
             from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                         $9::timestamptz[], $10::text[], $11::uuid[], $12::uuid[], $13::integer[], $14::timestamptz[],
                         $15::timestamptz[], $16::integer[], $17::bigint[], $18::timestamptz[])
                  as lead (id, channel, origin, source_ref, display_name, phone, email, body, receive_time, state,
                           owner_id, team_id, round, assign_time, respond_by_time, sla_version, version, create_time)
             returning id, round, owner_id, assign_time),
         held as (
             insert into leads.lead_holder (lead_id, round, person_id, assign_time)
             select * from new where owner_id is not null),
         turned as (update leads.rota set turn = $19)
         update leads.person
         set open_leads = open_leads + moved.leads, last_turn = coalesce(moved.last_turn, person.last_turn)
         from unnest($20::uuid[], $21::integer[], $22::bigint[]) as moved (id, leads, last_turn)
         where person.id = moved.id",
        &column(leads, |lead| lead.id.0),
        &column(leads, |lead| lead.intake.channel) as &[Channel],
        &column(leads, |lead| lead.intake.origin.clone()),
        &column(leads, |lead| lead.intake.source_ref.clone()),
        &column(leads, |lead| lead.intake.display_name.clone()),
        &column(leads, |lead| lead.intake.phone.clone()),
        &column(leads, |lead| lead.intake.email.clone()),
        &column(leads, |lead| lead.intake.text.clone()),
        &column(leads, |lead| lead.receive_time),
        &column(leads, |lead| lead.state) as &[State],
        &column(leads, |lead| lead.owner.map(|owner| owner.0)) as &[Option<Uuid>],
        &column(leads, |lead| lead.team.map(|team| team.0)) as &[Option<Uuid>],
        &column(leads, |lead| lead.round),
        &column(leads, |lead| lead.assign_time) as &[Option<DateTime<Utc>>],
        &column(leads, |lead| lead.respond_by) as &[Option<DateTime<Utc>>],
        &column(leads, |lead| lead.sla_version),
        &column(leads, |lead| lead.version),
        &column(leads, |lead| lead.create_time),
        rota.turn(),
        &moves.people,
        &moves.leads,
        &moves.turns as &[Option<i64>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One value of each lead, for a statement about all of them.
pub(super) fn column<T>(leads: &[Lead], value: impl Fn(&Lead) -> T) -> Vec<T> {
    leads.iter().map(value).collect()
}

/// Writes what may change of a lead.
pub(crate) async fn save(db: &mut PgConnection, lead: &Lead) -> sqlx::Result<()> {
    sqlx::query!(
        "update leads.lead
         set state = $2, owner_id = $3, team_id = $4, round = $5, assign_time = $6, respond_by_time = $7,
             contact_time = $8, holder_result = $9, client_result = $10, close_reason = $11, client_id = $12,
             deal_id = $13, version = $14, update_time = $15
         where id = $1",
        lead.id.0,
        lead.state as State,
        lead.owner.map(|owner| owner.0),
        lead.team.map(|team| team.0),
        lead.round,
        lead.assign_time,
        lead.respond_by,
        lead.contact_time,
        lead.holder_result as Option<ResponseResult>,
        lead.client_result as Option<ResponseResult>,
        lead.close_reason as Option<CloseReason>,
        lead.client.map(|client| client.0),
        lead.deal.map(|deal| deal.0),
        lead.version,
        lead.update_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes who holds leads in their current rounds. A lead without an owner has no holder.
pub(crate) async fn add_holders(db: &mut PgConnection, leads: &[LeadId]) -> sqlx::Result<()> {
    let ids: Vec<Uuid> = leads.iter().map(|lead| lead.0).collect();
    sqlx::query!(
        "insert into leads.lead_holder (lead_id, round, person_id, assign_time)
         select id, round, owner_id, assign_time from leads.lead where id = any($1) and owner_id is not null",
        &ids,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A contact with a requester.
#[derive(Clone, Debug)]
pub(crate) struct Contact<'a> {
    /// The lead.
    pub(crate) lead: LeadId,
    /// The principal who made it.
    pub(crate) principal: &'a str,
    /// The way.
    pub(crate) kind: ContactKind,
    /// What came of it.
    pub(crate) outcome: ContactOutcome,
    /// What was said.
    pub(crate) note: &'a str,
    /// When.
    pub(crate) at: DateTime<Utc>,
}

/// Writes a contact.
pub(crate) async fn add_contact(db: &mut PgConnection, contact: &Contact<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into leads.contact (id, lead_id, principal, kind, outcome, note, contact_time)
         values ($1, $2, $3, $4, $5, $6, $7)",
        Uuid::now_v7(),
        contact.lead.0,
        contact.principal,
        contact.kind as ContactKind,
        contact.outcome as ContactOutcome,
        contact.note,
        contact.at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Reads the response policy that is pinned on a lead.
pub(crate) async fn policy(db: &mut PgConnection, version: i32) -> sqlx::Result<SlaPolicy> {
    let row = sqlx::query!("select respond_within_s, most_rounds from leads.sla_policy where version = $1", version)
        .fetch_one(db)
        .await?;
    Ok(SlaPolicy {
        version,
        respond_within: TimeDelta::seconds(row.respond_within_s.into()),
        most_rounds: row.most_rounds,
    })
}
