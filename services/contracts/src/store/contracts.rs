//! Statements about `contracts.contract` and `contracts.counter`.

use chrono::{DateTime, Utc};
use otdel_runtime::scope::Scope;
use otdel_types::{ClientId, ContractId, DealId, PersonId, Token};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    currency,
    lines::{self, Batch},
    sums, undecodable,
};
use crate::domain::{
    authority::Actor,
    contract::{Approval, Contract, NewContract, Number, State},
    document::{Content, DocumentHash},
    line::{Line, Lines},
};

/// A stored contract without its lines.
#[derive(Debug)]
pub(crate) struct Head {
    /// Its id.
    pub(crate) id: Uuid,
    /// When it was drafted.
    pub(crate) create_time: DateTime<Utc>,
    year: i32,
    number: i64,
    deal_id: Uuid,
    client_id: Uuid,
    currency: String,
    net: i64,
    vat: i64,
    gross: i64,
    state: State,
    document_hash: Vec<u8>,
    author: String,
    author_person_id: Option<Uuid>,
    approval_id: Option<Uuid>,
    approver: Option<String>,
    approver_person_id: Option<Uuid>,
    approve_time: Option<DateTime<Utc>>,
    sign_time: Option<DateTime<Utc>>,
    version: i64,
    update_time: DateTime<Utc>,
}

impl Head {
    fn with(self, lines: Vec<lines::Row>) -> sqlx::Result<Contract> {
        let currency = currency(&self.currency)?;
        let document_hash = DocumentHash(self.document_hash.as_slice().try_into().map_err(undecodable)?);
        let all = lines.into_iter().map(|row| row.line(currency)).collect::<sqlx::Result<Vec<Line>>>()?;
        let total = sums(self.net, self.vat, self.gross, currency);
        let person = |id: Option<Uuid>| id.map(PersonId);
        let approval = match (self.approval_id, self.approver, self.approve_time) {
            (Some(id), Some(principal), Some(approve_time)) => {
                let approver = Actor { principal, person: person(self.approver_person_id) };
                Some(Approval { id, approver, document_hash, approve_time })
            }
            _ => None,
        };
        Ok(Contract {
            id: ContractId(self.id),
            number: Number { year: self.year, place: self.number },
            content: Content {
                deal: DealId(self.deal_id),
                client: ClientId(self.client_id),
                lines: Lines { all, currency, total },
            },
            document_hash,
            state: self.state,
            author: Actor { principal: self.author, person: person(self.author_person_id) },
            approval,
            sign_time: self.sign_time,
            version: self.version,
            create_time: self.create_time,
            update_time: self.update_time,
        })
    }
}

/// Reads a contract that `scope` reaches.
pub(crate) async fn get(db: &mut PgConnection, scope: &Scope, id: ContractId) -> sqlx::Result<Option<Contract>> {
    let head = sqlx::query_as!(
        Head,
        r#"select id, year, number, deal_id, client_id, currency, net, vat, gross, state as "state: State",
                  document_hash, author, author_person_id, approval_id, approver, approver_person_id, approve_time,
                  sign_time, version, create_time, update_time
           from contracts.contract c
           where id = $1
             and ($2 or exists (
                 select from contracts.live_access a
                 where a.deal_id = c.deal_id and (a.owner_id = $3 or a.team_id = any($4))))"#,
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(&mut *db)
    .await?;
    one(db, head).await
}

/// Reads a contract that `scope` reaches and holds its row until the transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, scope: &Scope, id: ContractId) -> sqlx::Result<Option<Contract>> {
    let head = sqlx::query_as!(
        Head,
        r#"select id, year, number, deal_id, client_id, currency, net, vat, gross, state as "state: State",
                  document_hash, author, author_person_id, approval_id, approver, approver_person_id, approve_time,
                  sign_time, version, create_time, update_time
           from contracts.contract c
           where id = $1
             and ($2 or exists (
                 select from contracts.live_access a
                 where a.deal_id = c.deal_id and (a.owner_id = $3 or a.team_id = any($4))))
           for update of c"#,
        id.0,
        scope.all,
        scope.me,
        &scope.teams,
    )
    .fetch_optional(&mut *db)
    .await?;
    one(db, head).await
}

async fn one(db: &mut PgConnection, head: Option<Head>) -> sqlx::Result<Option<Contract>> {
    let Some(head) = head else { return Ok(None) };
    let mut lines = lines::of_contracts(db, &[head.id]).await?;
    let own = lines.take(head.id);
    head.with(own).map(Some)
}

/// Which contracts a list shows.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter {
    /// Only contracts in this state.
    pub(crate) state: Option<State>,
    /// Only contracts of this deal.
    pub(crate) deal: Option<DealId>,
    /// Only contracts with this client.
    pub(crate) client: Option<ClientId>,
}

/// Lists contracts that `scope` reaches, newest first, after the place that `after` names.
pub(crate) async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Head>> {
    // Two statements for one predicate: for few reached deals the plan begins with them, for all of them it must not.
    if scope.all {
        list_all(db, filter, after, limit).await
    } else {
        list_reached(db, scope, filter, after, limit).await
    }
}

async fn list_all(
    db: &mut PgConnection,
    filter: &Filter,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Head>> {
    sqlx::query_as!(
        Head,
        r#"select id, year, number, deal_id, client_id, currency, net, vat, gross, state as "state: State",
                  document_hash, author, author_person_id, approval_id, approver, approver_person_id, approve_time,
                  sign_time, version, create_time, update_time
           from contracts.contract
           where ($1::text is null or state = $1)
             and ($2::uuid is null or deal_id = $2)
             and ($3::uuid is null or client_id = $3)
             and ($4::timestamptz is null or (create_time, id) < ($4, $5))
           order by create_time desc, id desc
           limit $6"#,
        filter.state as Option<State>,
        filter.deal.map(|deal| deal.0),
        filter.client.map(|client| client.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await
}

async fn list_reached(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    after: Option<&Token>,
    limit: i64,
) -> sqlx::Result<Vec<Head>> {
    sqlx::query_as!(
        Head,
        r#"select id, year, number, deal_id, client_id, currency, net, vat, gross, state as "state: State",
                  document_hash, author, author_person_id, approval_id, approver, approver_person_id, approve_time,
                  sign_time, version, create_time, update_time
           from contracts.contract
           where deal_id in (
                 select a.deal_id from contracts.live_access a where a.owner_id = $1 or a.team_id = any($2))
             and ($3::text is null or state = $3)
             and ($4::uuid is null or deal_id = $4)
             and ($5::uuid is null or client_id = $5)
             and ($6::timestamptz is null or (create_time, id) < ($6, $7))
           order by create_time desc, id desc
           limit $8"#,
        scope.me,
        &scope.teams,
        filter.state as Option<State>,
        filter.deal.map(|deal| deal.0),
        filter.client.map(|client| client.0),
        after.map(|token| token.created),
        after.map(|token| token.id),
        limit,
    )
    .fetch_all(db)
    .await
}

/// Joins heads with their lines.
pub(crate) fn join(heads: Vec<Head>, mut lines: Batch) -> sqlx::Result<Vec<Contract>> {
    heads
        .into_iter()
        .map(|head| {
            let own = lines.take(head.id);
            head.with(own)
        })
        .collect()
}

/// Writes a new contract with its lines. The next number of the year and the row are one statement: a number exists
/// exactly when its contract does.
pub(crate) async fn insert(db: &mut PgConnection, new: &NewContract, year: i32) -> sqlx::Result<Number> {
    let (content, total) = (&new.content, new.content.lines.total);
    let place = sqlx::query_scalar!(
        "with given as (
             insert into contracts.counter as c (kind, year, last) values ('contract', $2, 1)
             on conflict (kind, year) do update set last = c.last + 1
             returning last)
         insert into contracts.contract (id, year, number, deal_id, client_id, currency, net, vat, gross, state,
             document_hash, author, author_person_id, version, create_time, update_time)
         select $1, $2, given.last, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 1, $13, $13 from given
         returning number",
        new.id.0,
        year,
        content.deal.0,
        content.client.0,
        content.lines.currency.code(),
        total.net.minor,
        total.vat.minor,
        total.gross.minor,
        State::Draft as State,
        &content.hash().0,
        new.author.principal,
        new.author.person.map(|person| person.0),
        new.create_time,
    )
    .fetch_one(&mut *db)
    .await?;
    lines::add_to_contract(db, new.id, &content.lines).await?;
    Ok(Number { year, place })
}

/// Writes what may change of a contract, apart from its lines.
pub(crate) async fn save(db: &mut PgConnection, contract: &Contract) -> sqlx::Result<()> {
    let (total, approval) = (contract.content.lines.total, contract.approval.as_ref());
    sqlx::query!(
        "update contracts.contract
         set net = $2, vat = $3, gross = $4, state = $5, document_hash = $6, author = $7, author_person_id = $8,
             approval_id = $9, approver = $10, approver_person_id = $11, approve_time = $12, sign_time = $13,
             version = $14, update_time = $15
         where id = $1",
        contract.id.0,
        total.net.minor,
        total.vat.minor,
        total.gross.minor,
        contract.state as State,
        &contract.document_hash.0,
        contract.author.principal,
        contract.author.person.map(|person| person.0),
        approval.map(|approval| approval.id),
        approval.map(|approval| approval.approver.principal.as_str()),
        approval.and_then(|approval| approval.approver.person).map(|person| person.0),
        approval.map(|approval| approval.approve_time),
        contract.sign_time,
        contract.version,
        contract.update_time,
    )
    .execute(db)
    .await?;
    Ok(())
}
