use std::{
    io,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::{io::AsyncWrite, net::TcpStream};

/// How often the connection has been read from before what it holds is sent, which is about how many turns its task has
/// had: in its first turn an answer came that waited for the same thing as others, in the next they are there too.
const TURNS: u8 = 2;

/// With so much held nothing more is taken before it is sent.
const MOST: usize = 64 * 1024;

/// What a connection is to send, held back until everybody who is ready has had a turn to add to it.
///
/// h2 flushes after each answer, and to send one costs a fifth of what a small call costs in all, at either end. Answers come
/// in bunches, from a statement or a transaction that was made for many, so they leave in bunches. Nothing waits for a timer:
/// a task that has nothing else to do has its next turn at once.
///
/// The connection's task must read in each turn: HTTP/2 does, HTTP/1.1 does not.
#[derive(Debug)]
pub(super) struct Held {
    bytes: BytesMut,
    turns: u8,
}

impl Held {
    pub(super) fn new() -> Self {
        Self { bytes: BytesMut::new(), turns: 0 }
    }

    /// Holds bytes, or sends others first where there are too many.
    pub(super) fn poll_hold(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        bytes: &[impl Deref<Target = [u8]>],
    ) -> Poll<io::Result<usize>> {
        if self.bytes.len() >= MOST {
            ready!(self.poll_send(stream, cx))?;
        }
        if self.bytes.is_empty() {
            self.turns = 0;
            cx.waker().wake_by_ref();
        }
        let before = self.bytes.len();
        for bytes in bytes {
            self.bytes.extend_from_slice(bytes);
        }
        Poll::Ready(Ok(self.bytes.len() - before))
    }

    /// Sends what is held if it is time, or asks for another turn.
    pub(super) fn take_turn(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        self.turns = self.turns.saturating_add(1);
        if self.turns < TURNS {
            cx.waker().wake_by_ref();
            return Ok(());
        }
        match self.poll_send(stream, cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// Sends what fits at once of what is held when the connection ends: an alert of TLS, or the answer to somebody who has
    /// said that nothing more will come.
    pub(super) fn send_last(&mut self, stream: &TcpStream) {
        if !self.bytes.is_empty() {
            let _ = stream.try_write(&self.bytes);
        }
    }

    /// Sends all that is held.
    pub(super) fn poll_send(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            match ready!(Pin::new(&mut *stream).poll_write(cx, &self.bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.bytes.advance(sent),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::{
        io::AsyncReadExt as _,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// Both ends of a connection, and what the second is to send.
    async fn pair() -> (TcpStream, TcpStream, Held) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        let server = server.unwrap().0;
        server.writable().await.unwrap();
        (client.unwrap(), server, Held::new())
    }

    fn hold(held: &mut Held, stream: &mut TcpStream, bytes: &[u8]) -> Poll<usize> {
        held.poll_hold(stream, &mut Context::from_waker(Waker::noop()), &[bytes]).map(Result::unwrap)
    }

    fn turn(held: &mut Held, stream: &mut TcpStream) {
        held.take_turn(stream, &mut Context::from_waker(Waker::noop())).unwrap();
    }

    #[tokio::test]
    async fn what_comes_within_the_first_turns_leaves_together() {
        let (mut client, mut server, mut held) = pair().await;
        assert_eq!(hold(&mut held, &mut server, b"one "), Poll::Ready(4));
        turn(&mut held, &mut server);
        assert_eq!(hold(&mut held, &mut server, b"two"), Poll::Ready(3));
        assert_eq!(held.bytes.len(), 7, "nothing has left yet");
        turn(&mut held, &mut server);
        assert!(held.bytes.is_empty());
        let mut read = [0; 7];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one two");
    }

    #[tokio::test]
    async fn what_is_held_at_the_end_is_sent() {
        let (mut client, mut server, mut held) = pair().await;
        assert_eq!(hold(&mut held, &mut server, b"alert"), Poll::Ready(5));
        held.send_last(&server);
        drop(server);
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"alert");
    }

    #[tokio::test]
    async fn who_does_not_read_makes_the_sender_wait_and_loses_nothing() {
        let (mut client, mut server, mut held) = pair().await;
        let (piece, mut sent) = (vec![7; 16 * 1024], 0);
        while let Poll::Ready(taken) = hold(&mut held, &mut server, &piece) {
            sent += taken;
            assert!(held.bytes.len() <= MOST + piece.len());
        }
        let mut read = vec![0; sent];
        let send = std::future::poll_fn(|cx| held.poll_send(&mut server, cx));
        let (all, _) = tokio::join!(send, client.read_exact(&mut read));
        all.unwrap();
        assert!(read.iter().all(|byte| *byte == 7));
    }
}
