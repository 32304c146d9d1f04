//! Reads and writes the messages of PostgreSQL's protocol on a connection
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// How many bytes are read at once.
const READ_SIZE: usize = 16 * 1024;
/// The number of bytes of a message's kind and length field together. The value of the length field
/// counts itself, but not the kind.
const HEADER_LENGTH: usize = 5;

/// The relay's connection to the driver or to the server.
pub(super) struct Wire<S> {
    stream: S,
    received: Vec<u8>,
    /// How many of the received bytes belong to messages that were returned.
    consumed: usize,
    chunk: Box<[u8; READ_SIZE]>,
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
        &self.whole[HEADER_LENGTH..]
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
            consumed: 0,
            chunk: Box::new([0; READ_SIZE]),
        }
    }

    /// The next message, if all of it has been received.
    pub(super) fn next(&mut self) -> io::Result<Option<Message<'_>>> {
        let waiting = &self.received[self.consumed..];
        let Some(head) = waiting.first_chunk::<HEADER_LENGTH>() else {
            return Ok(None);
        };
        let length = length(head[1..].try_into().expect("four bytes"))?;
        let Some(whole) = waiting.get(..=length) else {
            return Ok(None);
        };
        // The caller still borrows the bytes, so the next `poll_receive` removes them.
        self.consumed += whole.len();
        Ok(Some(Message { whole }))
    }

    /// Receives the start-up message of a client, which has no kind.
    pub(super) async fn startup_message(&mut self) -> io::Result<Vec<u8>> {
        // It is the first message: the options of the driver disable encryption, so it sends no
        // `SSLRequest`, which would have the same form.
        // https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
        loop {
            if let Some(head) = self.received.first_chunk::<4>()
                && let Some(whole) = self.received.get(..length(*head)?)
            {
                self.consumed = whole.len();
                return Ok(whole.to_owned());
            }
            let more = std::future::poll_fn(|waker| self.poll_receive(waker)).await?;
            if more == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Receives bytes and returns their number. Zero means that the other side has closed the
    /// connection.
    pub(super) fn poll_receive(&mut self, waker: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut chunk = ReadBuf::new(&mut self.chunk[..]);
        ready!(Pin::new(&mut self.stream).poll_read(waker, &mut chunk))?;
        // The caller has forwarded these. The rest is the beginning of a message, or belongs to a
        // batch that must wait.
        self.received.drain(..self.consumed);
        self.consumed = 0;
        self.received.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    }

    /// Sends all bytes and empties the buffer.
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

/// Appends a message to a buffer.
pub(super) fn push_message(out: &mut Vec<u8>, kind: u8, body: &[&[u8]]) {
    let length = 4 + body.iter().map(|part| part.len()).sum::<usize>();
    out.push(kind);
    out.extend(
        u32::try_from(length)
            .expect("the relay's own messages are short")
            .to_be_bytes(),
    );
    for part in body {
        out.extend(*part);
    }
}

/// Splits off the string up to the next zero byte. Returns it with the bytes that follow the zero
/// byte.
pub(super) fn c_string(bytes: &[u8]) -> (String, &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    (
        String::from_utf8_lossy(&bytes[..end]).into_owned(),
        bytes.get(end + 1..).unwrap_or_default(),
    )
}
