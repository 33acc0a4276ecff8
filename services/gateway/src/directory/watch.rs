//! Following leads' directory.

use std::time::Duration;

use otdel_api::leads::{
    WatchDirectoryRequest, WatchDirectoryResponse, directory_service_client::DirectoryServiceClient,
};
use otdel_runtime::{
    auth::Identity,
    call::own_request,
    clock::{pause, system_now},
    peers::Rpc,
};
use tokio::time::timeout;
use tonic::Status;

use super::{Directory, Known};

/// The pauses between tries: leads may be starting at the same moment, or be down for an hour.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The whole directory is one message: some 300 bytes a principal.
const LARGEST_DIRECTORY: usize = 64 * 1024 * 1024;

/// Why the stream ended, though it never should.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{}: {}", .0.code(), .0.message())]
    Refused(Status),
    #[error("there was no word for too long")]
    Silent,
    #[error("the stream ended")]
    Closed,
    #[error("a version was confirmed that is not known here")]
    UnknownVersion,
}

/// Keeps the directory as leads has it, for ever. Where leads says nothing for `patience`, it is asked anew: it may be
/// gone without a word.
pub(super) async fn follow(directory: &Directory, leads: Rpc, identity: &Identity, patience: Duration) {
    let mut next_pause = SHORTEST_PAUSE;
    loop {
        let mut heard = false;
        let ended = listen(directory, leads.clone(), identity, patience, &mut heard).await;
        if heard {
            next_pause = SHORTEST_PAUSE;
        }
        directory.note_readiness(system_now());
        tracing::warn!(cause = %ended, "directory is not followed, trying again");
        pause(next_pause).await;
        next_pause = (next_pause * 2).min(LONGEST_PAUSE);
    }
}

/// Takes in what leads sends until it ends.
async fn listen(directory: &Directory, leads: Rpc, identity: &Identity, patience: Duration, heard: &mut bool) -> Ended {
    let mut client = DirectoryServiceClient::new(leads).max_decoding_message_size(LARGEST_DIRECTORY);
    let ask = own_request(identity, WatchDirectoryRequest {});
    let mut stream = match timeout(patience, client.watch_directory(ask)).await {
        Ok(Ok(answer)) => answer.into_inner(),
        Ok(Err(status)) => return Ended::Refused(status),
        Err(_) => return Ended::Silent,
    };
    loop {
        let sent = match timeout(patience, stream.message()).await {
            Ok(Ok(Some(sent))) => sent,
            Ok(Ok(None)) => return Ended::Closed,
            Ok(Err(status)) => return Ended::Refused(status),
            Err(_) => return Ended::Silent,
        };
        if !take_in(directory, sent) {
            return Ended::UnknownVersion;
        }
        *heard = true;
    }
}

/// Takes over or confirms, and tells whether that could be done.
fn take_in(directory: &Directory, sent: WatchDirectoryResponse) -> bool {
    let now = system_now();
    if sent.unchanged {
        return directory.confirm(sent.version, now);
    }
    let known = Known::from(sent);
    tracing::info!(directory.version = known.version, directory.keys = known.len(), "directory loaded");
    directory.replace(known, now);
    true
}
