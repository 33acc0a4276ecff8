//! The first answer to each request, kept in the transaction that did what was asked.

use std::collections::HashSet;

use otdel_api::Mutation;
use prost::Message;
use ring::digest::{SHA256, digest};
use sqlx::PgConnection;
use tonic::Code;
use uuid::Uuid;

use crate::{
    call::Call,
    fault::Fault,
    outbox::{self, Sealed},
};

/// How long the answer to a request is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// For ever: money moves.
    Forever,
    /// For 30 days.
    Days30,
}

/// SHA-256 of a request without its id. Messages are encoded with ordered maps, so equal requests have equal bytes.
fn fingerprint<T: Mutation>(msg: &T) -> Vec<u8> {
    let mut bare = msg.clone();
    bare.clear_request_id();
    digest(&SHA256, &bare.encode_to_vec()).as_ref().to_vec()
}

/// Claims the request's id for this transaction, or gives back the first answer. The transaction's first statement.
///
/// Two statements on purpose: one common table expression would see neither the claim nor the answer of a call that
/// commits meanwhile, and a key that is inserted only at the end makes a concurrent duplicate fail instead of replaying.
pub async fn claim<T: Mutation, R: Message + Default>(
    db: &mut PgConnection,
    call: &Call<T>,
) -> Result<Option<R>, Fault> {
    claim_for(db, call, Keep::Days30).await
}

/// The same with a say in how long the answer is kept.
pub async fn claim_for<T: Mutation, R: Message + Default>(
    db: &mut PgConnection,
    call: &Call<T>,
    keep: Keep,
) -> Result<Option<R>, Fault> {
    let (id, print) = (call.request_uuid()?, fingerprint(&call.msg));
    let claimed = sqlx::query!(
        "insert into idempotency (principal, method, request_id, fingerprint, keep, create_time)
         values ($1, $2, $3, $4, $5, $6)
         on conflict do nothing",
        call.principal.name,
        call.method,
        id,
        print,
        keep == Keep::Forever,
        call.now,
    )
    .execute(&mut *db)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    match answered(db, call).await? {
        Some(first) => Ok(Some(first)),
        None => Err(Fault::from(sqlx::Error::RowNotFound)),
    }
}

const REUSED: &str = "REQUEST_ID_REUSED";

fn reused() -> Fault {
    Fault::new(Code::InvalidArgument, REUSED, "request_id was used with another body")
}

/// A request that was done and whose answer was not kept. An empty answer in its place would be a lie.
#[derive(Debug, thiserror::Error)]
#[error("a request's id is kept without its answer")]
struct Unanswered;

/// The first answer to a request, without claiming its id. For an RPC that asks a peer before it begins: a replay is
/// answered although the peer is away. Whoever finds nothing here still claims.
pub async fn answered<T: Mutation, R: Message + Default>(
    db: &mut PgConnection,
    call: &Call<T>,
) -> Result<Option<R>, Fault> {
    let first = sqlx::query!(
        "select fingerprint, answer from idempotency where principal = $1 and method = $2 and request_id = $3",
        call.principal.name,
        call.method,
        call.request_uuid()?,
    )
    .fetch_optional(db)
    .await?;
    let Some(first) = first else { return Ok(None) };
    if first.fingerprint != fingerprint(&call.msg) {
        return Err(reused());
    }
    let answer = first.answer.ok_or_else(|| Fault::internal(Unanswered))?;
    R::decode(answer.as_slice()).map(Some).map_err(Fault::internal)
}

/// Keeps the answer. The last statement before the commit.
pub async fn finish<T: Mutation, R: Message>(db: &mut PgConnection, call: &Call<T>, reply: &R) -> Result<(), Fault> {
    sqlx::query!(
        "update idempotency set answer = $4 where principal = $1 and method = $2 and request_id = $3",
        call.principal.name,
        call.method,
        call.request_uuid()?,
        reply.encode_to_vec(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What came of claiming a request's id together with others.
#[derive(Clone, Debug)]
pub enum Claim<R> {
    /// The id is claimed.
    New,
    /// It was used before, for the same body: the first answer.
    Answered(R),
    /// It was used for another body.
    Reused(Fault),
    /// An earlier one of the others has the same id and body: its place among them.
    SameAs(usize),
}

/// Claims the ids of calls of one RPC for this transaction, as its first statement. They are claimed in the order of their
/// keys, so that two transactions with the same ones wait for each other one way only.
pub async fn claim_all<T: Mutation, R: Message + Default>(
    db: &mut PgConnection,
    calls: &[&Call<T>],
) -> Result<Vec<Claim<R>>, Fault> {
    let keys = calls.iter().map(|call| Key::of(call)).collect::<Result<Vec<_>, _>>()?;
    let claimed = insert(db, calls, &keys).await?;
    let mut claims = Vec::with_capacity(calls.len());
    for (at, (key, call)) in keys.iter().zip(calls).enumerate() {
        let before = &keys[..at];
        claims.push(if let Some(same) = before.iter().position(|other| other == key) {
            Claim::SameAs(same)
        } else if !claimed.contains(&(key.principal.to_owned(), key.id)) {
            match answered(&mut *db, call).await {
                Ok(Some(answer)) => Claim::Answered(answer),
                Ok(None) => return Err(sqlx::Error::RowNotFound.into()),
                Err(fault) if fault.reason == REUSED => Claim::Reused(fault),
                Err(fault) => return Err(fault),
            }
        } else if before.iter().any(|other| other.is(key)) {
            Claim::Reused(reused())
        } else {
            Claim::New
        });
    }
    Ok(claims)
}

/// A request's id, and what it was used for.
#[derive(PartialEq, Eq)]
struct Key<'a> {
    principal: &'a str,
    id: Uuid,
    print: Vec<u8>,
}

impl<'a> Key<'a> {
    fn of<T: Mutation>(call: &'a Call<T>) -> Result<Self, Fault> {
        Ok(Self { principal: &call.principal.name, id: call.request_uuid()?, print: fingerprint(&call.msg) })
    }

    fn is(&self, other: &Self) -> bool {
        (self.principal, self.id) == (other.principal, other.id)
    }
}

/// Inserts the keys that are not there and tells which they were. Of equal ones the first counts.
async fn insert<T: Mutation>(
    db: &mut PgConnection,
    calls: &[&Call<T>],
    keys: &[Key<'_>],
) -> Result<HashSet<(String, Uuid)>, Fault> {
    let Some(call) = calls.first() else { return Ok(HashSet::new()) };
    let mut sorted: Vec<&Key<'_>> = keys.iter().collect();
    // Stable, so that the first of equal ones stays first.
    sorted.sort_by_key(|key| (key.principal, key.id));
    sorted.dedup_by(|later, first| later.is(first));
    let rows = sqlx::query!(
        "insert into idempotency (principal, method, request_id, fingerprint, keep, create_time)
         select principal, $1, request_id, fingerprint, false, $2
         from unnest($3::text[], $4::uuid[], $5::bytea[])
              with ordinality as key (principal, request_id, fingerprint, place)
         order by place
         on conflict do nothing
         returning principal, request_id",
        call.method,
        call.now,
        &sorted.iter().map(|key| key.principal.to_owned()).collect::<Vec<_>>(),
        &sorted.iter().map(|key| key.id).collect::<Vec<_>>(),
        &sorted.iter().map(|key| key.print.clone()).collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.principal, row.request_id)).collect())
}

/// Writes the events of calls that were claimed together, and keeps their answers. None: the call was refused, so its id is
/// free again, because only what was done is kept. The last statements before the commit; one where there is one call.
pub async fn finish_all<T: Mutation, R: Message>(
    db: &mut PgConnection,
    answers: &[(&Call<T>, Option<&R>)],
    events: &[Sealed],
) -> Result<(), Fault> {
    let Some((first, _)) = answers.first() else { return Ok(()) };
    if let ([(call, Some(answer))], [event]) = (answers, events) {
        return finish_with(db, call, *answer, event).await;
    }
    if !events.is_empty() {
        outbox::append_sealed(&mut *db, events).await?;
    }
    let ids = answers.iter().map(|(call, _)| call.request_uuid()).collect::<Result<Vec<_>, _>>()?;
    let principals: Vec<String> = answers.iter().map(|(call, _)| call.principal.name.clone()).collect();
    let texts: Vec<Option<Vec<u8>>> = answers.iter().map(|(_, answer)| answer.map(Message::encode_to_vec)).collect();
    sqlx::query!(
        "with given as (
             select * from unnest($2::text[], $3::uuid[], $4::bytea[]) as given (principal, request_id, answer)),
         refused as (
             delete from idempotency kept using given
             where kept.principal = given.principal and kept.method = $1 and kept.request_id = given.request_id
               and given.answer is null)
         update idempotency kept set answer = given.answer from given
         where kept.principal = given.principal and kept.method = $1 and kept.request_id = given.request_id
           and given.answer is not null",
        first.method,
        &principals,
        &ids,
        &texts as &[Option<Vec<u8>>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Writes a call's event and keeps its answer, in one statement.
async fn finish_with<T: Mutation, R: Message>(
    db: &mut PgConnection,
    call: &Call<T>,
    reply: &R,
    event: &Sealed,
) -> Result<(), Fault> {
    sqlx::query!(
        "with kept as (
             update idempotency set answer = $4 where principal = $1 and method = $2 and request_id = $3)
         insert into outbox (id, type, subject, related, deal, occur_time, payload)
         values ($5, $6, $7, $8, $9, $10, $11)",
        call.principal.name,
        call.method,
        call.request_uuid()?,
        reply.encode_to_vec(),
        event.id,
        event.kind,
        event.subject,
        &event.related,
        event.deal,
        event.occur_time,
        event.payload,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets up to `limit` answers that were kept for 30 days, and tells how many.
pub async fn forget(db: &mut PgConnection, now: chrono::DateTime<chrono::Utc>, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query!(
        "delete from idempotency
         where (principal, method, request_id) in (
             select principal, method, request_id from idempotency
             where not keep and create_time < $1
             limit $2
             for update skip locked)",
        now - chrono::TimeDelta::days(30),
        limit,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
