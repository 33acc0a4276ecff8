//! A contract's life: drafted, handed in, approved by somebody else, signed (C2).

use std::fmt;

use chrono::{DateTime, Utc};
use otdel_types::{ContractId, Money};
use uuid::Uuid;

use super::{
    authority::{Actor, Limit},
    document::{Content, DocumentHash},
    line::Lines,
};

/// Where a contract stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum State {
    /// Its author works on it.
    Draft,
    /// It waits for approval.
    Review,
    /// Somebody else than its author approved it.
    Approved,
    /// Both sides signed it.
    Signed,
}

/// A contract's number, without gaps within the year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// The business year in which it was drafted.
    pub year: i32,
    /// Its place in the year.
    pub place: i64,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:06}", self.year, self.place)
    }
}

/// An approval of one content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Its id.
    pub id: Uuid,
    /// Who gave it.
    pub approver: Actor,
    /// What was approved.
    pub document_hash: DocumentHash,
    /// When.
    pub approve_time: DateTime<Utc>,
}

/// A contract that was decided on and has no number yet: the insert gives it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewContract {
    /// Its id.
    pub id: ContractId,
    /// What both sides agree on.
    pub content: Content,
    /// Who wrote it.
    pub author: Actor,
    /// When it was drafted.
    pub create_time: DateTime<Utc>,
}

/// What both sides agree on, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Its id.
    pub id: ContractId,
    /// Its number.
    pub number: Number,
    /// What both sides agree on.
    pub content: Content,
    /// The hash of the content.
    pub document_hash: DocumentHash,
    /// Where it stands.
    pub state: State,
    /// Who wrote the content last.
    pub author: Actor,
    /// The approval that holds.
    pub approval: Option<Approval>,
    /// When both sides had signed.
    pub sign_time: Option<DateTime<Utc>>,
    /// Grows with every change.
    pub version: i64,
    /// When it was drafted.
    pub create_time: DateTime<Utc>,
    /// When it changed last.
    pub update_time: DateTime<Utc>,
}

/// Why a contract does not do what is asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The caller decided on an older version.
    #[error("the contract changed since it was read")]
    Stale {
        /// The current version.
        current: i64,
    },
    /// Its state does not allow it.
    #[error("a contract in this state cannot be {verb}")]
    WrongState {
        /// The state.
        state: State,
        /// What was asked.
        verb: &'static str,
    },
    /// The approver read another content.
    #[error("the content is another than the one that was read")]
    DocumentChanged {
        /// The hash of the current content.
        current: DocumentHash,
    },
    /// A system is nobody's eyes.
    #[error("a contract is approved by a person")]
    NoPerson,
    /// Four eyes see more than two.
    #[error("the author of a contract may not approve it")]
    AuthorMayNotApprove,
    /// It is worth more than the approver may decide on.
    #[error("the total is above what the caller may approve")]
    AboveLimit {
        /// The most that the approver may approve. None: nothing in this currency.
        limit: Option<Money>,
        /// What the contract is worth.
        gross: Money,
    },
}

impl NewContract {
    /// A draft for a deal's client.
    pub fn draft(content: Content, author: Actor, now: DateTime<Utc>) -> Self {
        Self { id: ContractId::new(), content, author, create_time: now }
    }

    /// The draft with the number that it was given.
    pub fn numbered(self, number: Number) -> Contract {
        Contract {
            id: self.id,
            number,
            document_hash: self.content.hash(),
            content: self.content,
            state: State::Draft,
            author: self.author,
            approval: None,
            sign_time: None,
            version: 1,
            create_time: self.create_time,
            update_time: self.create_time,
        }
    }
}

impl Contract {
    /// What is to be paid.
    pub fn gross(&self) -> Money {
        self.content.lines.total.gross
    }

    /// Refuses a decision that was made on an older version.
    pub fn expect(&self, seen: Option<i64>) -> Result<(), Refusal> {
        if seen.is_some_and(|version| version != self.version) {
            return Err(Refusal::Stale { current: self.version });
        }
        Ok(())
    }

    /// Replaces the lines and makes it a draft of a new author. Whatever was approved before was another document.
    pub fn revise(self, lines: Lines, author: Actor, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if self.state == State::Signed {
            return Err(self.refuse("revised"));
        }
        let content = Content { lines, ..self.content.clone() };
        let document_hash = content.hash();
        Ok(Self { content, document_hash, author, approval: None, ..self.moved(State::Draft, now) })
    }

    /// Hands it in for approval.
    pub fn request_approval(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if self.state != State::Draft {
            return Err(self.refuse("handed in"));
        }
        Ok(self.moved(State::Review, now))
    }

    /// Approves the content that `read` is the hash of. `limit` is the approver's in the contract's currency.
    ///
    /// The content is compared before the sum: a limit says nothing about a document that the approver has not read.
    pub fn approve(
        self,
        approver: Actor,
        read: DocumentHash,
        limit: Option<Limit>,
        now: DateTime<Utc>,
    ) -> Result<Self, Refusal> {
        if self.state != State::Review {
            return Err(self.refuse("approved"));
        }
        if approver.person.is_none() {
            return Err(Refusal::NoPerson);
        }
        if approver.is(&self.author) {
            return Err(Refusal::AuthorMayNotApprove);
        }
        if read != self.document_hash {
            return Err(Refusal::DocumentChanged { current: self.document_hash });
        }
        let (limit, gross) = (limit.map(|limit| limit.max_gross), self.gross());
        if !limit.is_some_and(|limit| limit.currency == gross.currency && gross.minor <= limit.minor) {
            return Err(Refusal::AboveLimit { limit, gross });
        }
        let approval = Approval { id: Uuid::now_v7(), approver, document_hash: read, approve_time: now };
        Ok(Self { approval: Some(approval), ..self.moved(State::Approved, now) })
    }

    /// Sends it back to its author.
    pub fn reject(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if self.state != State::Review {
            return Err(self.refuse("sent back"));
        }
        Ok(self.moved(State::Draft, now))
    }

    /// Notes that both sides signed.
    pub fn sign(self, now: DateTime<Utc>) -> Result<Self, Refusal> {
        if self.state != State::Approved {
            return Err(self.refuse("signed"));
        }
        Ok(Self { sign_time: Some(now), ..self.moved(State::Signed, now) })
    }

    fn moved(self, state: State, now: DateTime<Utc>) -> Self {
        Self { state, version: self.version + 1, update_time: now, ..self }
    }

    fn refuse(&self, verb: &'static str) -> Refusal {
        Refusal::WrongState { state: self.state, verb }
    }
}

#[cfg(test)]
pub(crate) mod tests;
