use std::{io, net::SocketAddr, time::Duration};

use futures_util::{Stream, stream};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio_util::sync::CancellationToken;

use super::connection::{Io, Patience, Place, Places};
use crate::clock;

/// A bound address that nobody serves yet. Binding first makes an occupied port an error before anything starts, and
/// lets tests ask for port 0.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Binds an address such as `127.0.0.1:0`.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self)
    }

    /// The address, with the port that the system chose.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// The connections that come and find a place.
    pub(super) fn incoming(
        self,
        service: &'static str,
        places: Places,
        patience: Patience,
        kill: CancellationToken,
    ) -> impl Stream<Item = io::Result<Io>> {
        // An unfolded stream keeps the wait for the next connection when it is not polled to its end, as tonic does.
        stream::unfold(self.0, move |listener| {
            let (places, kill) = (places.clone(), kill.clone());
            async move {
                let (stream, remote, place) = next(service, &places, || listener.accept()).await;
                // Small answers must not wait for more to send.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "connection was gone at once");
                }
                Some((Ok(Io::new(stream, remote, place, patience, kill)), listener))
            }
        })
    }
}

/// The first pause after an error of the machine, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The next connection that finds a place. One that does not is closed at once, which its owner understands better than
/// silence. tonic would ask again without a pause where file descriptors ran out, and burn a core doing so.
async fn next<A>(service: &'static str, places: &Places, accept: impl Fn() -> A) -> (TcpStream, SocketAddr, Place)
where
    A: Future<Output = io::Result<(TcpStream, SocketAddr)>>,
{
    let mut pause = PAUSES.0;
    loop {
        match accept().await {
            Ok((stream, remote)) => {
                if let Some(place) = places.take(remote.ip()) {
                    return (stream, remote, place);
                }
                metrics::counter!("otdel_connections_refused_total", "service" => service).increment(1);
                tracing::debug!(service, "connection refused, too many are open");
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(service, %error, "no connection can be accepted");
                clock::pause(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Whether an error is the end of the one connection that was to be accepted, so that the next may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::{super::Limits, *};
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::Instant;

    /// "Too many open files".
    const EMFILE: i32 = 24;

    #[tokio::test]
    async fn accepting_goes_on_after_errors_and_pauses_only_for_those_of_the_machine() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let asked = AtomicU32::new(0);
        let began = Instant::now();
        let accept = || async {
            match asked.fetch_add(1, Ordering::SeqCst) {
                0..5 => Err(io::Error::from_raw_os_error(EMFILE)),
                5..1000 => Err(io::ErrorKind::ConnectionAborted.into()),
                _ => listener.accept().await,
            }
        };
        let _accepted = next("leads", &Places::new("leads", Limits::default()), accept).await;
        assert_eq!(asked.load(Ordering::SeqCst), 1001);
        // 10 + 20 + 40 + 80 + 160 ms for the first five, nothing for the others.
        assert!(began.elapsed() >= Duration::from_millis(310), "{:?}", began.elapsed());
    }
}
