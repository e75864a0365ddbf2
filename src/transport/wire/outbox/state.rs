//! What an [`Outbox`](super::Outbox) keeps under its lock: the queues, and how they are written.
//!
//! Knows no limits and notifies nobody: what has to be done without the lock is noted in [`Effects`].

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use bytes::Bytes;
use indexmap::IndexMap;
use tokio::io::AsyncWrite;

use crate::error::Code;
use crate::http::upgrade::StreamWriter;
use crate::hub::CloseReason;
use crate::transport::wire::{
    OutboxOwner,
    document_namespace::place_of_document,
    engine_frame::{ENGINE_PING, EngineFrame, FrameSplitter, OutgoingPacket, replace_packet},
    frame::Frame,
    other_parser,
    refusal::{NOOP, is_reserved, rewrite_refusal, rewrite_unreached},
    rewrite::DeliveredOffsets,
    send_gate::SendGate,
};

/// Frames that one system call takes at most.
const FRAMES_PER_WRITE: usize = 64;

/// Frames for which an emptied queue keeps its memory.
const RETAINED_CAPACITY: usize = 4 * FRAMES_PER_WRITE;

/// What happens to socketioxide's first ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FirstPing {
    #[default]
    PassThrough,
    Expected,
    Intercepted,
}

/// The state that the lock of an outbox guards.
#[derive(Default)]
pub(super) struct OutboxState {
    pub(super) gate: SendGate,
    pub(super) writer: Option<StreamWriter>,
    pub(super) ready: VecDeque<Bytes>,
    /// Bytes of the first of `ready` that have been sent.
    pub(super) written: usize,
    pub(super) held: VecDeque<Frame>,
    /// Newest event of each key, for a client that is behind; `None` if there is none.
    pub(super) newest: Option<Box<IndexMap<Arc<str>, Frame>>>,
    pub(super) newest_bytes: usize,
    /// Unsent bytes in `ready`, `held` and `newest`.
    pub(super) bytes: usize,
    /// Bytes up to the end of something that is larger than the queue may be, and was queued within the bound: a document of many
    /// megabytes, for instance. They are no sign of a slow client.
    pub(super) oversized: usize,
    /// Offsets of the messages that went to `ready` or into poll responses.
    pub(super) delivered: DeliveredOffsets,
    pub(super) splitter: FrameSplitter,
    pub(super) first_ping: FirstPing,
    /// A binary packet of socketioxide's with attachments missing: its frames so far, and how many are missing.
    pub(super) partial_binary: Option<Box<(Vec<Bytes>, usize)>>,
    /// Since when bytes are queued and none has been taken.
    pub(super) waiting_since: Option<Instant>,
    /// In the write queue.
    pub(super) enqueued: bool,
    /// The socket takes no more for now and has the waker. `ready` may be empty: the writer has yet to flush then.
    pub(super) blocked: bool,
    /// Watched for stalling.
    pub(super) watched: bool,
    /// Nothing is added any more; what is queued is still sent.
    pub(super) finishing: bool,
    pub(super) ended: bool,
    /// The task that reads from the client.
    pub(super) reader: Option<Waker>,
}

/// What has to be done once the lock is released.
#[derive(Default)]
pub(super) struct Effects {
    pub(super) send_barrier: bool,
    pub(super) enqueue: bool,
    pub(super) watch: bool,
    pub(super) close_slow: bool,
}

impl OutboxState {
    pub(super) fn take_engine_frame(
        &mut self,
        frame: EngineFrame,
        owner: Option<&dyn OutboxOwner>,
    ) {
        match frame {
            EngineFrame::Barrier => {
                if self.gate.pass_barrier() {
                    for frame in mem::take(&mut self.held) {
                        self.bytes -= frame.len();
                        let frame = self.prepare(frame);
                        self.queue_frame(frame);
                    }
                }
            }
            EngineFrame::Connected(frame)
            | EngineFrame::Refused(frame)
            | EngineFrame::Bodiless(frame)
            | EngineFrame::Event(frame) => self.queue_packet(frame, owner),
            EngineFrame::Binary(frame, attachments) => {
                self.partial_binary = Some(Box::new((vec![frame], attachments)));
            }
            EngineFrame::Attachment(frame) => self.take_attachment(frame, owner),
            EngineFrame::Other(frame)
                if self.first_ping == FirstPing::Expected && frame == ENGINE_PING =>
            {
                self.first_ping = FirstPing::Intercepted;
                // Waking only schedules a task, which replies to the ping.
                self.reader.take().into_iter().for_each(Waker::wake);
            }
            EngineFrame::Other(frame) => self.queue(frame),
        }
    }

    /// Adds an attachment to its packet, and queues the packet once it is complete.
    fn take_attachment(&mut self, frame: Bytes, owner: Option<&dyn OutboxOwner>) {
        let Some(partial) = &mut self.partial_binary else {
            return self.queue(frame);
        };
        let (frames, missing) = &mut **partial;
        frames.push(frame);
        *missing -= 1;
        if *missing == 0
            && let Some(partial) = self.partial_binary.take()
        {
            let mut frames = partial.0.into_iter();
            if let Some(packet) = frames.next() {
                self.queue_packet(packet, owner);
            }
            frames.for_each(|frame| self.queue(frame));
        }
    }

    /// Queues one of the hub's packets, or holds it if the gate is closed.
    pub(super) fn queue_or_hold(&mut self, frame: Frame, effects: &mut Effects) {
        if self.gate.is_open() {
            let frame = self.prepare(frame);
            self.queue_frame(frame);
            return;
        }
        self.bytes += frame.len();
        self.held.push_back(frame);
        effects.send_barrier |= self.gate.hold_packet();
    }

    /// Notes the offset of the message in a frame that is about to be sent. An event that ends in a string gets the last one.
    pub(super) fn prepare(&mut self, frame: Frame) -> Frame {
        if let Some(offset) = frame.offset() {
            self.delivered.note(frame.namespace(), offset);
        }
        match frame.ends_in_string() {
            true => frame.change_text(|text| self.delivered.append_to_event(text)),
            false => frame,
        }
    }

    /// Rewrites a packet of socketioxide's for the client; `None` if it passes unchanged.
    pub(super) fn rewrite_packet(
        &mut self,
        text: &str,
        owner: Option<&dyn OutboxOwner>,
    ) -> Option<String> {
        let rewritten = self.rewrite_content(text, owner);
        // The head of the packet is the same in both.
        let Some(at) = place_of_document(text) else {
            return rewritten;
        };
        let mut packet = rewritten.unwrap_or_else(|| text.to_owned());
        if packet != NOOP {
            packet.insert_str(at, owner?.document()?);
        }
        Some(packet)
    }

    fn rewrite_content(&mut self, text: &str, owner: Option<&dyn OutboxOwner>) -> Option<String> {
        match OutgoingPacket::classify(text) {
            OutgoingPacket::Connected(namespace) => {
                if let Some(refusal) = rewrite_unreached(text) {
                    // A pattern of the application's namespaces matches even this name.
                    if let Some(owner) = owner {
                        owner.close_later(CloseReason::Refused(Code::Unauthorized));
                    }
                    return Some(refusal);
                }
                let reply = owner?.take_connect_reply(namespace)?;
                self.delivered.connected(text, namespace, &reply)
            }
            OutgoingPacket::Refused => {
                let ours = rewrite_refusal(text).or_else(|| rewrite_unreached(text));
                ours.or_else(|| other_parser::rewrite_refusal(text))
            }
            _ if is_reserved(text) => Some(NOOP.to_owned()),
            _ => self.delivered.append_to_event(text),
        }
    }

    fn queue_packet(&mut self, frame: Bytes, owner: Option<&dyn OutboxOwner>) {
        let frame = replace_packet(frame, |text| self.rewrite_packet(text, owner));
        self.queue(frame);
    }

    pub(super) fn queue_frame(&mut self, frame: Frame) {
        for bytes in frame.into_parts() {
            if !bytes.is_empty() {
                self.queue(bytes);
            }
        }
    }

    pub(super) fn queue(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.ready.push_back(frame);
    }

    /// Stores the newest event of its key for later; all stored ones have at most `limit` bytes. Returns how many events it
    /// has dropped for that.
    pub(super) fn replace_newest(&mut self, key: &Arc<str>, frame: Frame, limit: usize) -> u64 {
        let mut dropped = u64::from(self.remove_newest(key));
        self.newest_bytes += frame.len();
        self.bytes += frame.len();
        let newest = self.newest.get_or_insert_default();
        newest.insert(key.clone(), frame);
        while self.newest_bytes > limit
            && let Some((_, oldest)) = newest.shift_remove_index(0)
        {
            self.newest_bytes -= oldest.len();
            self.bytes -= oldest.len();
            dropped += 1;
        }
        self.newest.take_if(|newest| newest.is_empty());
        dropped
    }

    /// Removes the event of a key; true if there was one.
    pub(super) fn remove_newest(&mut self, key: &Arc<str>) -> bool {
        let Some(newest) = &mut self.newest else {
            return false;
        };
        let Some(older) = newest.shift_remove(key) else {
            return false;
        };
        self.newest_bytes -= older.len();
        self.bytes -= older.len();
        self.newest.take_if(|newest| newest.is_empty());
        true
    }

    /// Writes until `ready` is empty and what the writer keeps is flushed, or the socket takes no more.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn write_ready(&mut self, waker: &Waker) -> io::Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let mut context = Context::from_waker(waker);
        while let Some(first) = self.ready.front() {
            let first = &first[self.written..];
            let written = if self.ready.len() == 1 {
                Pin::new(&mut *writer).poll_write(&mut context, first)
            } else {
                let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
                slices[0] = IoSlice::new(first);
                let rest = self.ready.iter().skip(1);
                let used = slices[1..].iter_mut().zip(rest).map(|(slice, frame)| {
                    *slice = IoSlice::new(frame);
                });
                let used = used.count() + 1;
                Pin::new(&mut *writer).poll_write_vectored(&mut context, &slices[..used])
            };
            match written {
                Poll::Pending => {
                    self.blocked = true;
                    return Ok(());
                }
                Poll::Ready(Ok(0)) => return Err(connection_closed()),
                Poll::Ready(Ok(bytes)) => {
                    advance(&mut self.ready, &mut self.written, bytes);
                    self.bytes -= bytes;
                    self.oversized = self.oversized.saturating_sub(bytes);
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        // TLS keeps records that the socket does not take yet. A TCP stream has nothing to flush.
        match Pin::new(writer).poll_flush(&mut context) {
            Poll::Pending => self.blocked = true,
            Poll::Ready(flushed) => flushed?,
        }
        // A queue does not shrink by itself, and every session may have been behind once.
        if self.ready.capacity() > RETAINED_CAPACITY {
            self.ready.shrink_to(RETAINED_CAPACITY);
        }
        Ok(())
    }

    /// Drops everything but a frame that has been sent in part.
    pub(super) fn drop_unsent(&mut self) {
        let partly_sent = if self.written > 0 { 1 } else { 0 };
        self.ready.truncate(partly_sent);
        self.held.clear();
        self.newest = None;
        self.newest_bytes = 0;
        let partly_sent = self.ready.front().map_or(0, Bytes::len);
        self.bytes = partly_sent - self.written;
        self.oversized = self.oversized.min(self.bytes);
    }

    /// Drops everything. Returns the waker of the task that reads.
    pub(super) fn end(&mut self) -> Option<Waker> {
        self.ended = true;
        self.writer = None;
        self.ready = VecDeque::new();
        self.held = VecDeque::new();
        self.newest = None;
        (self.written, self.bytes, self.newest_bytes) = (0, 0, 0);
        self.oversized = 0;
        self.waiting_since = None;
        self.reader.take()
    }
}

/// The error of a stream that the server has ended.
pub(in crate::transport::wire) fn connection_closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the server closed the connection",
    )
}

/// Removes sent bytes from the front of the queue.
fn advance(ready: &mut VecDeque<Bytes>, written: &mut usize, bytes: usize) {
    *written += bytes;
    while let Some(first) = ready.front()
        && *written >= first.len()
    {
        *written -= first.len();
        ready.pop_front();
    }
}
