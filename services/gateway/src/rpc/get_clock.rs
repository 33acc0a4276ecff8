//! The time of a suite on a test database.

use otdel_api::test as pb;
use otdel_runtime::{call::Call, convert::timestamp};

use crate::{Gateway, error::Error};

/// Tells the suite's time. The services are asked: they keep it in their databases, and the gateway may have started
/// after it was moved.
pub(crate) async fn get_clock(app: Gateway, call: Call<pb::GetClockRequest>) -> Result<pb::GetClockResponse, Error> {
    let now = app.suite.now(call.time_left()).await?;
    Ok(pb::GetClockResponse { now: Some(timestamp(now)) })
}
