use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::Version;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};
use tonic::transport::server::Connected;

use super::{Kind, Limits};
use crate::held::Held;

/// The connection that a request came on, in the request's extensions.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Known>);

#[derive(Debug)]
struct Known {
    remote: SocketAddr,
    used: Mutex<Used>,
    /// Whether it brought a request by HTTP/2.
    is_http2: AtomicBool,
    service: OnceLock<Option<&'static str>>,
}

/// How a connection is used.
#[derive(Debug, Default)]
struct Used {
    /// Calls whose answers are not sent yet.
    open: usize,
    /// When the last call came or was answered. None before the first.
    last: Option<Instant>,
}

/// A call that is under way on a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct InUse(Connection);

impl Drop for InUse {
    fn drop(&mut self) {
        let mut used = self.0.used();
        used.open -= 1;
        used.last = Some(Instant::now());
    }
}

/// How long a connection may stay without a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Before the first one.
    first: Duration,
    /// After it. None: for ever.
    between: Option<Duration>,
}

impl Patience {
    /// Whoever connects to an internal listener has shown a certificate of ours, and keeps its connection.
    pub(super) fn of(kind: Kind, limits: &Limits) -> Self {
        Self { first: limits.idle, between: (kind == Kind::Public).then_some(limits.rest) }
    }
}

impl Connection {
    fn new(remote: SocketAddr) -> Self {
        Self(Arc::new(Known {
            remote,
            used: Mutex::default(),
            is_http2: AtomicBool::default(),
            service: OnceLock::new(),
        }))
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The other end.
    pub fn remote(&self) -> SocketAddr {
        self.0.remote
    }

    /// Notes that a call came and is under way, so that the connection may stay.
    pub(super) fn begin_call(&self, version: Version) -> InUse {
        if version == Version::HTTP_2 {
            self.0.is_http2.store(true, Relaxed);
        }
        let mut used = self.used();
        used.open += 1;
        used.last = Some(Instant::now());
        InUse(self.clone())
    }

    /// Until when it may stay as things are, looked at a moment after it may have been too long. None: for ever.
    fn may_stay(&self, between: Option<Duration>) -> Option<Instant> {
        let (used, now) = (self.used(), Instant::now());
        match used.last {
            None => Some(now),
            Some(_) if used.open > 0 => Some(now + between?),
            Some(last) => Some(last + between?),
        }
    }

    /// The service at the other end, found out at the first request: a certificate is the same for all of them.
    pub(super) fn service(&self, find: impl FnOnce() -> Option<&'static str>) -> Option<&'static str> {
        *self.0.service.get_or_init(find)
    }
}

/// A connection's bytes. It fails when it is killed, and when no request came in time: one that says nothing, or sends
/// its first bytes one by one, or asked once and has nothing to ask any more, would hold its place for ever.
pub(super) struct Io {
    stream: Held,
    connection: Connection,
    /// When to look whether it may stay. None: it may.
    look: Option<Pin<Box<Sleep>>>,
    between: Option<Duration>,
    kill: CancellationToken,
    killed: Pin<Box<WaitForCancellationFutureOwned>>,
    _place: Place,
}

impl Io {
    pub(super) fn new(
        stream: TcpStream,
        remote: SocketAddr,
        place: Place,
        patience: Patience,
        kill: CancellationToken,
    ) -> Self {
        Self {
            stream: Held::new(stream),
            connection: Connection::new(remote),
            look: Some(Box::pin(sleep_until(Instant::now() + patience.first))),
            between: patience.between,
            killed: Box::pin(kill.clone().cancelled_owned()),
            kill,
            _place: place,
        }
    }

    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.killed.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        // The timer is not moved with each call: when it is over, one looks what came meanwhile.
        while let Some(look) = &mut self.look {
            if look.as_mut().poll(cx).is_pending() {
                break;
            }
            match self.connection.may_stay(self.between) {
                None => self.look = None,
                Some(until) if until <= Instant::now() => return Err(io::ErrorKind::TimedOut.into()),
                Some(until) => look.as_mut().reset(until),
            }
        }
        Ok(())
    }

    fn alive(&mut self) -> io::Result<Pin<&mut Held>> {
        if self.kill.is_cancelled() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.connection.0.is_http2.load(Relaxed) {
            self.stream.hold();
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Io").field(&self.connection.0.remote).finish()
    }
}

impl Connected for Io {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.alive()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive()?.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.alive()?.poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// The places for connections to a listener: so many in all, and so many for one address.
#[derive(Clone, Debug)]
pub(super) struct Places {
    service: &'static str,
    limits: Limits,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    all: TaskTracker,
}

impl Places {
    pub(super) fn new(service: &'static str, limits: Limits) -> Self {
        Self { service, limits, taken: Arc::default(), all: TaskTracker::new() }
    }

    /// A place for one more connection from an address, if there is one.
    pub(super) fn take(&self, from: IpAddr) -> Option<Place> {
        let address = counted_as(from);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_address = taken.get(&address).copied().unwrap_or_default();
        if self.all.len() >= self.limits.connections
            || (of_address >= self.limits.connections_per_address && !address.is_loopback())
        {
            return None;
        }
        taken.insert(address, of_address + 1);
        metrics::gauge!("otdel_connections", "service" => self.service).increment(1);
        Some(Place { service: self.service, address, taken: self.taken.clone(), _one: self.all.token() })
    }

    /// Waits until no connection is left.
    pub(super) async fn empty(&self) {
        self.all.close();
        self.all.wait().await;
    }
}

/// A connection's place, given back where it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    service: &'static str,
    address: IpAddr,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _one: TaskTrackerToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("otdel_connections", "service" => self.service).decrement(1);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_address) = taken.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

/// The address that a connection counts for. Whoever has one IPv6 address has 2⁶⁴ of them.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: usize, connections_per_address: usize) -> Places {
        Places::new("leads", Limits { connections, connections_per_address, ..Limits::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_gets_its_share_and_gives_it_back() {
        let places = places(10, 2);
        let (first, _second) = (places.take(ip("10.0.0.1")).unwrap(), places.take(ip("10.0.0.1")).unwrap());
        assert!(places.take(ip("10.0.0.1")).is_none());
        assert!(places.take(ip("::ffff:10.0.0.1")).is_none());
        let _other = places.take(ip("10.0.0.2")).unwrap();
        drop(first);
        assert!(places.take(ip("10.0.0.1")).is_some());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let places = places(10, 1);
        let _one = places.take(ip("2001:db8:1:1::1")).unwrap();
        assert!(places.take(ip("2001:db8:1:1:ffff::2")).is_none());
        assert!(places.take(ip("2001:db8:1:2::1")).is_some());
    }

    #[test]
    fn the_machine_itself_is_bound_by_the_total_alone() {
        let places = places(3, 1);
        let held: Vec<_> = (0..3).map(|_| places.take(ip("127.0.0.1")).unwrap()).collect();
        assert!(places.take(ip("127.0.0.1")).is_none());
        drop(held);
        assert!(places.take(ip("::1")).is_some());
        assert!(places.taken.lock().unwrap().is_empty(), "addresses are forgotten with their last connection");
    }
}
