//! Connections that hold what they are to send until there is more of it.

use std::{
    io,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// How often the connection has been read from before what it holds is sent, which is about how many turns its task has
/// had: in its first turn something came that waited for the same thing as others, in the next they are there too.
const TURNS: u8 = 2;

/// So many bytes are held at most.
const MOST: usize = 64 * 1024;

/// Room for so many is kept when nothing is held.
const KEPT: usize = 16 * 1024;

/// A connection of HTTP/2 whose bytes wait until everybody who is ready has had a turn to add to them.
///
/// h2 flushes after each question and after each answer, and to send one costs a fifth of what a small call costs in all, at
/// either end. Answers come in bunches, from a statement or a transaction that was made for many, and so do the questions
/// that follow them: they leave in bunches. Nothing waits for a timer: a task that has nothing else to do has its next turn
/// at once.
///
/// The connection's task must read in each turn: HTTP/2 does, HTTP/1.1 does not. So it begins to hold when it is told.
#[derive(Debug)]
pub(crate) struct Held {
    stream: TcpStream,
    holds: bool,
    bytes: BytesMut,
    turns: u8,
}

impl Held {
    /// A connection that sends at once.
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, holds: false, bytes: BytesMut::new(), turns: 0 }
    }

    /// Holds what is sent from now on.
    pub(crate) fn hold(&mut self) {
        self.holds = true;
    }

    /// Takes bytes as far as there is room, or sends others first.
    fn poll_take(&mut self, cx: &mut Context<'_>, bytes: &[impl Deref<Target = [u8]>]) -> Poll<io::Result<usize>> {
        if self.bytes.len() >= MOST {
            ready!(self.poll_send(cx))?;
        }
        if self.bytes.is_empty() {
            self.turns = 0;
            cx.waker().wake_by_ref();
        }
        let before = self.bytes.len();
        for bytes in bytes {
            let room = MOST - self.bytes.len();
            self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
        Poll::Ready(Ok(self.bytes.len() - before))
    }

    /// Sends what is held if it is time, or asks for another turn.
    fn take_turn(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        self.turns = self.turns.saturating_add(1);
        if self.turns < TURNS {
            cx.waker().wake_by_ref();
            return Ok(());
        }
        match self.poll_send(cx) {
            Poll::Ready(sent) => sent,
            Poll::Pending => Ok(()),
        }
    }

    /// Sends all that is held.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.bytes.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.bytes.advance(sent),
            }
        }
        if self.bytes.capacity() > KEPT {
            self.bytes = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Held {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let turn = self.take_turn(cx);
        match Pin::new(&mut self.stream).poll_read(cx, into) {
            // What came before the other end went away is read first: it may be the answers.
            Poll::Pending => turn.map_or_else(|error| Poll::Ready(Err(error)), |()| Poll::Pending),
            read @ Poll::Ready(_) => read,
        }
    }
}

impl AsyncWrite for Held {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.holds { self.poll_take(cx, &[bytes]) } else { Pin::new(&mut self.stream).poll_write(cx, bytes) }
    }

    /// What is held is not sent here: it has its turns to wait for.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.holds { self.poll_take(cx, bytes) } else { Pin::new(&mut self.stream).poll_write_vectored(cx, bytes) }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

impl Drop for Held {
    /// Sends what fits at once of what is held: an alert of TLS, or the answer to somebody who has said that nothing more
    /// will come.
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            let _ = self.stream.try_write(&self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Both ends of a connection, the second of which holds.
    async fn pair() -> (TcpStream, Held) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        let server = server.unwrap().0;
        server.writable().await.unwrap();
        let mut held = Held::new(server);
        held.hold();
        (client.unwrap(), held)
    }

    fn take(held: &mut Held, bytes: &[u8]) -> Poll<usize> {
        held.poll_take(&mut Context::from_waker(Waker::noop()), &[bytes]).map(Result::unwrap)
    }

    fn turn(held: &mut Held) {
        held.take_turn(&mut Context::from_waker(Waker::noop())).unwrap();
    }

    #[tokio::test]
    async fn what_comes_within_the_first_turns_leaves_together() {
        let (mut client, mut held) = pair().await;
        assert_eq!(take(&mut held, b"one "), Poll::Ready(4));
        turn(&mut held);
        assert_eq!(take(&mut held, b"two"), Poll::Ready(3));
        assert_eq!(held.bytes.len(), 7, "nothing has left yet");
        turn(&mut held);
        assert!(held.bytes.is_empty());
        let mut read = [0; 7];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one two");
    }

    #[tokio::test]
    async fn what_is_held_at_the_end_is_sent() {
        let (mut client, mut held) = pair().await;
        assert_eq!(take(&mut held, b"alert"), Poll::Ready(5));
        drop(held);
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"alert");
    }

    #[tokio::test]
    async fn of_a_large_piece_no_more_is_taken_than_there_is_room_for() {
        let (mut client, mut held) = pair().await;
        assert_eq!(take(&mut held, &vec![7; 3 * MOST]), Poll::Ready(MOST));
        let send = std::future::poll_fn(|cx| held.poll_send(cx));
        let mut read = vec![0; MOST];
        let (all, _) = tokio::join!(send, client.read_exact(&mut read));
        all.unwrap();
        assert!(held.bytes.capacity() <= KEPT, "the room is given back");
    }

    #[tokio::test]
    async fn what_came_before_the_other_end_went_away_is_read_though_nothing_can_be_sent() {
        let (mut client, mut held) = pair().await;
        held.stream.write_all(b"never read").await.unwrap();
        client.readable().await.unwrap();
        client.write_all(b"the last answer").await.unwrap();
        // With something unread it is a reset.
        drop(client);
        held.stream.readable().await.unwrap();
        held.stream.writable().await.unwrap();
        let _ = take(&mut held, b"question");
        held.turns = TURNS;
        let mut read = [0; 15];
        held.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"the last answer");
        held.read_exact(&mut read).await.unwrap_err();
    }

    #[tokio::test]
    async fn nothing_is_held_before_it_is_told_to() {
        let (mut client, mut held) = pair().await;
        held.holds = false;
        held.write_all(b"HTTP/1.1 ").await.unwrap();
        let mut read = [0; 9];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"HTTP/1.1 ");
    }

    #[tokio::test]
    async fn who_does_not_read_makes_the_sender_wait_and_loses_nothing() {
        let (mut client, mut held) = pair().await;
        let (piece, mut sent) = (vec![7; 16 * 1024], 0);
        while let Poll::Ready(taken) = take(&mut held, &piece) {
            sent += taken;
            assert!(held.bytes.len() <= MOST);
        }
        let mut read = vec![0; sent];
        let send = std::future::poll_fn(|cx| held.poll_send(cx));
        let (all, _) = tokio::join!(send, client.read_exact(&mut read));
        all.unwrap();
        assert!(read.iter().all(|byte| *byte == 7));
    }
}
