//! How the commands end.

use std::process::ExitCode;

/// How a command ended that did not fail. One that failed exits with 1 too, and a wrong command line with 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and all is well.
    Well,
    /// It found something that is not as it should be.
    Wrong,
    /// Nothing is wrong, and it is not over: services do the rest by themselves when they run.
    Pending,
    /// Parts of what was given were refused, and are told; the rest is done.
    Rejected,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Well => 0,
            Exit::Wrong => 1,
            Exit::Pending => 3,
            Exit::Rejected => 4,
        })
    }
}
