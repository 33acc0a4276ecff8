//! Statements about `contracts.approval`, `contracts.rejection`, `contracts.authority` and `contracts.approval_limit`.

use chrono::{DateTime, Utc};
use otdel_types::{ContractId, Currency, Money};
use sqlx::PgConnection;
use uuid::Uuid;

use super::currency;
use crate::domain::{
    authority::{Approver, Limit},
    contract::Contract,
    document::DocumentHash,
};

/// Writes the approval that a contract has got, with the version of the limits that it stands on. Before the contract is
/// saved, which points at it.
pub(crate) async fn insert(db: &mut PgConnection, contract: &Contract, limit_version: i64) -> sqlx::Result<()> {
    let Some(approval) = &contract.approval else { return Ok(()) };
    sqlx::query!(
        "insert into contracts.approval (id, contract_id, document_hash, author, author_person_id, approver,
             approver_person_id, limit_version, approve_time)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        approval.id,
        contract.id.0,
        &approval.document_hash.0,
        contract.author.principal,
        contract.author.person.map(|person| person.0),
        approval.approver.principal,
        approval.approver.person.map(|person| person.0),
        limit_version,
        approval.approve_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Voids the approval that holds, if there is one.
pub(crate) async fn void(db: &mut PgConnection, contract: ContractId, now: DateTime<Utc>) -> sqlx::Result<()> {
    sqlx::query!(
        "update contracts.approval set void_time = $2 where contract_id = $1 and void_time is null",
        contract.0,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Why a contract was sent back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rejection<'a> {
    /// The contract.
    pub(crate) contract: ContractId,
    /// The content that was sent back.
    pub(crate) document_hash: DocumentHash,
    /// The principal who sent it back.
    pub(crate) principal: &'a str,
    /// Why.
    pub(crate) reason: &'a str,
    /// When.
    pub(crate) reject_time: DateTime<Utc>,
}

/// Writes why a contract was sent back.
pub(crate) async fn reject(db: &mut PgConnection, rejection: &Rejection<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into contracts.rejection (id, contract_id, document_hash, principal, reason, reject_time)
         values ($1, $2, $3, $4, $5, $6)",
        Uuid::now_v7(),
        rejection.contract.0,
        &rejection.document_hash.0,
        rejection.principal,
        rejection.reason,
        rejection.reject_time,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Reads the limits of a currency that hold now, and keeps them so until the transaction ends. The lock is a statement of
/// its own: what was set while it waited is seen by the next one only.
pub(crate) async fn hold_limits(db: &mut PgConnection, of: Currency) -> sqlx::Result<Vec<Limit>> {
    sqlx::query!("select version from contracts.authority for share").fetch_one(&mut *db).await?;
    limits(db, Some(of)).await
}

/// Reads the limits that hold now, by role and currency.
pub(crate) async fn limits(db: &mut PgConnection, of: Option<Currency>) -> sqlx::Result<Vec<Limit>> {
    let rows = sqlx::query!(
        r#"select distinct on (approver, currency) approver as "approver: Approver", currency, max_gross, version, set_time
           from contracts.approval_limit
           where $1::char(3) is null or currency = $1
           order by approver, currency, version desc"#,
        of.map(Currency::code),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let max_gross = Money { minor: row.max_gross, currency: currency(&row.currency)? };
            Ok(Limit { approver: row.approver, max_gross, version: row.version, set_time: row.set_time })
        })
        .collect()
}

/// Waits until nobody approves, keeps approvals waiting until the transaction ends, and tells the next version of the
/// limits.
pub(crate) async fn next_limits(db: &mut PgConnection) -> sqlx::Result<i64> {
    sqlx::query_scalar!("update contracts.authority set version = version + 1 returning version").fetch_one(db).await
}

/// Writes a limit, which holds from now on.
pub(crate) async fn set_limit(db: &mut PgConnection, limit: &Limit, principal: &str) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into contracts.approval_limit (approver, currency, version, max_gross, principal, set_time)
         values ($1, $2, $3, $4, $5, $6)",
        limit.approver as Approver,
        limit.max_gross.currency.code(),
        limit.version,
        limit.max_gross.minor,
        principal,
        limit.set_time,
    )
    .execute(db)
    .await?;
    Ok(())
}
