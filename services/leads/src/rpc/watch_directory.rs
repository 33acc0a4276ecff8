use std::time::Duration;

use otdel_api::leads as pb;
use otdel_runtime::{
    call::{self, tell},
    clock,
    fault::Fault,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::present;
use crate::{Leads, error::Error, store};

/// How often to look whether another replica changed the directory; this one's changes wake the stream.
const LOOK: Duration = Duration::from_millis(250);

/// How often an unchanged directory is confirmed.
const CONFIRM: Duration = Duration::from_secs(5);

/// What `WatchDirectory` answers with.
pub(crate) type DirectoryStream = ReceiverStream<Result<pb::WatchDirectoryResponse, Status>>;

/// Sends the whole directory, again whenever it changed, and in between the word that it did not. The stream is no unit of
/// work: it only reads, and holds no connection while it waits.
pub(crate) fn watch_directory(
    app: Leads,
    request: Request<pb::WatchDirectoryRequest>,
) -> Result<Response<DirectoryStream>, Status> {
    let service = app.core.service;
    call::admitted(&app.core, request).map_err(|fault| tell(service, &fault))?;
    let (send, receive) = mpsc::channel(1);
    let watch = async move {
        let ended = tokio::select! {
            () = send.closed() => return,
            () = app.feed.ended() => Fault::unavailable("SHUTTING_DOWN", "the service is shutting down").into_status(service),
            Err(error) = watch(&app, &send) => tell(service, &error),
        };
        // A reader that is gone or has stopped reading needs no farewell.
        let _ = send.try_send(Err(ended));
    };
    tokio::spawn(watch.in_current_span());
    Ok(Response::new(ReceiverStream::new(receive)))
}

type Send = mpsc::Sender<Result<pb::WatchDirectoryResponse, Status>>;

/// Sends until the reader is gone or the database cannot be read.
async fn watch(app: &Leads, send: &Send) -> Result<(), Error> {
    let (mut sent, mut told) = (None, Instant::now());
    loop {
        // Asked for before the look, so that no change falls between the two.
        let changed = app.directory_changed.notified();
        let version = current(app).await?;
        if sent != Some(version) {
            let directory = read(app).await?;
            sent = Some(directory.version);
            told = Instant::now();
            let _ = send.send(Ok(directory)).await;
        } else if told.elapsed() >= CONFIRM {
            told = Instant::now();
            let _ = send.send(Ok(pb::WatchDirectoryResponse { version, unchanged: true, ..Default::default() })).await;
        }
        tokio::select! {
            () = changed => {}
            () = clock::pause(LOOK) => {}
        }
    }
}

async fn current(app: &Leads) -> Result<i64, Error> {
    let mut db = app.core.db.acquire().await?;
    Ok(store::directory::version(&mut db).await?)
}

/// The whole directory as of one moment.
async fn read(app: &Leads) -> Result<pb::WatchDirectoryResponse, Error> {
    let mut tx = app.core.snapshot().await?;
    let version = store::directory::version(&mut tx).await?;
    let principals = store::principals::all(&mut tx).await?;
    let keys = store::api_keys::live(&mut tx).await?;
    tx.commit().await?;
    Ok(pb::WatchDirectoryResponse {
        version,
        principals: principals.iter().map(present::directory_principal).collect(),
        keys: keys.iter().map(present::directory_key).collect(),
        unchanged: false,
    })
}
