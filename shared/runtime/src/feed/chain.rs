//! The chain over the stored bytes of the events, and its check from end to end.

use chrono::{DateTime, Utc};
use otdel_api::event::Envelope;
use prost::Message as _;
use ring::digest::{Context, SHA256};
use sqlx::PgConnection;
use uuid::Uuid;

use super::store::{self, Link};
use crate::outbox::deal_of;

/// The hash of an event: over the hash of the one before (nothing before the first) and the stored bytes. Over the bytes
/// rather than over a rendering of the row, which a later release might render otherwise.
pub(super) fn link(before: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut sum = Context::new(&SHA256);
    sum.update(before);
    sum.update(payload);
    sum.finish().as_ref().to_vec()
}

/// A feed whose chain holds from the first event to the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The feed's epoch.
    pub epoch: Uuid,
    /// The last position.
    pub position: i64,
    /// The hash there, which stands for the whole feed before it.
    pub hash: Vec<u8>,
}

/// The first place at which a feed is not what was written.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Events are missing.
    #[error("the event at position {wanted} is missing")]
    Missing {
        /// The position at which one should be.
        wanted: i64,
    },
    /// An event's bytes or hash were changed, or events changed places.
    #[error("the chain does not hold at position {position}")]
    Changed {
        /// The event's position.
        position: i64,
    },
    /// A row says otherwise than the event in it.
    #[error("the row at position {position} says otherwise than its event in {column}")]
    Column {
        /// The event's position.
        position: i64,
        /// The first column that differs.
        column: &'static str,
    },
    /// The feed's end was moved, or events were added behind it.
    #[error("the feed ends at position {head} and its events at {last}")]
    End {
        /// Where the feed says that it ends.
        head: i64,
        /// Where its events end.
        last: i64,
    },
    /// The database answered with an error.
    #[error("the feed cannot be read: {0}")]
    Database(#[from] sqlx::Error),
}

const BATCH: i64 = 1_000;

/// Walks a service's feed from the first event to the last that is numbered now. It finds every change of numbered
/// events but one: somebody who rewrites all events after a place with new hashes, or cuts the feed there and moves its
/// end. The cursors that other services keep witness against that ([`super::recognise`]).
///
/// It holds a batch at a time. `walked` is told the position reached and the last one.
pub async fn verify(db: &mut PgConnection, mut walked: impl FnMut(i64, i64)) -> Result<Verified, Broken> {
    let (head, last) = store::ends(&mut *db).await?;
    if head.position != last {
        return Err(Broken::End { head: head.position, last });
    }
    let (mut position, mut hash) = (0, Vec::new());
    while position < head.position {
        let links = store::links(&mut *db, position, BATCH).await?;
        if links.is_empty() {
            return Err(Broken::Missing { wanted: position + 1 });
        }
        // What was numbered meanwhile is looked at too, up to the end of the batch.
        for found in links {
            hash = follow(position, &hash, &found)?;
            position = found.position;
            if position == head.position && hash != head.hash {
                return Err(Broken::Changed { position });
            }
        }
        walked(position, head.position);
    }
    Ok(Verified { epoch: store::epoch(db).await?, position, hash })
}

/// The chain's hash after a row, if the row continues it and tells the truth about its event.
fn follow(position: i64, hash: &[u8], found: &Link) -> Result<Vec<u8>, Broken> {
    if found.position != position + 1 {
        return Err(Broken::Missing { wanted: position + 1 });
    }
    let next = link(hash, &found.payload);
    if next != found.hash {
        return Err(Broken::Changed { position: found.position });
    }
    match wrong_column(found) {
        Some(column) => Err(Broken::Column { position: found.position, column }),
        None => Ok(next),
    }
}

/// Any event of any service: the envelope has the same place in all of them.
#[derive(Clone, PartialEq, prost::Message)]
struct AnyEvent {
    #[prost(message, optional, tag = "1")]
    envelope: Option<Envelope>,
}

/// The columns beside the payload are found by queries but are not in the chain; the envelope inside it says the same.
fn wrong_column(row: &Link) -> Option<&'static str> {
    let envelope = AnyEvent::decode(row.payload.as_slice()).ok().and_then(|event| event.envelope);
    let Some(envelope) = envelope else { return Some("payload") };
    let checks = [
        ("id", envelope.event_id == row.id.to_string()),
        ("type", envelope.r#type == row.kind),
        ("subject", envelope.subject == row.subject),
        ("related", envelope.related == row.related),
        ("deal", row.deal.as_ref() == deal_of(&row.related)),
        ("occur_time", instant(&envelope) == Some(row.occur_time)),
    ];
    checks.into_iter().find(|(_, same)| !same).map(|(column, _)| column)
}

fn instant(envelope: &Envelope) -> Option<DateTime<Utc>> {
    let time = envelope.occur_time?;
    DateTime::from_timestamp(time.seconds, u32::try_from(time.nanos).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::timestamp;

    fn row(position: i64, before: &[u8]) -> Link {
        let id = Uuid::from_u128(u128::from(position.unsigned_abs()));
        let occur_time = DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap();
        let (kind, subject, deal) = ("otdel.leads.v1.DealOpened", "deals/1", "deals/1");
        let envelope = Envelope {
            event_id: id.to_string(),
            r#type: kind.into(),
            subject: subject.into(),
            related: vec![deal.into()],
            occur_time: Some(timestamp(occur_time)),
            ..Envelope::default()
        };
        let payload = AnyEvent { envelope: Some(envelope) }.encode_to_vec();
        Link {
            position,
            hash: link(before, &payload),
            payload,
            id,
            kind: kind.into(),
            subject: subject.into(),
            related: vec![deal.into()],
            deal: Some(deal.into()),
            occur_time,
        }
    }

    type Change = fn(&mut Link);

    #[test]
    fn the_first_hash_is_over_the_payload_alone() {
        let plain = ring::digest::digest(&SHA256, b"payload");
        assert_eq!(link(b"", b"payload"), plain.as_ref());
        assert_ne!(link(b"before", b"payload"), plain.as_ref());
    }

    #[test]
    fn a_chain_is_followed_and_every_change_of_it_is_found() {
        let first = row(1, b"");
        let second = row(2, &first.hash);
        assert_eq!(follow(0, b"", &first).unwrap(), first.hash);
        assert_eq!(follow(1, &first.hash, &second).unwrap(), second.hash);
        assert!(matches!(follow(0, b"", &second), Err(Broken::Missing { wanted: 1 })));
        assert!(matches!(follow(1, b"other", &second), Err(Broken::Changed { position: 2 })));

        let changes: [(&str, Change); 7] = [
            ("id", |row| row.id = Uuid::from_u128(9)),
            ("type", |row| row.kind = "otdel.leads.v1.DealWon".into()),
            ("subject", |row| row.subject = "deals/2".into()),
            ("related", |row| row.related.clear()),
            ("deal", |row| row.deal = Some("deals/2".into())),
            ("deal", |row| row.deal = None),
            ("occur_time", |row| row.occur_time += chrono::TimeDelta::microseconds(1)),
        ];
        for (column, change) in changes {
            let mut changed = row(2, &first.hash);
            change(&mut changed);
            assert!(
                matches!(follow(1, &first.hash, &changed), Err(Broken::Column { column: found, .. }) if found == column)
            );
        }
    }
}
