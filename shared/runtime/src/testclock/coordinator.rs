use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use otdel_api::test::{self as pb, clock_peer_service_client::ClockPeerServiceClient};
use tokio::{sync::Mutex, time::Instant};
use tonic::{Code, Request, Response, Status};

use crate::{
    auth::Identity,
    call::own_request,
    clock,
    convert::timestamp,
    fault::Fault,
    peers::{Peers, Rpc},
    violations::Violations,
};

/// How long to take for a caller that set no deadline.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is left for the answer when it ends at the caller's deadline.
const WAY_BACK: Duration = Duration::from_millis(200);

/// How often to look whether everything has settled.
const LOOK: Duration = Duration::from_millis(5);

/// How often the same instant may be due again without anything having been done about it.
const ROUNDS: u32 = 100;

/// Moves the clocks of all services together. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Coordinator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    identity: Identity,
    peers: Peers,
    /// One move at a time.
    turn: Mutex<()>,
}

/// Where a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The suite's time.
    pub now: DateTime<Utc>,
    /// How many due instants were visited.
    pub instants: i32,
}

/// How far a service is.
#[derive(Clone, Debug, PartialEq)]
struct Progress {
    service: &'static str,
    now: DateTime<Utc>,
    next_due: Option<DateTime<Utc>>,
    answer: pb::GetProgressResponse,
}

impl Coordinator {
    /// The coordinator, acting as the service of `identity`.
    pub fn new(identity: Identity, peers: Peers) -> Self {
        Self(Arc::new(Inner { identity, peers, turn: Mutex::new(()) }))
    }

    /// The suite's time.
    pub async fn now(&self, patience: Option<Duration>) -> Result<DateTime<Utc>, Fault> {
        let all = self.progress(until(patience)).await?;
        Ok(latest(&all))
    }

    /// Moves the clock to `to`, stopping at every due instant on the way, and answers when nothing is due at or before it
    /// and every effect has arrived everywhere. A call that ran out of time is UNAVAILABLE and may be repeated: it goes on
    /// where the clock stands.
    pub async fn advance(&self, to: DateTime<Utc>, patience: Option<Duration>) -> Result<Arrived, Fault> {
        let until = until(patience);
        let turn = tokio::time::timeout_at(until, self.0.turn.lock()).await;
        let _turn = turn.map_err(|_| Fault::unavailable("BUSY", "another call is moving the clock"))?;
        let now = latest(&self.progress(until).await?);
        if to < now {
            let text = "the clock never goes back";
            return Err(Fault::new(Code::InvalidArgument, "CLOCK_BACKWARDS", text).with("now", now.to_rfc3339()));
        }
        let (mut instants, mut last, mut rounds) = (0, None, 0);
        loop {
            let all = self.settle(until).await?;
            let next = all.iter().filter_map(|one| one.next_due).min().filter(|next| *next <= to);
            if next.is_none() && all.iter().all(|one| one.now == to) {
                return Ok(Arrived { now: to, instants });
            }
            let instant = next.map_or(to, |next| next.max(latest(&all)));
            if next.is_some() && last != Some(instant) {
                (instants, last, rounds) = (instants + 1, Some(instant), 0);
            }
            self.set(instant, until).await?;
            if self.run_due(until).await? == 0 {
                rounds += 1;
            }
            if rounds > ROUNDS {
                return Err(stuck(&all));
            }
        }
    }

    /// Waits until every feed is numbered and read to its end by all who follow it, twice in a row with nothing new.
    async fn settle(&self, until: Instant) -> Result<Vec<Progress>, Fault> {
        let mut before = None;
        loop {
            let all = self.progress(until).await?;
            let settled = settled(&all);
            match settled {
                Ok(ends) if before.as_ref() == Some(&ends) => return Ok(all),
                Ok(ends) => before = Some(ends),
                Err(unsettled) if Instant::now() >= until => return Err(unsettled),
                Err(_) => {
                    before = None;
                    clock::pause(LOOK).await;
                }
            }
        }
    }

    async fn progress(&self, until: Instant) -> Result<Vec<Progress>, Fault> {
        let asked = self.peers().map(|(service, rpc)| async move {
            let request = self.request(pb::GetProgressRequest {}, until);
            let answer = ClockPeerServiceClient::new(rpc).get_progress(request).await;
            progress_of(service, answered(service, answer)?)
        });
        try_join_all(asked).await
    }

    async fn set(&self, now: DateTime<Utc>, until: Instant) -> Result<(), Fault> {
        let asked = self.peers().map(|(service, rpc)| async move {
            let request = self.request(pb::SetClockRequest { now: Some(timestamp(now)) }, until);
            answered(service, ClockPeerServiceClient::new(rpc).set_clock(request).await)
        });
        try_join_all(asked).await.map(drop)
    }

    /// Runs what is due in every service and tells how much that was.
    async fn run_due(&self, until: Instant) -> Result<i64, Fault> {
        let asked = self.peers().map(|(service, rpc)| async move {
            let request = self.request(pb::RunDueRequest {}, until);
            answered(service, ClockPeerServiceClient::new(rpc).run_due(request).await)
        });
        Ok(try_join_all(asked).await?.iter().map(|answer| i64::from(answer.done)).sum())
    }

    fn peers(&self) -> impl Iterator<Item = (&'static str, Rpc)> {
        let Peers { leads, contracts, billing, reporting } = self.0.peers.clone();
        [leads, contracts, billing, reporting].into_iter().map(|rpc| (rpc.peer(), rpc))
    }

    fn request<M>(&self, msg: M, until: Instant) -> Request<M> {
        let mut request = own_request(&self.0.identity, msg);
        // A little at least, so that what ran out of time says what it waits for.
        request.set_timeout(until.saturating_duration_since(Instant::now()).max(WAY_BACK));
        request
    }
}

fn until(patience: Option<Duration>) -> Instant {
    Instant::now() + patience.map_or(PATIENCE, |patience| patience.saturating_sub(WAY_BACK * 2))
}

fn answered<R>(service: &'static str, answer: Result<Response<R>, Status>) -> Result<R, Fault> {
    answer.map(Response::into_inner).map_err(|status| {
        let text = format_args!("{service} does not move its clock: {}", status.message());
        Fault::unavailable("SERVICE_UNREACHABLE", text).with("service", service)
    })
}

fn progress_of(service: &'static str, answer: pb::GetProgressResponse) -> Result<Progress, Fault> {
    let mut wrong = Violations::default();
    let now = wrong.instant("now", answer.now.as_ref());
    let next_due = wrong.optional_instant("next_due_time", answer.next_due_time.as_ref());
    match (now, next_due) {
        (Some(now), Some(next_due)) => Ok(Progress { service, now, next_due, answer }),
        _ => Err(Fault::internal(wrong)),
    }
}

/// The latest of the services' times. They differ only where a move was interrupted.
fn latest(all: &[Progress]) -> DateTime<Utc> {
    all.iter().map(|one| one.now).max().unwrap_or_default()
}

/// Where the feeds end, if all is numbered and read to the end by everybody; else UNAVAILABLE `NOT_SETTLED` with what
/// lags.
fn settled(all: &[Progress]) -> Result<Vec<i64>, Fault> {
    let not_settled = |text: String| Fault::unavailable("NOT_SETTLED", text);
    for one in all {
        if !one.answer.numbered {
            return Err(not_settled(format!("events of {} are not numbered", one.service)).with("service", one.service));
        }
        for source in all {
            let read = one.answer.follow_positions.get(source.service).copied();
            let end = source.answer.feed_position;
            if let Some(read) = read.filter(|read| *read != end) {
                let text = format!("{} has read {} up to {read} of {end}", one.service, source.service);
                return Err(not_settled(text).with("service", one.service).with("position", read).with("wanted", end));
            }
        }
    }
    Ok(all.iter().map(|one| one.answer.feed_position).collect())
}

/// Something stays due at its instant whatever is done about it.
fn stuck(all: &[Progress]) -> Fault {
    let due = all.iter().filter(|one| one.next_due.is_some()).min_by_key(|one| one.next_due);
    let (service, next) =
        due.map_or(("", String::new()), |one| (one.service, one.next_due.unwrap_or_default().to_rfc3339()));
    let text = format_args!("a deadline of {service} stays due");
    Fault::new(Code::FailedPrecondition, "CLOCK_STUCK", text).with("service", service).with("due", next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(service: &'static str, feed_position: i64, read: &[(&str, i64)]) -> Progress {
        let follow_positions = read.iter().map(|(source, position)| ((*source).to_owned(), *position)).collect();
        let answer = pb::GetProgressResponse { feed_position, numbered: true, follow_positions, ..Default::default() };
        Progress { service, now: DateTime::UNIX_EPOCH, next_due: None, answer }
    }

    #[test]
    fn settled_is_numbered_and_read_by_everybody() {
        let mut all =
            vec![at("leads", 7, &[("billing", 3)]), at("billing", 3, &[("leads", 7)]), at("reporting", 0, &[])];
        assert_eq!(settled(&all).unwrap(), [7, 3, 0]);
        all[0].answer.numbered = false;
        assert_eq!(settled(&all).unwrap_err().reason, "NOT_SETTLED");
        all[0].answer.numbered = true;
        all[2] = at("reporting", 0, &[("leads", 6)]);
        let fault = settled(&all).unwrap_err();
        assert_eq!((fault.metadata["service"].as_str(), fault.metadata["position"].as_str()), ("reporting", "6"));
    }

    #[test]
    fn a_stuck_deadline_is_named() {
        let mut all = vec![at("leads", 0, &[]), at("billing", 0, &[])];
        all[1].next_due = Some(DateTime::UNIX_EPOCH);
        assert_eq!(stuck(&all).metadata["service"], "billing");
    }
}
