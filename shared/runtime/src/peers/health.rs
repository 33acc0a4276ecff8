//! Listening to a replica's health: one that starts or ends, or has lost its database, says so before calls fail on it.

use std::time::Duration;

use tonic::{Code, Status, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::clock;

/// How soon a replica that is not heard is listened to again.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells whether the replica at the other end says that it is ready, whenever that changes and whenever it is no longer
/// heard, for ever.
pub(super) async fn listen(channel: Channel, tell: impl Fn(bool)) {
    loop {
        let status = follow(&channel, &tell).await;
        // Who has no health to tell is well while it can be reached, as gRPC has it.
        tell(status.code() == Code::Unimplemented);
        clock::pause(AGAIN).await;
    }
}

/// Tells every state as it comes, and returns why no more does.
async fn follow(channel: &Channel, tell: &impl Fn(bool)) -> Status {
    let watch = HealthClient::new(channel.clone()).watch(HealthCheckRequest::default()).await;
    let mut states = match watch {
        Ok(response) => response.into_inner(),
        Err(status) => return status,
    };
    loop {
        match states.message().await {
            Ok(Some(state)) => tell(state.status() == ServingStatus::Serving),
            Ok(None) => return Status::unavailable("the stream ended"),
            Err(status) => return status,
        }
    }
}
