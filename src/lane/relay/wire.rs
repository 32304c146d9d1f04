//! Messages on a connection, one after the other
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// Bytes that are asked for at once.
const CHUNK: usize = 16 * 1024;
/// The kind and the length, which counts itself.
const HEAD: usize = 5;

/// One of the two sides.
pub(super) struct Wire<S> {
    stream: S,
    received: Vec<u8>,
    /// What of it has been taken by now.
    taken: usize,
    chunk: Box<[u8; CHUNK]>,
}

/// A message as it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) whole: &'a [u8],
}

impl<'a> Message<'a> {
    pub(super) fn kind(self) -> u8 {
        self.whole[0]
    }

    pub(super) fn body(self) -> &'a [u8] {
        &self.whole[HEAD..]
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
            taken: 0,
            chunk: Box::new([0; CHUNK]),
        }
    }

    /// The next message, if all of it is here.
    pub(super) fn next(&mut self) -> io::Result<Option<Message<'_>>> {
        let waiting = &self.received[self.taken..];
        let Some(head) = waiting.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let length = length(head[1..].try_into().expect("four bytes"))?;
        let Some(whole) = waiting.get(..=length) else {
            return Ok(None);
        };
        self.taken += whole.len();
        Ok(Some(Message { whole }))
    }

    /// The first message of a client, which has no kind.
    pub(super) async fn start_up(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(head) = self.received.first_chunk::<4>()
                && let Some(whole) = self.received.get(..length(*head)?)
            {
                self.taken = whole.len();
                return Ok(whole.to_owned());
            }
            let more = std::future::poll_fn(|waker| self.poll_receive(waker)).await?;
            if more == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// How many bytes have come. None means that there will be no more.
    pub(super) fn poll_receive(&mut self, waker: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = ReadBuf::new(&mut self.chunk[..]);
        ready!(Pin::new(&mut self.stream).poll_read(waker, &mut chunk))?;
        self.received.drain(..self.taken);
        self.taken = 0;
        self.received.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    }

    /// Sends what is there, and leaves nothing.
    pub(super) async fn send(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        if !bytes.is_empty() {
            self.stream.write_all(bytes).await?;
            bytes.clear();
        }
        Ok(())
    }
}

fn length(bytes: [u8; 4]) -> io::Result<usize> {
    usize::try_from(u32::from_be_bytes(bytes))
        .ok()
        .filter(|length| *length >= 4)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// A message to send.
pub(super) fn push(out: &mut Vec<u8>, kind: u8, body: &[&[u8]]) {
    let length = 4 + body.iter().map(|part| part.len()).sum::<usize>();
    out.push(kind);
    out.extend(
        u32::try_from(length)
            .expect("our own messages are short")
            .to_be_bytes(),
    );
    for part in body {
        out.extend(*part);
    }
}

/// The text up to the next zero, and what follows it.
pub(super) fn text(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    (
        String::from_utf8_lossy(&bytes[..end]).into_owned(),
        bytes.get(end + 1..).unwrap_or_default(),
    )
}
