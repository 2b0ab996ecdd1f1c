//! One open connection, WebSocket or SSE: bytes in, bytes out, bounded in time. An idle one keeps no buffer.
//!
//! Why not the streams of `tokio-tungstenite` (0.29.0), of which the handshake's key and the heads of frames are used: each
//! allocates its read buffer when it opens and keeps it, 128 KiB by default; with the smallest that serve, an idle session
//! took 3.2 KB, where one on the bare socket takes 1.3 KB (measured 2026-11-21). It copies each frame into a buffer of its
//! own, where a frame here is encoded once for everybody who gets it, and has no deadline for a client that does not read.
//! SSE has the same needs, and would need all of this beside it.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use watchbell::wire::{CloseClass, frame::ServerFrame};

use crate::{
    frames::{
        frame::{self, Form, Frame},
        sent::{Marks, Outgoing, SentFrames},
    },
    session::decoder::{ClientMessage, Decoder},
};

/// Read at a time, into the stack.
const READ_BYTES: usize = 4 * 1024;
/// Buffers given to the system with one call.
const SLICES_MAX: usize = 32;
/// How long a last word may take, and how long a client may take to end its side after it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an `EventSource` waits before it comes back from a session that is to go on elsewhere, in milliseconds. Those
/// that close are spread over a window already.
const RESUME_RETRY_MS: u32 = 250;
/// What a client may still send after we said the last word, in bytes.
const AFTER_CLOSE_BYTES_MAX: usize = 256 * 1024;

/// The client is gone, or does not speak the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    Gone,
    NotTheProtocol,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

pub(crate) struct Connection {
    /// `None` while it is lent: then its session waits, and nothing here is used.
    stream: Option<TcpStream>,
    form: Form,
    /// Bytes of a client's message at the most.
    message_bytes_max: u32,
    /// `None` for nearly every connection at nearly every moment: a pointer in place of a hundred bytes.
    begun: Option<Box<Begun>>,
}

/// What was begun and is not done.
#[derive(Default)]
struct Begun {
    decoder: Decoder,
    /// What was read with the request, and is decoded first.
    read_ahead: Bytes,
    /// What is still to be written.
    out: VecDeque<Outgoing>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, read_ahead: Bytes, form: Form, message_bytes_max: u32) -> Self {
        // Even an empty slice keeps the whole buffer that it was cut from.
        let begun = (!read_ahead.is_empty()).then(|| Box::new(Begun { read_ahead, ..Begun::default() }));
        Self { stream: Some(stream), form, message_bytes_max, begun }
    }

    pub(crate) fn form(&self) -> Form {
        self.form
    }

    /// Puts a frame into line. Nothing is written yet.
    pub(crate) fn put(&mut self, frame: &Frame, epoch: &str) {
        let bytes = frame.bytes(self.form, epoch);
        if let Some(bytes) = bytes {
            self.put_message(Outgoing { bytes, marks: Marks::One(frame.mark()) });
        }
    }

    /// Puts frames into line that were gathered into one message.
    pub(crate) fn put_message(&mut self, message: Outgoing) {
        self.begun().out.push_back(message);
    }

    /// Puts bytes into line that are no frame of the protocol.
    pub(crate) fn put_bytes(&mut self, bytes: Bytes) {
        self.put_message(Outgoing { bytes, marks: Marks::None });
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.begun.as_ref().is_some_and(|begun| !begun.out.is_empty())
    }

    /// Bytes that are still to be written.
    pub(crate) fn unwritten(&self) -> usize {
        let out = self.begun.iter().flat_map(|begun| &begun.out);
        out.map(|outgoing| outgoing.bytes.len()).sum()
    }

    /// The connection itself, to be lent while its session waits. None while something is still to be written or decoded.
    pub(crate) fn lend(&mut self) -> Option<TcpStream> {
        if self.begun.as_ref().is_some_and(|begun| !begun.out.is_empty() || !begun.read_ahead.is_empty()) {
            return None;
        }
        self.stream.take()
    }

    /// It is given back, with what is left of a frame that was begun; that is written before anything else.
    pub(crate) fn take_back(&mut self, stream: TcpStream, rest: Option<Box<Outgoing>>) {
        self.stream = Some(stream);
        if let Some(rest) = rest {
            self.begun().out.push_front(*rest);
        }
    }

    /// Writes what is in line, with as few system calls as possible, and counts what is written.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        sent: &SentFrames,
    ) -> Poll<Result<(), Broken>> {
        let Some(Begun { out, .. }) = self.begun.as_deref_mut() else { return Poll::Ready(Ok(())) };
        while let Some(first) = out.front() {
            let stream = Pin::new(self.stream.as_mut().ok_or(Broken::Gone)?);
            let mut written = if out.len() == 1 {
                // Nearly always; and a plain send costs the kernel less than a vectored write.
                ready!(stream.poll_write(context, &first.bytes))?
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                let mut count = 0;
                for (slice, outgoing) in slices.iter_mut().zip(&*out) {
                    *slice = IoSlice::new(&outgoing.bytes);
                    count += 1;
                }
                ready!(stream.poll_write_vectored(context, &slices[..count]))?
            };
            if written == 0 {
                return Poll::Ready(Err(Broken::Gone));
            }
            while let Some(first) = out.front_mut() {
                if written < first.bytes.len() {
                    first.bytes.advance(written);
                    break;
                }
                written -= first.bytes.len();
                sent.count(first.marks.as_slice());
                out.pop_front();
            }
        }
        // An idle connection keeps no line.
        *out = VecDeque::new();
        self.forget_what_is_done();
        Poll::Ready(Ok(()))
    }

    /// Writes all of it, within `limit`: `None` when it took longer.
    pub(crate) async fn write(&mut self, limit: Duration, sent: &SentFrames) -> Option<Result<(), Broken>> {
        timeout(limit, std::future::poll_fn(|context| self.poll_write(context, sent))).await.ok()
    }

    /// What the client sends next. Ready with nothing when only part of something arrived.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Vec<ClientMessage>, Broken>> {
        let mut messages = Vec::new();
        let read_ahead = self.begun.as_mut().map(|begun| std::mem::take(&mut begun.read_ahead));
        if let Some(bytes) = read_ahead.filter(|bytes| !bytes.is_empty()) {
            self.understand(&bytes, &mut messages)?;
            return Poll::Ready(Ok(messages));
        }
        let mut memory = [MaybeUninit::uninit(); READ_BYTES];
        let mut buffer = ReadBuf::uninit(&mut memory);
        let stream = Pin::new(self.stream.as_mut().ok_or(Broken::Gone)?);
        ready!(stream.poll_read(context, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Err(Broken::Gone));
        }
        self.understand(buffer.filled(), &mut messages)?;
        Poll::Ready(Ok(messages))
    }

    fn understand(&mut self, bytes: &[u8], messages: &mut Vec<ClientMessage>) -> Result<(), Broken> {
        if !self.form.is_websocket() {
            // A client of SSE has nothing to say after its request, and is charged for what it says all the same.
            messages.push(ClientMessage::Part(bytes.len()));
            return Ok(());
        }
        let mut decoder =
            self.begun.as_mut().map(|begun| std::mem::take(&mut begun.decoder)).unwrap_or_default();
        decoder.take(bytes, self.message_bytes_max as usize, messages).map_err(|_| Broken::NotTheProtocol)?;
        match decoder.has_begun() {
            true => self.begun().decoder = decoder,
            false => self.forget_what_is_done(),
        }
        Ok(())
    }

    fn begun(&mut self) -> &mut Begun {
        self.begun.get_or_insert_default()
    }

    fn forget_what_is_done(&mut self) {
        let is_done = |begun: &mut Box<Begun>| {
            begun.out.is_empty() && begun.read_ahead.is_empty() && !begun.decoder.has_begun()
        };
        self.begun.take_if(|begun| is_done(begun));
    }

    /// The next complete messages.
    pub(crate) async fn read(&mut self) -> Result<Vec<ClientMessage>, Broken> {
        loop {
            let messages = std::future::poll_fn(|context| self.poll_read(context)).await?;
            if !messages.is_empty() {
                return Ok(messages);
            }
        }
    }

    /// Says why it ends, and lets the client end its side, so that the last word is not lost to a reset.
    pub(crate) async fn close(
        mut self,
        (code, reason): (u16, &'static str),
        class: CloseClass,
        sent: &SentFrames,
    ) {
        match self.form {
            Form::Ws | Form::BareWs => self.put_bytes(frame::close(code, reason)),
            Form::Sse => self.put(&Frame::new(&ServerFrame::Close { code, reason }, None), ""),
            Form::BareSse => {}
        }
        if !self.form.is_websocket() && class == CloseClass::Resume {
            // What no client of ours reads, an `EventSource` obeys: another pod takes it, so it need not wait long.
            self.put_bytes(Bytes::from(format!("retry: {RESUME_RETRY_MS}\n\n")));
        }
        if !matches!(self.write(CLOSE_TIMEOUT, sent).await, Some(Ok(()))) {
            return;
        }
        let Some(mut stream) = self.stream else { return };
        if stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = stream.take(AFTER_CLOSE_BYTES_MAX as u64);
        let mut sink = tokio::io::sink();
        let _ = timeout(CLOSE_TIMEOUT, tokio::io::copy(&mut rest, &mut sink)).await;
    }
}
