use std::{
    collections::BTreeSet,
    error::Error,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{Notify, watch},
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{ServiceExt as _, service_fn};

use super::{
    health,
    resolve::{HostPort, keep_resolving, look_up},
    rpc::NotAnswered,
    tls::{BadTls, ClientTls},
};
use crate::held::Held;

/// How often names are resolved again, so that a replica that comes takes load and one that goes is forgotten.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// How long an address that was not reached is passed over while there are others: twice as long each time.
const REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(5);

/// How long an address may take to accept a connection.
const CONNECTING: Duration = Duration::from_secs(2);

/// How long a replica may leave all calls at it unanswered before others are preferred.
const QUIET: Duration = Duration::from_secs(1);

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
    /// Told when it is not reached.
    missed: Arc<Notify>,
    /// Listens to its health until the last clone is dropped.
    _listener: Arc<AbortOnDropHandle<()>>,
}

/// What is known of a replica.
#[derive(Debug, Default)]
struct State(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Calls until their last byte.
    under_way: usize,
    /// Calls whose answer has not begun.
    unanswered: usize,
    /// While there are such calls: when it was heard last, or first asked.
    quiet_since: Option<Instant>,
    /// How often it was not reached since it last answered, and when the last time was.
    failures: u32,
    failed_at: Option<Instant>,
    /// Its role says that it is not ready, or has not said yet that it is.
    unready: bool,
}

impl Replicas {
    /// The replicas behind `endpoints`. A task of its own looks for them until the last clone is dropped.
    pub(super) fn new(peer: &'static str, endpoints: Vec<HostPort>, tls: Option<ClientTls>) -> Result<Self, BadTls> {
        let missed = Arc::new(Notify::new());
        let connect = Connect { peer, tls, missed: missed.clone(), patience: CONNECTING };
        // What is wrong with a certificate is to be said at the start, not at the first call.
        connect.endpoint(SocketAddr::from(([127, 0, 0, 1], 1)))?;
        let (publish, known) = watch::channel(None::<Arc<[Replica]>>);
        tokio::spawn(async move {
            // Of the first ones nothing is known, so they are as good as each other; one that comes later is called when
            // it has said that it is ready.
            let found = |addresses: &BTreeSet<SocketAddr>, is_first: bool| {
                let before = publish.borrow().clone().unwrap_or_default();
                publish.send_replace(Some(connect.all(&before, addresses, !is_first)));
            };
            tokio::select! {
                () = keep_resolving(&endpoints, RESOLVE_EVERY, &missed, look_up, found) => {}
                () = publish.closed() => {}
            }
        });
        Ok(Self { known, turn: Arc::default() })
    }

    /// Whether there is a replica that is not in `tried`.
    pub(super) fn has_other(&self, tried: &[SocketAddr]) -> bool {
        let known = self.known.borrow();
        known.iter().flat_map(|known| known.iter()).any(|replica| !tried.contains(&replica.address))
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

/// The replica that was not tried yet, does not rest, is not quiet and has the least to do; among equals each in its turn.
/// One that says nothing on a machine that is slow may still answer, one that rests has just been found not to be there.
fn choose<'a>(replicas: &'a [Replica], tried: &[SocketAddr], turn: usize) -> Option<&'a Replica> {
    let start = turn.checked_rem(replicas.len())?;
    let now = Instant::now();
    replicas[start..].iter().chain(&replicas[..start]).min_by_key(|replica| {
        let seen = replica.state.seen();
        (tried.contains(&replica.address), seen.rests(now), seen.is_quiet(now), seen.under_way)
    })
}

impl Replica {
    async fn call(&self, request: Request<Body>) -> Result<Response<Body>, NotAnswered> {
        let mut under_way = UnderWay::begin(&self.state);
        match self.channel.clone().oneshot(request).await {
            // Under way until the answer's last byte: a replica that streams has something to do.
            Ok(response) => {
                under_way.answered();
                Ok(response.map(|body| {
                    Body::new(body.map_frame(move |frame| {
                        let _ = &under_way;
                        frame
                    }))
                }))
            }
            Err(error) => {
                let failure = NotAnswered::from(&error as &(dyn Error + 'static));
                // One whose answer the caller did not wait for is slow, which its load and its silence tell.
                if matches!(failure, NotAnswered::Unreached(_) | NotAnswered::Unconnected(_)) {
                    self.state.seen().failed(Instant::now());
                    self.missed.notify_one();
                }
                Err(failure)
            }
        }
    }
}

impl State {
    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = Some(now);
    }

    /// Whether it says that it is not ready, or was not reached lately. One that was not reached rests longer each time,
    /// because a new try costs a call up to 4 s where nothing says no; then one call at a time finds out whether it is back.
    fn rests(&self, now: Instant) -> bool {
        let rest = REST.saturating_mul(1 << self.failures.saturating_sub(1).min(16)).min(LONGEST_REST);
        let since = |at| now.saturating_duration_since(at);
        self.unready || self.failed_at.is_some_and(|at| since(at) < rest || self.unanswered > 0)
    }

    /// Whether it is asked and says nothing: it may be stopped. The calls at it wait until their time or the connection's
    /// is over, and no others join them. One that is only slow loses nothing but a few calls to the others.
    fn is_quiet(&self, now: Instant) -> bool {
        self.quiet_since.is_some_and(|at| now.saturating_duration_since(at) >= QUIET)
    }
}

/// Counts a call as under way for as long as it lives.
struct UnderWay {
    state: Arc<State>,
    is_answered: bool,
}

impl UnderWay {
    fn begin(state: &Arc<State>) -> Self {
        let mut seen = state.seen();
        seen.under_way += 1;
        seen.unanswered += 1;
        seen.quiet_since.get_or_insert_with(Instant::now);
        drop(seen);
        Self { state: state.clone(), is_answered: false }
    }

    /// The answer has begun.
    fn answered(&mut self) {
        self.is_answered = true;
        let mut seen = self.state.seen();
        seen.unanswered -= 1;
        seen.quiet_since = (seen.unanswered > 0).then(Instant::now);
        (seen.failures, seen.failed_at) = (0, None);
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut seen = self.state.seen();
        seen.under_way -= 1;
        if !self.is_answered {
            seen.unanswered -= 1;
            if seen.unanswered == 0 {
                seen.quiet_since = None;
            }
        }
    }
}

/// How a connection to a peer is set up.
struct Connect {
    peer: &'static str,
    tls: Option<ClientTls>,
    missed: Arc<Notify>,
    /// How long an address may take to accept a connection.
    patience: Duration,
}

impl Connect {
    /// A connection that is made when it is first needed, and again after it was lost.
    fn to(&self, address: SocketAddr, unready: bool) -> Result<Replica, BadTls> {
        let patience = self.patience;
        let connector = service_fn(move |_| connect(address, patience));
        let channel = self.endpoint(address)?.connect_with_connector_lazy(connector);
        let state = Arc::new(State(Mutex::new(Seen { unready, ..Seen::default() })));
        let (peer, missed) = (self.peer, self.missed.clone());
        let tell = {
            let (state, missed) = (state.clone(), missed.clone());
            move |ready: bool| {
                let was_unready = std::mem::replace(&mut state.seen().unready, !ready);
                if was_unready == ready {
                    tracing::info!(peer, %address, ready, "replica's readiness changed");
                    missed.notify_one();
                }
            }
        };
        let listener = tokio::spawn(health::listen(channel.clone(), tell));
        Ok(Replica { address, channel, state, missed, _listener: Arc::new(AbortOnDropHandle::new(listener)) })
    }

    fn endpoint(&self, address: SocketAddr) -> Result<Endpoint, BadTls> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(BadTls::Unusable)?
            // A peer that is gone without a word is noticed within 7 s, whether calls are under way or not: soon enough
            // for a call of 10 s, the time of those whose callers name none, to be made at another.
            .http2_keep_alive_interval(Duration::from_secs(3))
            .keep_alive_timeout(Duration::from_secs(4))
            .keep_alive_while_idle(true);
        match &self.tls {
            Some(tls) => endpoint.tls_config(tls.for_peer(self.peer)).map_err(BadTls::Unusable),
            None => Ok(endpoint),
        }
    }

    /// A connection to each address: those that there were, and new ones.
    fn all(&self, before: &[Replica], addresses: &BTreeSet<SocketAddr>, unready: bool) -> Arc<[Replica]> {
        let known = |address: &SocketAddr| before.iter().find(|replica| replica.address == *address).cloned();
        let connected = addresses.iter().filter_map(|address| {
            match known(address).map_or_else(|| self.to(*address, unready), Ok) {
                Ok(replica) => Some(replica),
                Err(error) => {
                    tracing::error!(peer = self.peer, %error, "address cannot be used");
                    None
                }
            }
        });
        connected.collect()
    }
}

/// Connects to an address. The time is kept here, within what tonic takes for connecting, so that a call that meets its end
/// is known not to have been asked yet.
async fn connect(address: SocketAddr, patience: Duration) -> io::Result<TokioIo<Held>> {
    let stream = timeout(patience, TcpStream::connect(address)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    // What leaves together is gathered by us, not by the kernel.
    stream.set_nodelay(true)?;
    let mut stream = Held::new(stream);
    stream.hold();
    Ok(TokioIo::new(stream))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    fn connect() -> Connect {
        Connect { peer: "leads", tls: None, missed: Arc::default(), patience: Duration::from_millis(50) }
    }

    fn replica(port: u16) -> Replica {
        connect().to(SocketAddr::from(([127, 0, 0, 1], port)), false).unwrap()
    }

    fn ago(time: Duration) -> Instant {
        Instant::now().checked_sub(time).unwrap()
    }

    #[tokio::test]
    async fn equals_take_turns_and_what_failed_rests() {
        let replicas = [1, 2, 3].map(replica);
        let port = |tried: &[SocketAddr], turn| choose(&replicas, tried, turn).unwrap().address.port();
        assert_eq!([port(&[], 0), port(&[], 1), port(&[], 2), port(&[], 3)], [1, 2, 3, 1]);
        assert_eq!(port(&[replicas[0].address], 0), 2);

        let busy = UnderWay::begin(&replicas[0].state);
        assert_eq!(port(&[], 0), 2);
        drop(busy);

        replicas[0].state.seen().failed(Instant::now());
        assert_eq!(port(&[], 0), 2);
        // Where everybody was tried, one that failed is better than none.
        let others = [replicas[1].address, replicas[2].address];
        assert_eq!(port(&others, 1), 1);
        replicas[0].state.seen().failed_at = Some(ago(REST));
        assert_eq!(port(&[], 0), 1);
        assert!(choose(&[], &[], 7).is_none());
    }

    #[tokio::test]
    async fn what_does_not_accept_in_time_was_not_asked_yet() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let listener = socket.listen(1).unwrap();
        let (address, patience) = (listener.local_addr().unwrap(), connect().patience);
        let mut waiting = Vec::new();
        while let Ok(stream) = timeout(patience, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
        }
        let replica = connect().to(address, false).unwrap();
        let failure = replica.call(Request::new(Body::empty())).await.unwrap_err();
        assert!(matches!(failure, NotAnswered::Unconnected(_)), "{failure:?}");
    }

    #[tokio::test]
    async fn what_fails_again_rests_longer_until_it_answers() {
        let replicas = [1, 2].map(replica);
        let state = &replicas[0].state;
        let is_chosen = || choose(&replicas, &[], 0).unwrap().address.port() == 1;
        for rest in [1, 2, 4, 5, 5] {
            state.seen().failed(ago(Duration::from_millis(rest * 1000 - 500)));
            assert!(!is_chosen(), "before {rest} s are over");
            state.seen().failed_at = Some(ago(Duration::from_secs(rest)));
            assert!(is_chosen(), "after {rest} s");
        }
        state.seen().failures = u32::MAX;
        assert!(is_chosen());

        // A stream that goes on is no call that finds out.
        let mut stream = UnderWay::begin(state);
        stream.answered();
        state.seen().failed(ago(LONGEST_REST));
        let busy = [0; 2].map(|_| UnderWay::begin(&replicas[1].state));
        assert!(is_chosen());
        drop((stream, busy));

        // One call finds out, and the others are not made to wait for it.
        let busy = UnderWay::begin(&replicas[1].state);
        let mut first = UnderWay::begin(state);
        assert!(!is_chosen());
        first.answered();
        drop(first);
        assert!(is_chosen());
        state.seen().failed(Instant::now());
        assert_eq!(state.seen().failures, 1, "an answer made it good");
        drop(busy);
    }

    #[tokio::test]
    async fn one_that_says_nothing_is_passed_over_however_much_the_others_have_to_do() {
        let replicas = [1, 2].map(replica);
        let is_chosen = || choose(&replicas, &[], 0).unwrap().address.port() == 1;
        let state = &replicas[0].state;
        let stuck = UnderWay::begin(state);
        let busy = [0; 3].map(|_| UnderWay::begin(&replicas[1].state));
        assert!(is_chosen(), "it has the least to do");
        state.seen().quiet_since = Some(ago(QUIET));
        assert!(!is_chosen());
        assert!(choose(&replicas[..1], &[], 0).is_some(), "there is no other");
        replicas[1].state.seen().failed(Instant::now());
        assert!(is_chosen(), "the other is not even there");
        replicas[1].state.seen().failed_at = None;

        // An answer to anybody is a word.
        UnderWay::begin(state).answered();
        assert!(is_chosen());
        state.seen().quiet_since = Some(ago(QUIET));
        drop(stuck);
        assert!(is_chosen(), "nobody waits for it any more");
        drop(busy);
    }

    #[tokio::test]
    async fn one_that_came_later_is_called_when_it_says_that_it_is_ready() {
        let of = |ports: &[u16]| ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        let first = connect().all(&[], &of(&[1]), false);
        let both = connect().all(&first, &of(&[1, 2]), true);
        let port = |tried: &[SocketAddr]| choose(&both, tried, 1).unwrap().address.port();
        assert_eq!(port(&[]), 1);
        // Rather one that may not be ready than the same once more.
        assert_eq!(port(&[both[0].address]), 2);
        both[1].state.seen().unready = false;
        assert_eq!(port(&[]), 2);
    }

    #[tokio::test]
    async fn a_known_address_keeps_its_connection() {
        let connect = connect();
        let of = |ports: &[u16]| ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        let first = connect.all(&[], &of(&[1, 2]), false);
        let second = connect.all(&first, &of(&[2, 3]), false);
        assert_eq!(second.iter().map(|replica| replica.address.port()).collect::<Vec<_>>(), [2, 3]);
        assert!(Arc::ptr_eq(&first[1].state, &second[0].state));
    }
}
