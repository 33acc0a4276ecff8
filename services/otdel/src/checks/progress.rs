use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How far a look has come, for whoever watches it on a terminal: written to the standard error, and nowhere else.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Something else is looked at.
    pub(super) fn begin(&self, what: String) {
        self.0.set_prefix(what.clone());
        self.0.set_message(what);
    }

    /// A place among a known number.
    pub(super) fn of(&self, at: i64, last: i64) {
        self.0.set_message(format!("{}: {at} of {last}", self.0.prefix()));
    }

    /// A number of rows of a table.
    pub(super) fn count(&self, table: &str, rows: u64) {
        self.0.set_message(format!("{}: {table}, {rows} rows", self.0.prefix()));
    }

    /// Writes something that stays, above what changes.
    pub(super) fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        self.0.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
