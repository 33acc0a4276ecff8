use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Health, Serving};
use crate::{clock, core::Units};

/// How much time an end takes.
#[derive(Clone, Copy, Debug)]
pub struct Drain {
    /// How long the role answers on after its health says that it will not, so that balancers look elsewhere first.
    pub notice: Duration,
    /// How long calls and units of work may take to end by themselves.
    pub limit: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { notice: Duration::from_secs(1), limit: Duration::from_secs(10) }
    }
}

/// What ends together: the roles of one process.
#[derive(Debug)]
pub struct Shutdown {
    /// The health of the roles.
    pub health: Vec<Health>,
    /// Their listeners.
    pub listeners: Vec<Serving>,
    /// What their workers, followers and sequencers are cancelled by.
    pub workers: CancellationToken,
    /// Their units of work; those of roles that call others in this process first.
    pub units: Vec<Units>,
    /// How much time it takes.
    pub drain: Drain,
}

/// How long connections have to close once everything is answered, and to break once they are killed.
const GRACE: Duration = Duration::from_millis(250);

/// Ends roles without losing a call, and tells whether every call and unit of work came to its end. The order:
///
/// 1. Health says `NOT_SERVING`, and a short wait lets balancers see it. Calls are answered all the while.
/// 2. The listeners close their ports and send GOAWAY; streams end with UNAVAILABLE, and their readers resume
///    elsewhere.
/// 3. The workers are cancelled, which they notice between two units of work.
/// 4. Calls under way get their answers; then units of work end, also those whose callers have left. Both within a hard
///    limit: without it one peer that says nothing, or ignores GOAWAY, holds the process for as long as it likes.
/// 5. Connections close, or are broken.
///
/// The caller then closes what the roles stand on: the hub and the database pools.
pub async fn shut_down(what: Shutdown) -> bool {
    for role in &what.health {
        role.set_ready(false).await;
    }
    if !what.drain.notice.is_zero() {
        clock::pause(what.drain.notice).await;
    }
    for listener in &what.listeners {
        listener.stop_accepting();
    }
    what.workers.cancel();
    let clean = timeout(what.drain.limit, ended(&what.listeners, &what.units)).await.is_ok();
    if clean {
        tracing::info!("every call is answered and every unit of work has ended");
    } else {
        tracing::warn!(limit_ms = what.drain.limit.as_millis(), "calls or units of work are broken off");
    }
    break_off(&what.listeners).await;
    clean
}

/// Waits until nothing is under way. A client may send one more call before it sees that it is to go, so that is looked
/// at again when its connection had time to close.
async fn ended(listeners: &[Serving], units: &[Units]) {
    loop {
        // Answers first, because they may need units of work in the other roles of this process.
        for listener in listeners {
            listener.answered().await;
        }
        for role in units {
            role.drained().await;
        }
        if timeout(GRACE, closed(listeners)).await.is_ok() || listeners.iter().all(Serving::is_idle) {
            return;
        }
    }
}

async fn closed(listeners: &[Serving]) {
    for listener in listeners {
        listener.closed().await;
    }
}

async fn break_off(listeners: &[Serving]) {
    for listener in listeners {
        listener.kill();
    }
    if timeout(GRACE, closed(listeners)).await.is_err() {
        tracing::warn!("connections are left behind");
    }
}
