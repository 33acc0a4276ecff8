//! The one place that reads time.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound as _, Utc};
use tokio::sync::watch;

/// The time of the business: what `now` is for rules and rows. Tokens, certificates, RPC deadlines and rate limits use
/// the machine's time instead, because they guard against the world outside.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    System,
    /// On a test database time stands still until it is moved.
    Moved(watch::Sender<DateTime<Utc>>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(Kind::System))
    }

    /// A clock that stands at `now` until it is moved.
    pub fn standing_at(now: DateTime<Utc>) -> Self {
        Self(Arc::new(Kind::Moved(watch::Sender::new(now.trunc_subsecs(6)))))
    }

    /// The time, in whole microseconds, which is what PostgreSQL keeps.
    pub fn now(&self) -> DateTime<Utc> {
        match self.0.as_ref() {
            Kind::System => system_now(),
            Kind::Moved(at) => *at.borrow(),
        }
    }

    /// Moves a standing clock and tells whether it is one.
    pub fn move_to(&self, now: DateTime<Utc>) -> bool {
        match self.0.as_ref() {
            Kind::System => false,
            Kind::Moved(at) => {
                at.send_replace(now.trunc_subsecs(6));
                true
            }
        }
    }

    /// Whether the clock only moves when it is told to.
    pub fn is_standing(&self) -> bool {
        matches!(self.0.as_ref(), Kind::Moved(_))
    }

    /// Waits until it is `due`, but no longer than `at_most` of real time: somebody else may have set an earlier
    /// deadline. A standing clock waits for its next move instead.
    pub async fn wait_until(&self, due: Option<DateTime<Utc>>, at_most: Duration) {
        match self.0.as_ref() {
            Kind::System => {
                let ahead = due.and_then(|due| (due - system_now()).to_std().ok().or(Some(Duration::ZERO)));
                pause(ahead.map_or(at_most, |ahead| ahead.min(at_most))).await;
            }
            Kind::Moved(at) => {
                let mut moved = at.subscribe();
                if due.is_some_and(|due| due <= *moved.borrow_and_update()) {
                    return;
                }
                let _ = tokio::time::timeout(at_most, moved.changed()).await;
            }
        }
    }
}

/// The machine's time, for what guards against the world outside.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn system_now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

/// Pauses a loop for real time, whatever the business clock says.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}
