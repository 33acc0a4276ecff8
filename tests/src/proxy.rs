//! A small TCP proxy between processes: a fixed address in front of a process whose port changes with each start, and the
//! place where connections are cut or frozen.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::{JoinHandle, JoinSet},
};

/// A proxy on a port of its own. Connections are refused until it has a target.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    cut: Arc<Notify>,
    asked: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (target, cut): (Arc<Mutex<Option<SocketAddr>>>, Arc<Notify>) = (Arc::default(), Arc::default());
        let asked: Arc<AtomicU64> = Arc::default();
        let accepting = tokio::spawn(accept(listener, target.clone(), cut.clone(), asked.clone()));
        Ok(Self { address, target, cut, asked, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes callers have sent through it.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Passes new connections to `target`, or refuses them.
    pub fn point_to(&self, target: Option<SocketAddr>) {
        if let Ok(mut current) = self.target.lock() {
            *current = target;
        }
    }

    /// Ends every connection that there is. New ones are passed on as before.
    pub fn cut(&self) {
        self.cut.notify_waiters();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<Mutex<Option<SocketAddr>>>,
    cut: Arc<Notify>,
    asked: Arc<AtomicU64>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((inbound, _)) = accepted else { continue };
                let to = target.lock().ok().and_then(|target| *target);
                if let Some(to) = to {
                    let (cut, asked) = (cut.clone(), asked.clone());
                    connections.spawn(async move {
                        tokio::select! {
                            () = pass(inbound, to, asked) => {}
                            () = cut.notified() => {}
                        }
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes bytes both ways until both sides have ended or one is broken. What goes wrong is the peers' to see.
async fn pass(mut inbound: TcpStream, to: SocketAddr, asked: Arc<AtomicU64>) {
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
            asked.fetch_add(count as u64, Ordering::Relaxed);
        }
    };
    let back = async {
        copy(&mut from_process, &mut to_caller).await?;
        to_caller.shutdown().await
    };
    let _ = tokio::try_join!(there, back);
}
