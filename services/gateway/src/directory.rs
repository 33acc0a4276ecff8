//! Who may call: principals, keys and logins, as leads tells them, in memory.

mod known;
mod watch;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use otdel_runtime::{auth::Identity, clock::system_now, fault::Fault, peers::Rpc};
use tokio::sync::watch as cell;
use tokio_util::sync::CancellationToken;

pub(crate) use self::known::{Known, KnownKey, Pass};

/// How long the gateway goes on with what it knows while leads is down. Real time, because it guards against the world
/// outside: a key that was revoked meanwhile still lets in.
const TRUSTED_FOR: TimeDelta = TimeDelta::minutes(15);

/// Leads confirms an unchanged directory every 5 s.
const PATIENCE: Duration = Duration::from_secs(15);

/// The directory. Cheap to clone; readers never wait for the one who refreshes it.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    current: Arc<cell::Sender<Option<Confirmed>>>,
    ready: Arc<cell::Sender<bool>>,
}

/// What is known, and when leads last said that it is so.
#[derive(Clone, Debug)]
pub(crate) struct Confirmed {
    known: Arc<Known>,
    at: DateTime<Utc>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { current: Arc::new(cell::Sender::new(None)), ready: Arc::new(cell::Sender::new(false)) }
    }
}

impl Directory {
    /// What is known, if leads confirmed it recently enough; UNAVAILABLE otherwise, because nobody can be told apart.
    pub(crate) fn known(&self) -> Result<Arc<Known>, Fault> {
        self.known_at(system_now())
    }

    fn known_at(&self, now: DateTime<Utc>) -> Result<Arc<Known>, Fault> {
        match self.current.borrow().as_ref() {
            Some(confirmed) if now - confirmed.at <= TRUSTED_FOR => Ok(confirmed.known.clone()),
            Some(_) => Err(Fault::unavailable("DIRECTORY_STALE", "the principals are not known recently enough")),
            None => Err(Fault::unavailable("DIRECTORY_STALE", "the principals are not known yet")),
        }
    }

    /// Told of each new directory; that the one known is confirmed is none.
    pub(crate) fn changes(&self) -> cell::Receiver<Option<Confirmed>> {
        self.current.subscribe()
    }

    /// Whether callers can be told apart: false before the first load and once what was loaded is too old.
    pub(crate) fn readiness(&self) -> cell::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Follows leads' directory until it is stopped. Whatever breaks is logged and tried again after a pause.
    pub(crate) async fn follow(&self, leads: Rpc, identity: &Identity, stop: CancellationToken) {
        self.follow_with(leads, identity, PATIENCE, stop).await;
    }

    /// The same with another patience, for tests.
    pub(crate) async fn follow_with(
        &self,
        leads: Rpc,
        identity: &Identity,
        patience: Duration,
        stop: CancellationToken,
    ) {
        stop.run_until_cancelled(watch::follow(self, leads, identity, patience)).await;
    }

    /// Takes over what leads sent whole.
    fn replace(&self, known: Known, at: DateTime<Utc>) {
        self.current.send_replace(Some(Confirmed { known: Arc::new(known), at }));
        self.note_readiness(at);
    }

    /// Notes that what is known still holds, and tells whether it is of this version.
    fn confirm(&self, version: i64, at: DateTime<Utc>) -> bool {
        let mut is_known = false;
        self.current.send_if_modified(|current| {
            if let Some(confirmed) = current.as_mut().filter(|confirmed| confirmed.known.version == version) {
                (confirmed.at, is_known) = (at, true);
            }
            false
        });
        self.note_readiness(at);
        is_known
    }

    fn note_readiness(&self, now: DateTime<Utc>) {
        let ready = self.known_at(now).is_ok();
        self.ready.send_if_modified(|was| std::mem::replace(was, ready) != ready);
    }
}

#[cfg(test)]
mod tests {
    use otdel_api::leads::WatchDirectoryResponse;

    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap()
    }

    fn version(version: i64) -> Known {
        Known::from(WatchDirectoryResponse { version, ..Default::default() })
    }

    #[test]
    fn nobody_is_known_before_the_first_load() {
        let directory = Directory::default();
        assert_eq!(directory.known_at(at(0)).unwrap_err().reason, "DIRECTORY_STALE");
        assert!(!*directory.readiness().borrow());
    }

    #[test]
    fn what_was_known_is_good_for_a_quarter_of_an_hour() {
        let directory = Directory::default();
        directory.replace(version(7), at(0));
        assert!(*directory.readiness().borrow());
        assert_eq!(directory.known_at(at(15)).unwrap().version, 7);
        assert_eq!(directory.known_at(at(16)).unwrap_err().reason, "DIRECTORY_STALE");
        directory.note_readiness(at(16));
        assert!(!*directory.readiness().borrow());
    }

    #[test]
    fn a_confirmation_prolongs_it() {
        let directory = Directory::default();
        assert!(!directory.confirm(7, at(0)), "there is nothing to confirm");
        directory.replace(version(7), at(0));
        assert!(directory.confirm(7, at(10)));
        assert_eq!(directory.known_at(at(20)).unwrap().version, 7);
        assert!(!directory.confirm(8, at(20)), "another version");
        assert!(directory.known_at(at(26)).is_err());
    }
}
