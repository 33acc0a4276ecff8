//! Moving the clock of a whole suite on a test database.

use chrono::{DateTime, Utc};
use otdel_api::test as pb;
use otdel_runtime::{call::Call, convert::timestamp, violations::Violations};

use crate::{Gateway, error::Error};

/// Moves the clocks of all services from one due instant to the next, and then the gateway's own. Repeating it is
/// harmless.
pub(crate) async fn advance_clock(
    app: Gateway,
    call: Call<pb::AdvanceClockRequest>,
) -> Result<pb::AdvanceClockResponse, Error> {
    let to = read(&call.msg)?;
    let arrived = app.suite.advance(to, call.time_left()).await?;
    app.clock.move_to(arrived.now);
    Ok(pb::AdvanceClockResponse { now: Some(timestamp(arrived.now)), instants: arrived.instants })
}

fn read(msg: &pb::AdvanceClockRequest) -> Result<DateTime<Utc>, Violations> {
    let mut wrong = Violations::default();
    wrong.instant("to", msg.to.as_ref()).ok_or(wrong)
}
