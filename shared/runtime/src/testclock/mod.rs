//! Moving the clock of a whole suite on a test database, from one due instant to the next.
//!
//! Every service serves its [`ClockPart`] there (`Service::new` adds it); the gateway answers `AdvanceClock` with the
//! [`Coordinator`]:
//!
//! ```ignore
//! let to = wrong.instant("to", call.msg.to.as_ref());
//! let arrived = app.clock.advance(to, call.time_left()).await?;
//! Ok(pb::AdvanceClockResponse { now: Some(timestamp(arrived.now)), instants: arrived.instants })
//! ```

mod coordinator;
mod part;

pub use coordinator::{Arrived, Coordinator};
pub use part::ClockPart;
