use std::time::Duration;

use otdel_runtime::clock::pause;
use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::line::{Submission, Violation};
use crate::client::Client;

/// What came of a line.
pub(super) enum Outcome {
    /// The lead is there.
    TakenIn,
    /// This line is wrong; others may not be.
    Refused(Vec<Violation>),
    /// Nothing more can be sent.
    Stopped(Status),
}

const SUBMIT: &str = "/otdel.leads.v1.LeadService/SubmitLead";

const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often a line is sent whose outcome is unknown: for about two minutes beside what the answers take.
const TRIES: u32 = 30;

/// Sends a line until its outcome is known.
pub(super) async fn send(client: &Client, mut submission: Submission) -> Outcome {
    if !submission.violations.is_empty() {
        // Never taken in without an id; so the service says what else is wrong with it.
        submission.request.request_id.clear();
    }
    let (request, mut wait) = (submission.request.encode_to_vec(), SHORTEST_PAUSE);
    let mut tries = 0;
    loop {
        let Err(status) = client.call(SUBMIT, request.clone()).await else { return Outcome::TakenIn };
        tries += 1;
        match status.code() {
            Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition => {
                return Outcome::Refused(violations(submission.violations, &status));
            }
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::Cancelled
            | Code::Unknown
                if tries < TRIES =>
            {
                let asked = status.get_details_retry_info().and_then(|info| info.retry_delay);
                pause(asked.unwrap_or(wait).min(LONGEST_PAUSE)).await;
                wait = (wait * 2).min(LONGEST_PAUSE);
            }
            _ => return Outcome::Stopped(status),
        }
    }
}

/// What was found here and what the service says, each field once.
fn violations(found: Vec<Violation>, status: &Status) -> Vec<Violation> {
    let mut all = found;
    let unsent = !all.is_empty();
    let told = status.get_details_bad_request().map(|wrong| wrong.field_violations).unwrap_or_default();
    for violation in told {
        let ours = unsent && violation.field == "request_id";
        if !ours && !all.iter().any(|(field, _)| *field == violation.field) {
            all.push((violation.field, violation.description));
        }
    }
    if all.is_empty() {
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        all.push((reason, status.message().to_owned()));
    }
    all
}
