//! Filters the frames of a client's WebSocket before socketioxide reads them.
//!
//! Bytes are read into the thread's buffer ([`read_buffer`](crate::transport::read_buffer)). The usual frame, a whole one whose packet
//! passes unchanged, is copied from there to the caller. Everything else
//! (fragments, partly read frames, packets that are rewritten or dropped) is reassembled here, within the size limit of a
//! message, and is passed on as whole frames.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{BufMut, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    time::{Instant, Sleep},
};

use super::{
    BinaryPacket, EngineProtocol, InboundFilter, Incoming, PacketVerdict, PendingConnect,
    ProtocolError,
    client_frame::{self, BINARY, CONTINUATION, ClientFrameHeader, TEXT},
    namespaces::{MAX_RETRY_DELAY, MIN_RETRY_DELAY, NAMESPACE_TIMEOUT},
};
use crate::{
    http::upgrade::{self, drain_into},
    transport::read_buffer::{split_for, with_read_buffer},
};

/// How long a closed client is read on: closed at once with unread bytes, it would lose the close frame.
const CLOSE_LINGER: Duration = Duration::from_secs(5);

/// Engine.IO's pong. After backpressure it shows that the client is alive: its own reply to a ping may still be unread.
const PONG: &[u8] = b"3";

/// The filtered frames of one client.
pub(in crate::transport::socketio) struct WebSocketReader {
    stream: upgrade::StreamReader,
    filter: Arc<InboundFilter>,
    /// How many bytes are read at a time.
    read_size: usize,
    /// Read and not filtered yet.
    input: BytesMut,
    /// Filtered and not passed on yet.
    output: BytesMut,
    /// Opcode and payload of a message with more fragments to come.
    fragments: Option<Box<(u8, Vec<u8>)>>,
    waiting: Option<Box<NamespaceWait>>,
    /// How often reading had been resumed when a pong was last made for the client.
    resume_count: usize,
    ended: bool,
}

/// Nothing more is passed to socketioxide for now.
struct NamespaceWait {
    reason: WaitReason,
    retry: Pin<Box<Sleep>>,
    delay: Duration,
    deadline: Instant,
}

enum WaitReason {
    /// A CONNECT has not been taken up yet.
    Taken(PendingConnect),
    /// The first packet of the input is filtered again once its namespace is ready.
    Ready(String),
}

impl WebSocketReader {
    pub(in crate::transport::socketio) fn new(
        stream: upgrade::StreamReader,
        filter: Arc<InboundFilter>,
        read_size: usize,
    ) -> Self {
        let resume_count = filter.resume_count();
        Self {
            stream,
            resume_count,
            filter,
            read_size,
            input: BytesMut::new(),
            output: BytesMut::new(),
            fragments: None,
            waiting: None,
            ended: false,
        }
    }

    /// Whether nothing is buffered, so that what is read may be passed on without that.
    fn is_idle(&self) -> bool {
        self.input.is_empty()
            && self.output.is_empty()
            && self.fragments.is_none()
            && self.waiting.is_none()
    }

    /// Filters what was read in place. Returns how many bytes of it stay there; the rest is buffered.
    fn filter_in_place(&mut self, bytes: &mut [u8]) -> usize {
        let mut passed = 0;
        loop {
            let rest = &mut bytes[passed..];
            let header = match ClientFrameHeader::parse(rest, self.filter.max_packet) {
                Ok(Some(header)) if header.frame_len() <= rest.len() => header,
                _ => break,
            };
            let frame_len = header.frame_len();
            if !header.is_control() {
                if !header.last || header.opcode != TEXT {
                    break;
                }
                let payload = header.unmask(rest);
                let Ok(text) = std::str::from_utf8(payload) else {
                    break;
                };
                match self.filter.filter(Incoming::Text(text)) {
                    PacketVerdict::Pass(Cow::Borrowed(passes)) if passes.len() == text.len() => {}
                    verdict => {
                        let retry = matches!(verdict, PacketVerdict::Retry(_));
                        self.apply(verdict);
                        if !retry {
                            self.input.extend_from_slice(&bytes[passed + frame_len..]);
                            return passed;
                        }
                        break;
                    }
                }
            }
            passed += frame_len;
        }
        self.input.extend_from_slice(&bytes[passed..]);
        passed
    }

    /// Processes the next frame of the input. Returns false if it is incomplete.
    fn process_frame(&mut self) -> bool {
        let header = match ClientFrameHeader::parse(&self.input, self.filter.max_packet) {
            Ok(Some(header)) if header.frame_len() <= self.input.len() => header,
            Ok(_) => return false,
            Err(error) => {
                self.apply(PacketVerdict::Close(error));
                return true;
            }
        };
        if header.is_control() {
            let frame = self.input.split_to(header.frame_len());
            self.output.extend_from_slice(&frame);
            return true;
        }
        if header.last && header.opcode != CONTINUATION && self.fragments.is_none() {
            let mut frame = self.input.split_to(header.frame_len());
            let payload = header.unmask(&mut frame);
            let verdict = filter_message(&self.filter, header.opcode, payload);
            let retry = matches!(verdict, PacketVerdict::Retry(_));
            self.apply(verdict);
            if retry {
                // Unmasked, and with a zero mask now: parsed again, it reads the same.
                frame.unsplit(std::mem::take(&mut self.input));
                self.input = frame;
            }
            return true;
        }
        if let Err(error) = self.add_fragment(header) {
            self.apply(PacketVerdict::Close(error));
        }
        true
    }

    /// Adds a fragment to its message. A complete message becomes the first frame of the input.
    fn add_fragment(&mut self, header: ClientFrameHeader) -> Result<(), ProtocolError> {
        let mut frame = self.input.split_to(header.frame_len());
        let payload = header.unmask(&mut frame);
        let mut fragments = match (header.opcode, self.fragments.take()) {
            (CONTINUATION, Some(started)) => started,
            (CONTINUATION, None) => return Err(ProtocolError::new("a fragment of no message")),
            (opcode, None) => Box::new((opcode, Vec::new())),
            (_, Some(_)) => return Err(ProtocolError::new("a message within another one")),
        };
        let (opcode, message) = &mut *fragments;
        if message.len() + payload.len() > self.filter.max_packet {
            return Err(ProtocolError::TOO_LARGE);
        }
        message.extend_from_slice(payload);
        if !header.last {
            self.fragments = Some(fragments);
            return Ok(());
        }
        let mut whole = BytesMut::new();
        client_frame::put(&mut whole, *opcode, &[message]);
        whole.unsplit(std::mem::take(&mut self.input));
        self.input = whole;
        Ok(())
    }

    fn apply(&mut self, verdict: PacketVerdict<'_>) {
        match verdict {
            PacketVerdict::Pass(text) => {
                client_frame::put(&mut self.output, TEXT, &[text.as_bytes()]);
            }
            PacketVerdict::PassBinary(BinaryPacket { text, attachments }) => {
                client_frame::put(&mut self.output, TEXT, &[text.as_bytes()]);
                // In Engine.IO 3 each starts with the type "message".
                let kind: &[u8] = match self.filter.protocol() {
                    EngineProtocol::V3 => &[4],
                    EngineProtocol::V4 => &[],
                };
                for attachment in attachments {
                    client_frame::put(&mut self.output, BINARY, &[kind, &attachment]);
                }
            }
            PacketVerdict::PassConnect(connect) => {
                client_frame::put(&mut self.output, TEXT, &[connect.text.as_bytes()]);
                self.waiting = Some(Box::new(NamespaceWait::new(WaitReason::Taken(connect))));
            }
            PacketVerdict::Retry(namespace) => {
                let ready = WaitReason::Ready(namespace.to_owned());
                self.waiting = Some(Box::new(NamespaceWait::new(ready)));
            }
            PacketVerdict::Drop => {}
            PacketVerdict::Close(error) => self.close(error),
        }
    }

    /// Closes the client; socketioxide sees the end of the stream.
    fn close(&mut self, error: ProtocolError) {
        self.ended = true;
        self.input = BytesMut::new();
        self.fragments = None;
        self.waiting = None;
        self.filter.close_websocket(error);
        let mut stream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        tokio::spawn(tokio::time::timeout(CLOSE_LINGER, async move {
            let mut discarded = [0; 4096];
            while stream.read(&mut discarded).await.is_ok_and(|read| read > 0) {}
        }));
    }

    /// Waits for a namespace, if it has to. A CONNECT that is passed to socketioxide again goes into the output.
    fn poll_namespace(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(wait) = &mut self.waiting else {
            return Poll::Ready(());
        };
        let namespaces = self.filter.namespaces();
        let connect = match &wait.reason {
            WaitReason::Taken(connect) if namespaces.poll_taken(&connect.namespace, context) => {
                self.waiting = None;
                return Poll::Ready(());
            }
            WaitReason::Taken(connect) => Some(connect),
            WaitReason::Ready(_) => None,
        };
        ready!(wait.retry.as_mut().poll(context));
        wait.delay = MAX_RETRY_DELAY.min(wait.delay * 2);
        wait.retry.as_mut().reset(Instant::now() + wait.delay);
        let Some(connect) = connect else {
            if matches!(&wait.reason, WaitReason::Ready(namespace) if namespaces.is_ready(namespace))
            {
                self.waiting = None;
            }
            return Poll::Ready(());
        };
        if Instant::now() >= wait.deadline {
            namespaces.cancel_request(&connect.namespace);
            self.close(ProtocolError::CONNECT_IGNORED);
            return Poll::Ready(());
        }
        client_frame::put(&mut self.output, TEXT, &[connect.text.as_bytes()]);
        Poll::Ready(())
    }

    /// Filters what was read. What passes goes into the caller's buffer, as far as there is room; everything else is buffered here.
    fn take_read(&mut self, read: &mut [u8], buffer: &mut ReadBuf<'_>) {
        if !self.is_idle() {
            self.input.put_slice(read);
            return;
        }
        let passed = self.filter_in_place(read);
        let (now, later) = split_for(&read[..passed], buffer);
        buffer.put_slice(now);
        if !later.is_empty() {
            // Before what has been filtered behind it.
            let behind = std::mem::replace(&mut self.output, BytesMut::from(later));
            self.output.unsplit(behind);
        }
    }
}

impl NamespaceWait {
    fn new(reason: WaitReason) -> Self {
        Self {
            reason,
            retry: Box::pin(tokio::time::sleep(MIN_RETRY_DELAY)),
            delay: MIN_RETRY_DELAY,
            deadline: Instant::now() + NAMESPACE_TIMEOUT,
        }
    }
}

/// Filters a whole message.
fn filter_message<'a>(filter: &InboundFilter, opcode: u8, payload: &'a [u8]) -> PacketVerdict<'a> {
    let incoming = match opcode {
        BINARY => Incoming::Binary(payload),
        _ => match std::str::from_utf8(payload) {
            Ok(text) => Incoming::Text(text),
            Err(_) => return PacketVerdict::Close(ProtocolError::NOT_UTF8),
        },
    };
    filter.filter(incoming)
}

impl AsyncRead for WebSocketReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let resume_count = self.filter.resume_count();
        if self.resume_count != resume_count && self.output.is_empty() && !self.ended {
            self.resume_count = resume_count;
            client_frame::put(&mut self.output, TEXT, &[PONG]);
        }
        loop {
            if !self.output.is_empty() {
                drain_into(&mut self.output, buffer);
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if self.waiting.is_some() {
                ready!(self.poll_namespace(context));
                continue;
            }
            if !self.input.is_empty() && self.process_frame() {
                continue;
            }
            if self.input.is_empty() {
                self.input = BytesMut::new(); // an emptied buffer keeps the memory of what was read
            }
            let (before, this) = (buffer.filled().len(), &mut *self);
            let read = with_read_buffer(this.read_size, |shared| {
                let mut shared = ReadBuf::new(shared);
                ready!(Pin::new(&mut this.stream).poll_read(context, &mut shared))?;
                this.take_read(shared.filled_mut(), buffer);
                Poll::Ready(io::Result::Ok(shared.filled().len()))
            });
            if ready!(read)? == 0 || buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
