//! A section of an answer that several services give together.

use std::time::Duration;

use otdel_api::gateway as pb;
use otdel_runtime::call::Call;
use tokio::time::timeout;
use tonic::{Code, Request, Status};

/// How long a section may take.
const LONGEST: Duration = Duration::from_secs(3);

/// What a peer gave for a section.
#[derive(Debug)]
pub(crate) enum Section<T> {
    /// The section.
    Here(T),
    /// The peer says that there is no such thing in the caller's reach.
    NotFound,
    /// It could not be had.
    Missing(pb::MissingSection),
}

/// How long each section of a call may take: less than the whole call, so that what was had can still be answered.
fn time_limit<T>(call: &Call<T>) -> Duration {
    call.time_left().map_or(LONGEST, |left| LONGEST.min(left * 3 / 4))
}

/// A request to a peer for the same caller, within a section's time.
pub(crate) fn forward<T, M>(call: &Call<T>, msg: M) -> Request<M> {
    let mut request = call.forward(msg);
    request.set_timeout(time_limit(call));
    request
}

/// Waits for a section of `service`, and no longer than its time.
pub(crate) async fn section<C, T>(
    call: &Call<C>,
    name: &str,
    service: &'static str,
    answer: impl Future<Output = Result<T, Status>>,
) -> Section<T> {
    let code = match timeout(time_limit(call), answer).await {
        Ok(Ok(answer)) => return Section::Here(answer),
        Ok(Err(status)) => status.code(),
        Err(_) => Code::DeadlineExceeded,
    };
    if code == Code::NotFound {
        return Section::NotFound;
    }
    tracing::info!(section = name, service, ?code, "section is missing");
    let reason = match code {
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        // Whatever else a peer fails with, the caller can do no more about it than try again.
        _ => "UNAVAILABLE",
    };
    Section::Missing(pb::MissingSection { section: name.into(), service: service.into(), reason: reason.into() })
}

impl<T: Default> Section<T> {
    /// The section, or an empty one: what is not found is not there, what is missing is noted.
    pub(crate) fn or_note(self, missing: &mut Vec<pb::MissingSection>) -> T {
        match self {
            Self::Here(value) => return value,
            Self::NotFound => {}
            Self::Missing(section) => missing.push(section),
        }
        T::default()
    }
}
