//! A small TCP proxy between processes: a fixed address in front of a process whose port changes with each start, and the
//! place where connections are cut or frozen.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A proxy on a port of its own. Connections are refused until it has a target.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    to: Arc<Mutex<Option<SocketAddr>>>,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What all connections of a proxy have in common.
#[derive(Debug, Default)]
struct Shared {
    asked: AtomicU64,
    /// Words at which a connection is cut, until one has been.
    words: Mutex<Vec<Vec<u8>>>,
}

impl Shared {
    /// Whether a word is at the end of what was passed on and what is to come. It is the first one, and the last.
    fn meets_word(&self, passed: &mut Vec<u8>, coming: &[u8]) -> bool {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(longest) = words.iter().map(Vec::len).max() else { return false };
        passed.extend_from_slice(coming);
        let met = words.iter().any(|word| passed.windows(word.len()).any(|said| said == word));
        passed.drain(..passed.len().saturating_sub(longest - 1));
        if met {
            words.clear();
        }
        met
    }
}

impl Proxy {
    /// Listens on a free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (to, shared) = (Arc::default(), Arc::<Shared>::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&to), shared.clone()));
        Ok(Self { address, to, shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes callers have sent through it.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::Relaxed)
    }

    /// Passes new connections to `target`, or refuses them.
    pub fn point_to(&self, target: Option<SocketAddr>) {
        if let Ok(mut current) = self.to.lock() {
            *current = target;
        }
    }

    /// Ends the first connection on which one of these words is said to a caller, who does not hear it.
    pub fn cut_at(&self, words: &[&[u8]]) {
        let mut at = self.shared.words.lock().unwrap_or_else(PoisonError::into_inner);
        *at = words.iter().map(|word| word.to_vec()).collect();
    }

    /// Whether the word has been said, and its connection was cut.
    pub fn has_cut(&self) -> bool {
        self.shared.words.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: Arc<Mutex<Option<SocketAddr>>>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((inbound, _)) = accepted else { continue };
                let to = target.lock().ok().and_then(|target| *target);
                if let Some(to) = to {
                    let shared = shared.clone();
                    connections.spawn(async move { pass(inbound, to, &shared).await });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes bytes both ways until both sides have ended or one is broken. What goes wrong is the peers' to see.
async fn pass(mut inbound: TcpStream, to: SocketAddr, shared: &Shared) {
    let Ok(mut outbound) = TcpStream::connect(to).await else { return };
    let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
    let (mut from_caller, mut to_caller) = inbound.split();
    let (mut from_process, mut to_process) = outbound.split();
    let there = async {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let count = from_caller.read(&mut bytes).await?;
            if count == 0 {
                return to_process.shutdown().await;
            }
            to_process.write_all(&bytes[..count]).await?;
            shared.asked.fetch_add(count as u64, Ordering::Relaxed);
        }
    };
    let back = async {
        let (mut bytes, mut passed) = (vec![0; 16 * 1024], Vec::new());
        loop {
            let count = from_process.read(&mut bytes).await?;
            if count == 0 {
                return to_caller.shutdown().await;
            }
            if shared.meets_word(&mut passed, &bytes[..count]) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            to_caller.write_all(&bytes[..count]).await?;
        }
    };
    let _ = tokio::try_join!(there, back);
}
