//! Writing events: the row is part of the transaction in which it happened.

use std::fmt;

use chrono::{DateTime, Utc};
use otdel_api::Event;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{call::Act, convert::timestamp};

/// The id of an event as callers see it: `leads/{uuid}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The service whose event it is.
    pub service: String,
    /// The event's id.
    pub id: Uuid,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.id)
    }
}

impl std::str::FromStr for Change {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "must look like {service}/{uuid}, as a mutating response returned it";
        let (service, id) = text.split_once('/').ok_or(wrong)?;
        let id = Uuid::try_parse(id).map_err(|_| wrong)?;
        if !crate::auth::SERVICES.contains(&service) {
            return Err(wrong);
        }
        Ok(Self { service: service.to_owned(), id })
    }
}

/// A fact on its way into the outbox: what happened, what it is about and what else it touches.
#[derive(Clone, Debug)]
pub struct Fact<E> {
    event: E,
    subject: String,
    related: Vec<String>,
    changed: Vec<String>,
}

impl<E: Event> Fact<E> {
    /// A fact about a resource.
    pub fn about(subject: impl fmt::Display, fact: impl Into<E>) -> Self {
        Self { event: fact.into(), subject: subject.to_string(), related: Vec::new(), changed: Vec::new() }
    }

    /// Names a further resource that the fact touches. The empty name is none.
    #[must_use]
    pub fn touches(mut self, resource: impl fmt::Display) -> Self {
        let name = resource.to_string();
        if !name.is_empty() && !self.related.contains(&name) {
            self.related.push(name);
        }
        self
    }

    /// Says to which deal's timeline the fact belongs. A fact that touches a deal belongs to its timeline however it is
    /// said (`deal_of`); this says it where it is meant.
    #[must_use]
    pub fn of_deal(self, deal: impl fmt::Display) -> Self {
        self.touches(deal)
    }

    /// Names the fields that changed.
    #[must_use]
    pub fn changed<'a>(mut self, fields: impl IntoIterator<Item = &'a str>) -> Self {
        self.changed.extend(fields.into_iter().map(ToOwned::to_owned));
        self
    }
}

/// The deal to whose timeline an event belongs: the first one that it touches. It follows from what the event itself says,
/// so that the chain over the events covers the column too.
pub(crate) fn deal_of(related: &[String]) -> Option<&String> {
    related.iter().find(|name| name.starts_with("deals/"))
}

/// Writes a fact and tells the event's id. After the rows that it is about, so that its place in the order is drawn under
/// their locks.
pub async fn append<E: Event>(db: &mut PgConnection, act: &Act, fact: Fact<E>) -> sqlx::Result<Change> {
    let sealed = Sealed::new(act, fact);
    sqlx::query!(
        "insert into outbox (id, type, subject, related, deal, occur_time, payload) values ($1, $2, $3, $4, $5, $6, $7)",
        sealed.id,
        sealed.kind,
        sealed.subject,
        &sealed.related,
        sealed.deal,
        sealed.occur_time,
        sealed.payload,
    )
    .execute(db)
    .await?;
    Ok(sealed.change())
}

/// Writes many facts in one statement, in their order.
pub async fn append_all<E: Event>(db: &mut PgConnection, facts: Vec<(Act, Fact<E>)>) -> sqlx::Result<Vec<Change>> {
    let sealed: Vec<Sealed> = facts.into_iter().map(|(act, fact)| Sealed::new(&act, fact)).collect();
    append_sealed(db, &sealed).await?;
    Ok(sealed.iter().map(Sealed::change).collect())
}

/// Writes events in one statement, in their order.
pub(crate) async fn append_sealed(db: &mut PgConnection, sealed: &[Sealed]) -> sqlx::Result<()> {
    // An array has no rows of different lengths, so the lists of all facts are one, and each fact has a slice of it.
    let (mut related, mut ends) = (Vec::new(), Vec::new());
    for one in sealed {
        related.extend(one.related.iter().cloned());
        ends.push(i32::try_from(related.len()).unwrap_or(i32::MAX));
    }
    sqlx::query!(
        "insert into outbox (id, type, subject, related, deal, occur_time, payload)
         select id, type, subject, ($1::text[])[lag(slice_end, 1, 0) over (order by place) + 1 : slice_end], deal,
                occur_time, payload
         from unnest($2::integer[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::bytea[])
              with ordinality as fact (slice_end, id, type, subject, deal, occur_time, payload, place)
         order by place",
        &related,
        &ends,
        &column(sealed, |one| one.id),
        &column(sealed, |one| one.kind.to_owned()),
        &column(sealed, |one| one.subject.clone()),
        &column(sealed, |one| one.deal.clone()) as &[Option<String>],
        &column(sealed, |one| one.occur_time),
        &column(sealed, |one| one.payload.clone()),
    )
    .execute(db)
    .await?;
    Ok(())
}

fn column<T>(sealed: &[Sealed], value: impl Fn(&Sealed) -> T) -> Vec<T> {
    sealed.iter().map(value).collect()
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct Sealed {
    pub(crate) service: &'static str,
    pub(crate) id: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) subject: String,
    pub(crate) related: Vec<String>,
    pub(crate) deal: Option<String>,
    pub(crate) occur_time: DateTime<Utc>,
    pub(crate) payload: Vec<u8>,
}

impl Sealed {
    /// The event as callers will see it.
    pub fn change(&self) -> Change {
        Change { service: self.service.to_owned(), id: self.id }
    }

    /// An event that says a fact, not yet written.
    pub fn new<E: Event>(act: &Act, fact: Fact<E>) -> Self {
        let Fact { mut event, subject, related, changed } = fact;
        let (id, kind) = (Uuid::now_v7(), event.fact_type());
        let deal = deal_of(&related).cloned();
        let envelope = event.envelope_mut();
        E::SERVICE.clone_into(&mut envelope.service);
        kind.clone_into(&mut envelope.r#type);
        envelope.event_id = id.to_string();
        envelope.subject.clone_from(&subject);
        envelope.related.clone_from(&related);
        envelope.occur_time = Some(timestamp(act.now));
        envelope.due_time = act.due_time.map(timestamp);
        envelope.actor.clone_from(&act.actor);
        envelope.method.clone_from(&act.method);
        envelope.request_id.clone_from(&act.request_id);
        envelope.causation.clone_from(&act.causation);
        envelope.policy_version.clone_from(&act.policy_version);
        envelope.traceparent.clone_from(&act.traceparent);
        envelope.changed_fields = changed;
        Self {
            service: E::SERVICE,
            id,
            kind,
            subject,
            related,
            deal,
            occur_time: act.now,
            payload: event.encode_to_vec(),
        }
    }
}

/// The event that began a resource's history: what a repeated intake answers with. None where nothing was written.
pub async fn first_about(db: &mut PgConnection, service: &str, subject: &str) -> sqlx::Result<Option<Change>> {
    let id = sqlx::query_scalar!("select id from outbox where subject = $1 order by seq limit 1", subject)
        .fetch_optional(db)
        .await?;
    Ok(id.map(|id| Change { service: service.to_owned(), id }))
}

/// The newest event about one of `subjects` that is about or touches `resource`: what a repeated intake answers with whose
/// resource has moved on since. None where there is none.
pub async fn newest_touching(
    db: &mut PgConnection,
    service: &str,
    subjects: &[String],
    resource: &str,
) -> sqlx::Result<Option<Change>> {
    let id = sqlx::query_scalar!(
        "select id from outbox where subject = any($1) and (subject = $2 or $2 = any(related)) order by seq desc limit 1",
        subjects,
        resource,
    )
    .fetch_optional(db)
    .await?;
    Ok(id.map(|id| Change { service: service.to_owned(), id }))
}
