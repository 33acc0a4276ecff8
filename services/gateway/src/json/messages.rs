//! The messages of a gRPC answer, one after the other.

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use otdel_runtime::{fault::Fault, peers::MAX_RESPONSE};
use tonic::{Code, Status};

use crate::SERVICE;

/// What gRPC puts before a message: a flag for compression and the length.
pub(crate) const FRAME_HEADER: usize = 5;

/// An answer of an RPC that did not refuse at once.
pub(crate) struct Messages {
    body: Body,
    buffer: BytesMut,
    over: bool,
}

impl Messages {
    /// The messages of an answer with these headers, or its refusal: tonic puts that into the headers where it is known
    /// before the first message.
    pub(crate) fn of(headers: &HeaderMap, body: Body) -> Result<Self, Status> {
        let status = Status::from_header_map(headers);
        let over = status.is_some();
        match status.filter(|status| status.code() != Code::Ok) {
            Some(refusal) => Err(refusal),
            None => Ok(Self { body, buffer: BytesMut::new(), over }),
        }
    }

    /// The next message. An answer that could not be finished ends with its status. Dropped while it waits, it has lost
    /// nothing.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Status>> {
        loop {
            match self.take() {
                Ok(Some(message)) => return Some(Ok(message)),
                Ok(None) if self.over => return None,
                Ok(None) => {}
                Err(fault) => return Some(Err(self.end(fault.into_status(SERVICE)))),
            }
            let frame = match self.body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(cause)) => return Some(Err(self.broke_off(&cause.to_string()))),
                None => return Some(Err(self.broke_off("no status"))),
            };
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => {
                    self.over = true;
                    let status = frame.into_trailers().ok().as_ref().and_then(Status::from_header_map);
                    if let Some(status) = status.filter(|status| status.code() != Code::Ok) {
                        return Some(Err(status));
                    }
                }
            }
        }
    }

    /// Nothing comes after this.
    pub(crate) fn end(&mut self, status: Status) -> Status {
        self.over = true;
        self.buffer.clear();
        self.body = Body::empty();
        status
    }

    fn broke_off(&mut self, cause: &str) -> Status {
        tracing::warn!(cause, "answer broke off");
        self.end(Fault::unavailable("SERVICE_UNREACHABLE", "the answer broke off").into_status(SERVICE))
    }

    /// A message that is whole. That an answer of ours cannot be read is our fault.
    fn take(&mut self) -> Result<Option<Bytes>, Fault> {
        let [flag, length @ ..] = match self.buffer.first_chunk::<FRAME_HEADER>() {
            Some(header) => *header,
            None => return Ok(None),
        };
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if flag != 0 || length > MAX_RESPONSE {
            tracing::error!(flag, length, "answer cannot be read");
            return Err(Fault::new(Code::Internal, "INTERNAL", "internal error"));
        }
        if self.buffer.len() < FRAME_HEADER + length {
            return Ok(None);
        }
        self.buffer.advance(FRAME_HEADER);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;
    use proptest::prelude::*;

    use super::*;

    fn answer(chunks: Vec<Vec<u8>>, trailers: Option<&str>) -> Messages {
        let data = chunks.into_iter().map(|chunk| http_body::Frame::data(Bytes::from(chunk)));
        let trailers = trailers.map(|status| {
            http_body::Frame::trailers(HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                status.parse().unwrap(),
            )]))
        });
        let frames = futures_util::stream::iter(data.chain(trailers).map(Ok::<_, std::io::Error>).collect::<Vec<_>>());
        Messages::of(&HeaderMap::new(), Body::new(StreamBody::new(frames))).ok().unwrap()
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], length.as_slice(), message].concat()
    }

    async fn all(mut messages: Messages) -> (Vec<Bytes>, Option<Status>) {
        let mut read = Vec::new();
        while let Some(message) = messages.next().await {
            match message {
                Ok(message) => read.push(message),
                Err(status) => {
                    assert!(messages.next().await.is_none(), "nothing comes after a refusal");
                    return (read, Some(status));
                }
            }
        }
        (read, None)
    }

    #[tokio::test]
    async fn an_end_is_regular_or_told() {
        let (read, end) = all(answer(vec![framed(b"a")], Some("0"))).await;
        assert_eq!((read.as_slice(), end.map(|end| end.code())), (&[Bytes::from("a")][..], None));
        let (read, end) = all(answer(vec![framed(b"a")], Some("15"))).await;
        assert_eq!((read.len(), end.map(|end| end.code())), (1, Some(Code::DataLoss)));
        let (read, end) = all(answer(vec![framed(b"a"), vec![0, 0]], None)).await;
        assert_eq!((read.len(), end.map(|end| end.code())), (1, Some(Code::Unavailable)), "no status is no end");
        for broken in [vec![1, 0, 0, 0, 0], vec![0, 255, 255, 255, 255]] {
            let (_, end) = all(answer(vec![broken], Some("0"))).await;
            assert_eq!(end.map(|end| end.code()), Some(Code::Internal));
        }
    }

    proptest! {
        #[test]
        fn messages_are_the_same_however_they_are_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
            cut in 1_usize..9,
        ) {
            let bytes = messages.iter().flat_map(|message| framed(message)).collect::<Vec<_>>();
            let chunks = bytes.chunks(cut).map(<[u8]>::to_vec).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (read, end) = runtime.block_on(all(answer(chunks, Some("0"))));
            prop_assert!(end.is_none());
            prop_assert_eq!(read, messages);
        }
    }
}
