//! Waiting for something that comes by itself, without a guess at how long it takes.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use otdel_runtime::clock::pause;
use tonic::{Response, Status};

use crate::refusal::is_unknown;

/// How long a test waits for something that must come: generous, because a slow machine is no failure.
/// `OTDEL_TEST_PATIENCE_S` changes it.
pub fn patience() -> Duration {
    let seconds = std::env::var("OTDEL_TEST_PATIENCE_S").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    Duration::from_secs(seconds)
}

/// Asks again and again until the answer is `Ok`, and fails with the last `Err` when patience ends.
pub async fn eventually<T, E: std::fmt::Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + patience();
    loop {
        match ask().await {
            Ok(value) => return value,
            Err(error) if Instant::now() > end => panic!("{what}: still {error:?} after {:?}", patience()),
            Err(_) => pause(Duration::from_millis(10)).await,
        }
    }
}

/// Sends a request, the same each time, until its outcome is known: an answer, or a refusal that would come again.
pub async fn known<T, F: Future<Output = Result<Response<T>, Status>>>(send: impl Fn() -> F) -> Result<T, Status> {
    eventually("the outcome is known", || async {
        match send().await {
            Err(status) if is_unknown(&status) => Err(status),
            outcome => Ok(outcome.map(Response::into_inner)),
        }
    })
    .await
}
