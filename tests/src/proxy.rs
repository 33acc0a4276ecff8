//! A small TCP proxy between processes: a fixed address in front of a process whose port changes with each start, and the
//! place where connections are cut or frozen.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
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
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (target, cut): (Arc<Mutex<Option<SocketAddr>>>, Arc<Notify>) = (Arc::default(), Arc::default());
        let accepting = tokio::spawn(accept(listener, target.clone(), cut.clone()));
        Ok(Self { address, target, cut, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
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

async fn accept(listener: TcpListener, target: Arc<Mutex<Option<SocketAddr>>>, cut: Arc<Notify>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((inbound, _)) = accepted else { continue };
                let to = target.lock().ok().and_then(|target| *target);
                if let Some(to) = to {
                    let cut = cut.clone();
                    connections.spawn(async move {
                        tokio::select! {
                            () = pass(inbound, to) => {}
                            () = cut.notified() => {}
                        }
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes bytes both ways until one side ends. What goes wrong is the peers' to see.
async fn pass(mut inbound: TcpStream, to: SocketAddr) {
    let Ok(mut outbound) = TcpStream::connect(to).await else { return };
    let _ = (inbound.set_nodelay(true), outbound.set_nodelay(true));
    let _ = copy_bidirectional(&mut inbound, &mut outbound).await;
}
