use std::{collections::BTreeSet, fmt, io, net::SocketAddr, str::FromStr, time::Duration};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{sync::Notify, time::timeout};

use crate::clock;

/// How long a name server may think. A name that takes longer is one that cannot be resolved.
const PATIENCE: Duration = Duration::from_secs(5);

/// How soon names are resolved again where an address was missed: a role that was started anew often has another one.
const SOON: Duration = Duration::from_millis(250);

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

/// The addresses of a name now.
pub(super) async fn look_up(endpoint: HostPort) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await?.collect())
}

/// Resolves all names again and again, sooner where an address is `missed`, and publishes their addresses whenever it
/// has learnt of one name, and whether that is the first time around.
///
/// Each name stands for itself: one that cannot be resolved keeps the addresses that were last known of it, because a
/// name server that is away says nothing about them, and one that takes its time holds up no other. Where no address at
/// all is known, that is published once every name has had its chance.
pub(super) async fn keep_resolving<F: Future<Output = io::Result<Vec<SocketAddr>>>>(
    endpoints: &[HostPort],
    every: Duration,
    missed: &Notify,
    look_up: impl Fn(HostPort) -> F,
    mut publish: impl FnMut(&BTreeSet<SocketAddr>, bool),
) {
    let mut known: Vec<Vec<SocketAddr>> = vec![Vec::new(); endpoints.len()];
    let mut is_first = true;
    loop {
        let ask = |(at, endpoint): (usize, &HostPort)| {
            let answer = timeout(PATIENCE, look_up(endpoint.clone()));
            async move { (at, answer.await.unwrap_or_else(|late| Err(late.into()))) }
        };
        let mut answers: FuturesUnordered<_> = endpoints.iter().enumerate().map(ask).collect();
        while let Some((at, answer)) = answers.next().await {
            match answer {
                Ok(addresses) => known[at] = addresses,
                Err(error) => tracing::warn!(endpoint = %endpoints[at], %error, "name cannot be resolved"),
            }
            let all: BTreeSet<_> = known.iter().flatten().copied().collect();
            if !all.is_empty() {
                publish(&all, is_first);
            }
        }
        if known.iter().all(Vec::is_empty) {
            publish(&BTreeSet::new(), is_first);
        }
        is_first = false;
        let missed = async {
            clock::pause(SOON).await;
            missed.notified().await;
        };
        tokio::select! {
            () = clock::pause(every) => {}
            () = missed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future,
        sync::{Arc, Mutex},
    };

    use tokio::sync::mpsc;

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

    /// A name server: what it says of each name. None: nothing at all.
    type Zone = Arc<Mutex<Vec<(&'static str, Option<Result<Vec<u8>, ()>>)>>>;

    async fn ask(zone: Zone, endpoint: HostPort) -> io::Result<Vec<SocketAddr>> {
        let of_name = |(name, _): &&(&str, _)| *name == endpoint.host;
        let answer = zone.lock().unwrap().iter().find(of_name).and_then(|(_, answer)| answer.clone());
        let address = |last: &u8| SocketAddr::from(([10, 0, 0, *last], endpoint.port));
        match answer {
            Some(Ok(hosts)) => Ok(hosts.iter().map(address).collect()),
            Some(Err(())) => Err(io::Error::other("the name server is away")),
            None => future::pending().await,
        }
    }

    /// What is published, as the last parts of the addresses, of two names.
    fn resolving(zone: &Zone) -> mpsc::UnboundedReceiver<Vec<u8>> {
        resolving_every(Duration::from_millis(1), zone, Arc::default())
    }

    fn resolving_every(every: Duration, zone: &Zone, missed: Arc<Notify>) -> mpsc::UnboundedReceiver<Vec<u8>> {
        let (publish, published) = mpsc::unbounded_channel();
        let zone = zone.clone();
        tokio::spawn(async move {
            let endpoints = ["one:7401", "two:7401"].map(|text| text.parse().unwrap());
            let last = |address: &SocketAddr| address.ip().to_string().rsplit_once('.').unwrap().1.parse().unwrap();
            let publish = |all: &BTreeSet<SocketAddr>, _| drop(publish.send(all.iter().map(last).collect()));
            keep_resolving(&endpoints, every, &missed, |endpoint| ask(zone.clone(), endpoint), publish).await;
        });
        published
    }

    async fn until(published: &mut mpsc::UnboundedReceiver<Vec<u8>>, wanted: &[u8]) {
        let found = async { while published.recv().await.unwrap() != wanted {} };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("{wanted:?} was never published"));
    }

    #[tokio::test]
    async fn an_address_that_comes_is_found_and_one_that_goes_is_dropped() {
        let zone: Zone = Arc::new(Mutex::new(vec![("one", Some(Ok(vec![1]))), ("two", Some(Ok(vec![2, 3])))]));
        let mut published = resolving(&zone);
        until(&mut published, &[1, 2, 3]).await;
        zone.lock().unwrap()[0].1 = Some(Ok(vec![1, 4]));
        until(&mut published, &[1, 2, 3, 4]).await;
        zone.lock().unwrap()[1].1 = Some(Ok(vec![3]));
        until(&mut published, &[1, 3, 4]).await;
        zone.lock().unwrap()[1].1 = Some(Ok(vec![]));
        until(&mut published, &[1, 4]).await;
    }

    #[tokio::test]
    async fn a_miss_is_a_reason_to_look_again_soon() {
        let zone: Zone = Arc::new(Mutex::new(vec![("one", Some(Ok(vec![1]))), ("two", Some(Ok(vec![2])))]));
        let missed = Arc::new(Notify::new());
        let mut published = resolving_every(Duration::from_hours(1), &zone, missed.clone());
        until(&mut published, &[1, 2]).await;
        zone.lock().unwrap()[0].1 = Some(Ok(vec![3]));
        missed.notify_one();
        until(&mut published, &[2, 3]).await;
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_resolved_keeps_its_addresses_and_those_alone() {
        let zone: Zone = Arc::new(Mutex::new(vec![("one", Some(Ok(vec![1]))), ("two", Some(Ok(vec![2])))]));
        let mut published = resolving(&zone);
        until(&mut published, &[1, 2]).await;
        *zone.lock().unwrap() = vec![("one", Some(Err(()))), ("two", Some(Ok(vec![3])))];
        until(&mut published, &[1, 3]).await;
        zone.lock().unwrap()[1].1 = Some(Ok(vec![5]));
        until(&mut published, &[1, 5]).await;
        zone.lock().unwrap()[0].1 = Some(Ok(vec![6]));
        until(&mut published, &[5, 6]).await;
    }

    #[tokio::test]
    async fn a_name_server_that_says_nothing_holds_up_no_other_name() {
        let zone: Zone = Arc::new(Mutex::new(vec![("one", None), ("two", Some(Ok(vec![2])))]));
        until(&mut resolving(&zone), &[2]).await;
    }

    #[tokio::test]
    async fn that_there_is_no_address_is_published_too() {
        let zone: Zone = Arc::new(Mutex::new(vec![("one", Some(Err(()))), ("two", Some(Ok(vec![])))]));
        until(&mut resolving(&zone), &[]).await;
    }
}
