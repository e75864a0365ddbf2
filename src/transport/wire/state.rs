//! What waits for one client, as its [`Outbox`](super::Outbox) has it under its lock: queues, and what writes them.
//!
//! Knows no bounds and tells nobody: what is to be done besides is noted in [`Todo`].

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

use super::Session;
use super::{
    frame::{ENGINE_PING, Frame, Native, Packet, Splitter, changed},
    lane::Lane,
    other_parser,
    outbox::Writer,
    refused::told,
    rewrite::Given,
};

/// Frames that one system call takes at most.
const GATHERED: usize = 64;

/// Frames for which an outbox that has been emptied keeps its place.
const ROOMY: usize = 4 * GATHERED;

/// What becomes of socketioxide's first ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FirstPing {
    #[default]
    Passes,
    Awaited,
    Swallowed,
}

/// What the lock of an outbox guards.
#[derive(Default)]
pub(super) struct State {
    pub(super) lane: Lane,
    pub(super) writer: Option<Writer>,
    pub(super) out: VecDeque<Bytes>,
    /// Bytes of the first of `out` that have gone.
    pub(super) written: usize,
    pub(super) held: VecDeque<Frame>,
    /// Of events of which only the newest counts, the newest, for a client that is behind.
    pub(super) newest: IndexMap<Arc<str>, Frame>,
    pub(super) newest_bytes: usize,
    /// What waits in `out`, `held` and `newest`.
    pub(super) bytes: usize,
    /// Of messages, what went to `out` or into polls' answers.
    pub(super) given: Given,
    pub(super) native: Splitter,
    pub(super) first_ping: FirstPing,
    /// A binary packet of socketioxide's whose attachments have not all come: its frames, and how many are to come.
    pub(super) binary: Option<(Vec<Bytes>, usize)>,
    /// Since when something waits and nothing has been taken.
    pub(super) since: Option<Instant>,
    /// On the shard's list.
    pub(super) listed: bool,
    /// The system will tell when it takes more.
    pub(super) blocked: bool,
    /// Watched for stalling.
    pub(super) watched: bool,
    /// Nothing is added any more; what there is still goes.
    pub(super) finishing: bool,
    pub(super) ended: bool,
    /// Whoever waits for something to read.
    pub(super) reader: Option<Waker>,
}

/// What is to be done once the lock has been let go of.
#[derive(Default)]
pub(super) struct Todo {
    pub(super) mark: bool,
    pub(super) list: bool,
    pub(super) watch: bool,
    pub(super) slow: bool,
}

impl State {
    pub(super) fn take_native(&mut self, native: Native, session: Option<&dyn Session>) {
        match native {
            Native::Mark => {
                if self.lane.passed() {
                    for frame in mem::take(&mut self.held) {
                        self.note(&frame);
                        self.out.push_back(frame.bytes);
                    }
                }
            }
            Native::Connected(frame) | Native::Refused(frame) | Native::Event(frame) => {
                self.queue_packet(frame, session);
            }
            Native::Binary(frame, attachments) => {
                self.binary = Some((vec![frame], attachments));
            }
            Native::Attachment(frame) => match &mut self.binary {
                None => self.queue(frame),
                Some((frames, missing)) => {
                    frames.push(frame);
                    *missing -= 1;
                    if *missing == 0
                        && let Some((frames, _)) = self.binary.take()
                    {
                        let mut frames = frames.into_iter();
                        if let Some(packet) = frames.next() {
                            self.queue_packet(packet, session);
                        }
                        frames.for_each(|frame| self.queue(frame));
                    }
                }
            },
            Native::Other(frame)
                if self.first_ping == FirstPing::Awaited && frame == ENGINE_PING =>
            {
                self.first_ping = FirstPing::Swallowed;
                // It only schedules a task, which answers the ping.
                self.reader.take().into_iter().for_each(Waker::wake);
            }
            Native::Other(frame) => self.queue(frame),
        }
    }

    /// Queues a packet of ours where the lane wants it.
    pub(super) fn place(&mut self, frame: Frame, todo: &mut Todo) {
        if self.lane.is_open() {
            self.note(&frame);
            self.queue(frame.bytes);
            return;
        }
        self.bytes += frame.len();
        self.held.push_back(frame);
        todo.mark |= self.lane.waits();
    }

    /// Notes that the client is given a message now, if the frame carries one.
    pub(super) fn note(&mut self, frame: &Frame) {
        if let Some(offset) = frame.offset {
            self.given.note(frame.namespace(), offset);
        }
    }

    /// A packet of socketioxide's as its client is to get it at this place; `None` if as it is.
    pub(super) fn rewritten(
        &mut self,
        text: &str,
        session: Option<&dyn Session>,
    ) -> Option<String> {
        match Packet::of(text) {
            Packet::Connected(namespace) => {
                let reply = session?.connect_reply(namespace)?;
                self.given.connected(text, namespace, &reply)
            }
            Packet::Refused => told(text).or_else(|| other_parser::told(text)),
            _ => self.given.event(text),
        }
    }

    fn queue_packet(&mut self, frame: Bytes, session: Option<&dyn Session>) {
        let frame = changed(frame, |text| self.rewritten(text, session));
        self.queue(frame);
    }

    pub(super) fn queue(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.out.push_back(frame);
    }

    /// Keeps the newest of its kind for later, within a bound; answers how many events are dropped for it.
    pub(super) fn replace(&mut self, key: &Arc<str>, frame: Frame, most: usize) -> u64 {
        let mut dropped = u64::from(self.newest.contains_key(key));
        self.forget(key);
        self.newest_bytes += frame.len();
        self.bytes += frame.len();
        self.newest.insert(key.clone(), frame);
        while self.newest_bytes > most
            && let Some((_, oldest)) = self.newest.shift_remove_index(0)
        {
            self.newest_bytes -= oldest.len();
            self.bytes -= oldest.len();
            dropped += 1;
        }
        dropped
    }

    pub(super) fn forget(&mut self, key: &Arc<str>) {
        if let Some(older) = self.newest.shift_remove(key) {
            self.newest_bytes -= older.len();
            self.bytes -= older.len();
        }
    }

    pub(super) fn write_out(&mut self, waker: &Waker) -> io::Result<()> {
        let Some(writer) = &mut self.writer else {
            return Ok(());
        };
        let mut context = Context::from_waker(waker);
        while let Some(first) = self.out.front() {
            let first = &first[self.written..];
            let written = if self.out.len() == 1 {
                Pin::new(&mut *writer).poll_write(&mut context, first)
            } else {
                let mut slices = [IoSlice::new(&[]); GATHERED];
                slices[0] = IoSlice::new(first);
                let rest = self.out.iter().skip(1);
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
                Poll::Ready(Ok(0)) => return Err(broken()),
                Poll::Ready(Ok(bytes)) => {
                    advance(&mut self.out, &mut self.written, bytes);
                    self.bytes -= bytes;
                }
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        // A queue does not shrink by itself, and every session may have been behind once.
        if self.out.capacity() > ROOMY {
            self.out.shrink_to(ROOMY);
        }
        Ok(())
    }

    /// Lets go of everything but a frame that has begun to go.
    pub(super) fn drop_waiting(&mut self) {
        let begun = if self.written > 0 { 1 } else { 0 };
        self.out.truncate(begun);
        self.held.clear();
        self.newest.clear();
        self.newest_bytes = 0;
        let begun = self.out.front().map_or(0, Bytes::len);
        self.bytes = begun - self.written;
    }

    pub(super) fn end(&mut self) -> Option<Waker> {
        self.ended = true;
        self.writer = None;
        self.out = VecDeque::new();
        self.held = VecDeque::new();
        self.newest = IndexMap::new();
        (self.written, self.bytes, self.newest_bytes) = (0, 0, 0);
        self.since = None;
        self.reader.take()
    }
}

/// The error of a stream that the server ended.
pub(super) fn broken() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionAborted,
        "the server closed the connection",
    )
}

/// So many bytes have gone.
fn advance(out: &mut VecDeque<Bytes>, written: &mut usize, bytes: usize) {
    *written += bytes;
    while let Some(first) = out.front()
        && *written >= first.len()
    {
        *written -= first.len();
        out.pop_front();
    }
}
