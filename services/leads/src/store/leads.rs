//! Statements about `leads.lead`, `leads.lead_holder`, `leads.contact` and `leads.sla_policy`.
//!
//! A lead that no team has had yet waits in the pool for any head of department: whoever reaches a team reaches it.

use chrono::{DateTime, TimeDelta, Utc};
use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, DealId, LeadId, PersonId, TeamId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::lead::{
    Channel, CloseReason, ContactKind, ContactOutcome, Intake, Lead, ResponseResult, SlaPolicy, State,
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

impl From<Row> for Lead {
    fn from(row: Row) -> Self {
        Self {
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
    }
}

/// Whether `scope` reaches a lead: the predicate of the statements below as a function.
pub(crate) fn is_reached(scope: &Scope, lead: &Lead) -> bool {
    scope.reaches(lead.owner, lead.team)
}

/// Reads a lead that `scope` reaches.
pub(crate) async fn get(db: &mut PgConnection, scope: &Scope, id: LeadId) -> sqlx::Result<Option<Lead>> {
    let row = sqlx::query_as!(
        Row,
        r#"select id, channel as "channel: Channel", origin, source_ref, display_name, phone, email, body, receive_time,
                  state as "state: State", owner_id, team_id, round, assign_time, respond_by_time, contact_time,
                  holder_result as "holder_result: ResponseResult", client_result as "client_result: ResponseResult",
                  close_reason as "close_reason: CloseReason", client_id, deal_id, sla_version, version,
                  create_time, update_time
           from leads.lead
           where id = $1 and ($2 or owner_id = $3 or team_id = any($4) or (team_id is null and $4 <> '{}'))"#,
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Lead::from))
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

/// Which leads a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    /// Only leads in this state.
    pub(crate) state: Option<State>,
    /// Only leads of this owner.
    pub(crate) owner: Option<PersonId>,
}

/// Lists leads that `scope` reaches, newest first, after the place that `after` names.
pub(crate) async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
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
             and ($5::uuid is null or owner_id = $5)
             and ($6::timestamptz is null or (create_time, id) < ($6, $7))
           order by create_time desc, id desc
           limit $8"#,
        scope.all,
        scope.me,
        &scope.teams,
        filter.state as Option<State>,
        filter.owner.map(|owner| owner.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Lead::from).collect())
}

/// Reads leads by their ids, in the order of the ids, whoever may see them.
pub(crate) async fn in_order(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Lead>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select id, channel as "channel: Channel", origin, source_ref, display_name, phone, email, body, receive_time,
                  state as "state: State", owner_id, team_id, round, assign_time, respond_by_time, contact_time,
                  holder_result as "holder_result: ResponseResult", client_result as "client_result: ResponseResult",
                  close_reason as "close_reason: CloseReason", client_id, deal_id, sla_version, version,
                  create_time, update_time
           from leads.lead
           where id = any($1)
           order by array_position($1, id)"#,
        ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Lead::from).collect())
}

/// Reads the leads that were made by the source references of these requests, whoever may see them: they decide whether a
/// request came before.
pub(crate) async fn by_sources(db: &mut PgConnection, intakes: &[&Intake]) -> sqlx::Result<Vec<Lead>> {
    let ids = sqlx::query_scalar!(
        "select lead.id from leads.lead
         join unnest($1::text[], $2::text[]) as asked (channel, source_ref)
           on lead.channel = asked.channel and lead.source_ref = asked.source_ref",
        &intakes.iter().map(|intake| intake.channel).collect::<Vec<_>>() as &[Channel],
        &intakes.iter().map(|intake| intake.source_ref.clone()).collect::<Vec<_>>(),
    )
    .fetch_all(&mut *db)
    .await?;
    if ids.is_empty() { Ok(Vec::new()) } else { in_order(db, &ids).await }
}

/// Writes new leads, and who holds them.
pub(crate) async fn insert(db: &mut PgConnection, leads: &[Lead]) -> sqlx::Result<()> {
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
             returning id, round, owner_id, assign_time)
         insert into leads.lead_holder (lead_id, round, person_id, assign_time)
         select * from new where owner_id is not null",
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

/// Reads the response policy that new leads get.
pub(crate) async fn newest_policy(db: &mut PgConnection) -> sqlx::Result<SlaPolicy> {
    let row = sqlx::query!(
        "select version, respond_within_s, most_rounds from leads.sla_policy order by version desc limit 1"
    )
    .fetch_one(db)
    .await?;
    Ok(SlaPolicy {
        version: row.version,
        respond_within: TimeDelta::seconds(row.respond_within_s.into()),
        most_rounds: row.most_rounds,
    })
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
