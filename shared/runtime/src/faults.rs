//! Commit fault points: where a test makes a commit fail as a crash would.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use crate::fault::Fault;

/// How a commit fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// Nothing is written, as when the process dies just before.
    Before,
    /// Everything is written and nobody is told, as when the process dies just after.
    After,
}

/// The fault points of a service. Without a plan every commit goes through; production code has no way to make one.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    commits: AtomicU64,
    at: Mutex<Option<(u64, CommitFault)>>,
}

impl Faults {
    /// Makes the commit after `skip` further ones fail, once.
    pub fn plan(&self, skip: u64, fault: CommitFault) {
        let at = self.commits() + skip + 1;
        if let Ok(mut plan) = self.0.at.lock() {
            *plan = Some((at, fault));
        }
    }

    /// How many commits there have been.
    pub fn commits(&self) -> u64 {
        self.0.commits.load(Ordering::SeqCst)
    }

    /// Whether a planned fault has not come yet.
    pub fn is_planned(&self) -> bool {
        self.0.at.lock().is_ok_and(|plan| plan.is_some())
    }

    /// Counts a commit and tells whether it is to fail.
    pub(crate) fn next_commit(&self) -> Option<CommitFault> {
        let number = self.0.commits.fetch_add(1, Ordering::SeqCst) + 1;
        let mut plan = self.0.at.lock().ok()?;
        let (at, fault) = (*plan)?;
        (number >= at).then(|| {
            *plan = None;
            fault
        })
    }

    /// What a caller sees of it: as after a crash, the outcome is unknown and the request may be sent again.
    pub(crate) fn injected() -> Fault {
        Fault::unavailable("INJECTED_FAULT", "a fault that a test asked for")
    }
}
