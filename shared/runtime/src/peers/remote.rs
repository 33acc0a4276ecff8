use std::{
    collections::BTreeSet,
    error::Error,
    fmt, io,
    net::SocketAddr,
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::{sync::watch, time::Instant};
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::ServiceExt as _;

use super::{
    rpc::NotAnswered,
    tls::{BadTls, ClientTls},
};
use crate::clock;

/// How often names are resolved again, so that a replica that comes takes load and one that goes is forgotten.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// How long an address that did not answer is passed over while there are others.
const REST: Duration = Duration::from_secs(1);

/// Where a service listens: a name or an address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A DNS name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A text that is not `host:port`.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not of the form host:port")]
pub struct BadAddress(String);

impl FromStr for HostPort {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        // A colon in a host without brackets is an IPv6 address whose last group would be taken for the port.
        if host.is_empty() || (bare.is_none() && host.contains(':')) {
            return Err(bad());
        }
        Ok(Self { host: bare.unwrap_or(host).to_owned(), port: port.parse().map_err(|_| bad())? })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The replicas of a service in other processes.
///
/// Calls are spread by us and not by tonic's balancing channel: that one takes an address which refuses connections for
/// a ready one and counts every load as equal, so with one of two replicas gone a call failed three times in a row one
/// time in eight. Here a further try goes to another address, and an address that failed rests.
#[derive(Clone, Debug)]
pub(super) struct Replicas {
    known: watch::Receiver<Option<Arc<[Replica]>>>,
    turn: Arc<AtomicUsize>,
}

/// One address of a service.
#[derive(Clone, Debug)]
struct Replica {
    address: SocketAddr,
    channel: Channel,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    under_way: AtomicUsize,
    failed_at: Mutex<Option<Instant>>,
}

impl Replicas {
    /// The replicas behind `endpoints`. A task of its own looks for them until the last clone is dropped.
    pub(super) fn new(peer: &'static str, endpoints: Vec<HostPort>, tls: Option<ClientTls>) -> Result<Self, BadTls> {
        let connect = Connect { peer, tls };
        // What is wrong with a certificate is to be said at the start, not at the first call.
        connect.to(SocketAddr::from(([127, 0, 0, 1], 1)))?;
        let (publish, known) = watch::channel(None);
        tokio::spawn(resolve(connect, endpoints, publish));
        Ok(Self { known, turn: Arc::default() })
    }

    /// Calls a replica that is not in `tried` if there is one, and notes it there.
    pub(super) async fn call(
        &self,
        request: Request<Body>,
        tried: &mut Vec<SocketAddr>,
    ) -> Result<Response<Body>, NotAnswered> {
        let mut known = self.known.clone();
        let found = known.wait_for(Option::is_some).await.map_err(|_| "nobody looks for its addresses")?.clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let replica = choose(found.as_deref().unwrap_or_default(), tried, turn).ok_or("its name has no address")?;
        tried.push(replica.address);
        replica.call(request).await
    }
}

/// The replica that was not tried yet, does not rest, and has the least to do; among equals each in its turn.
fn choose<'a>(replicas: &'a [Replica], tried: &[SocketAddr], turn: usize) -> Option<&'a Replica> {
    let start = turn.checked_rem(replicas.len())?;
    let now = Instant::now();
    replicas[start..].iter().chain(&replicas[..start]).min_by_key(|replica| {
        let load = replica.state.under_way.load(Ordering::Relaxed);
        (tried.contains(&replica.address), replica.state.rests(now), load)
    })
}

impl Replica {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, NotAnswered> {
        let under_way = UnderWay::begin(&self.state);
        match self.channel.clone().oneshot(request).await {
            // Under way until the answer's last byte: a replica that streams has something to do.
            Ok(response) => Ok(response.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _ = &under_way;
                    frame
                }))
            })),
            Err(error) => {
                let failure = NotAnswered::from(&error as &(dyn Error + 'static));
                // One whose answer the caller did not wait for is slow, which its load tells.
                if matches!(failure, NotAnswered::Unreached(_)) {
                    *self.state.failed_at() = Some(Instant::now());
                }
                Err(failure)
            }
        }
    }
}

impl State {
    fn failed_at(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self, now: Instant) -> bool {
        self.failed_at().is_some_and(|at| now.saturating_duration_since(at) < REST)
    }
}

/// Counts a call as under way for as long as it lives.
struct UnderWay(Arc<State>);

impl UnderWay {
    fn begin(state: &Arc<State>) -> Self {
        state.under_way.fetch_add(1, Ordering::Relaxed);
        Self(state.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a connection to a peer is set up.
struct Connect {
    peer: &'static str,
    tls: Option<ClientTls>,
}

impl Connect {
    /// A connection that is made when it is first needed, and again after it was lost.
    fn to(&self, address: SocketAddr) -> Result<Replica, BadTls> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(BadTls::Unusable)?
            .connect_timeout(Duration::from_secs(2))
            .tcp_nodelay(true)
            // A peer that is gone without a word is noticed within 15 s, whether calls are under way or not.
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true);
        if let Some(tls) = &self.tls {
            endpoint = endpoint.tls_config(tls.for_peer(self.peer)).map_err(BadTls::Unusable)?;
        }
        Ok(Replica { address, channel: endpoint.connect_lazy(), state: Arc::default() })
    }
}

/// Looks for the addresses of a service for as long as somebody may call it.
async fn resolve(connect: Connect, endpoints: Vec<HostPort>, publish: watch::Sender<Option<Arc<[Replica]>>>) {
    while !publish.is_closed() {
        let (found, complete) = look_up(&endpoints).await;
        let before = publish.borrow().clone().unwrap_or_default();
        let mut now: Vec<Replica> = Vec::new();
        // A name that cannot be resolved says nothing about its addresses: what was known of it stays in use.
        now.extend(before.iter().filter(|replica| !complete || found.contains(&replica.address)).cloned());
        for address in &found {
            if before.iter().all(|replica| replica.address != *address) {
                match connect.to(*address) {
                    Ok(replica) => now.push(replica),
                    Err(error) => tracing::error!(peer = connect.peer, %error, "address cannot be used"),
                }
            }
        }
        publish.send_replace(Some(now.into()));
        tokio::select! {
            () = clock::pause(RESOLVE_EVERY) => {}
            () = publish.closed() => {}
        }
    }
}

/// Every address of every endpoint, and whether each endpoint could be resolved.
async fn look_up(endpoints: &[HostPort]) -> (BTreeSet<SocketAddr>, bool) {
    let (mut found, mut complete) = (BTreeSet::new(), true);
    for endpoint in endpoints {
        let addresses: io::Result<Vec<_>> =
            tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await.map(Iterator::collect);
        match addresses {
            Ok(addresses) => found.extend(addresses),
            Err(error) => {
                tracing::warn!(%endpoint, %error, "name cannot be resolved");
                complete = false;
            }
        }
    }
    (found, complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, host, port) in
            [("leads:50051", "leads", 50051), ("127.0.0.1:1", "127.0.0.1", 1), ("[::1]:80", "::1", 80)]
        {
            let parsed: HostPort = text.parse().unwrap();
            assert_eq!(parsed, HostPort { host: host.into(), port });
            assert_eq!(parsed.to_string(), text);
        }
        for text in ["", "leads", ":1", "leads:", "leads:65536", "::1:80", "leads:x"] {
            assert!(text.parse::<HostPort>().is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn equals_take_turns_and_what_failed_rests() {
        let connect = Connect { peer: "leads", tls: None };
        let of = |port| connect.to(SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
        let replicas = [of(1), of(2), of(3)];
        let port = |tried: &[SocketAddr], turn| choose(&replicas, tried, turn).unwrap().address.port();
        assert_eq!([port(&[], 0), port(&[], 1), port(&[], 2), port(&[], 3)], [1, 2, 3, 1]);
        assert_eq!(port(&[replicas[0].address], 0), 2);

        let busy = UnderWay::begin(&replicas[0].state);
        assert_eq!(port(&[], 0), 2);
        drop(busy);

        *replicas[0].state.failed_at() = Some(Instant::now());
        assert_eq!(port(&[], 0), 2);
        // Where everybody was tried, one that failed is better than none.
        let others = [replicas[1].address, replicas[2].address];
        assert_eq!(port(&others, 1), 1);
        *replicas[0].state.failed_at() = Instant::now().checked_sub(REST);
        assert_eq!(port(&[], 0), 1);
        assert!(choose(&[], &[], 7).is_none());
    }
}
