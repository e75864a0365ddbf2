//! An outbox with a socket that a test controls.

use std::{
    collections::VecDeque,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::*;
use crate::{http::upgrade::StreamWriter, transport::wire::testing::no_owner};

mod ending;
mod flushing;
mod limits;
mod order;
mod polling;
mod races;

const BARRIER_EVENT: &[u8] = b"\x81\x1642[\"switchboard:mark\"]";
const SECOND: Duration = Duration::from_secs(1);

/// A socket that takes as many bytes as a test allows.
#[derive(Default)]
struct Peer {
    /// Bytes that it takes before it blocks again.
    room: usize,
    fails: bool,
    /// Keeps what it takes until it is flushed, as TLS does.
    buffers: bool,
    buffered: Vec<u8>,
    taken: Vec<u8>,
    waker: Option<Waker>,
    gone: bool,
}

#[derive(Clone, Default)]
struct Client(Arc<Mutex<Peer>>);

impl Client {
    fn peer(&self) -> MutexGuard<'_, Peer> {
        self.0.lock().unwrap()
    }

    fn writer(&self) -> StreamWriter {
        Box::new(Pipe(self.clone()))
    }

    fn takes(&self, bytes: usize) {
        let waker = {
            let mut peer = self.peer();
            peer.room += bytes;
            peer.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    fn fails(&self) {
        self.peer().fails = true;
        self.takes(0);
    }

    fn texts(&self) -> Vec<String> {
        texts(&self.peer().taken)
    }
}

struct Pipe(Client);

impl Drop for Pipe {
    fn drop(&mut self) {
        self.0.peer().gone = true;
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut peer = self.0.peer();
        if peer.fails {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        if peer.buffers {
            peer.buffered.extend(&all);
            return Poll::Ready(Ok(all.len()));
        }
        if peer.room == 0 {
            peer.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let written = all.len().min(peer.room);
        peer.room -= written;
        peer.taken.extend(&all[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut peer = self.0.peer();
        let flushed = peer.buffered.len().min(peer.room);
        let flushed: Vec<u8> = peer.buffered.drain(..flushed).collect();
        peer.room -= flushed.len();
        peer.taken.extend(flushed);
        if peer.buffered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        peer.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn frame(kind: u8, payload: &str) -> Vec<u8> {
    let mut frame = vec![kind];
    match payload.len() {
        short @ 0..=125 => frame.push(short as u8),
        long => {
            frame.push(126);
            frame.extend((long as u16).to_be_bytes());
        }
    }
    frame.extend(payload.as_bytes());
    frame
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload)
}

fn ours(payload: &str) -> Frame {
    Frame::of(text(payload).into())
}

/// A hub packet with this number, of about this size.
fn numbered(number: usize, size: usize) -> Frame {
    ours(&format!("o{number} {}", "x".repeat(size)))
}

/// The payloads of whole frames.
fn texts(mut bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    while let [_, length, rest @ ..] = bytes {
        let (length, rest) = match (length, rest) {
            (126, [high, low, rest @ ..]) => (u16::from_be_bytes([*high, *low]).into(), rest),
            (length, rest) => (usize::from(*length), rest),
        };
        let (payload, after) = rest.split_at_checked(length).expect("a whole frame");
        found.push(String::from_utf8(payload.to_vec()).unwrap());
        bytes = after;
    }
    assert!(bytes.is_empty(), "a whole frame");
    found
}

/// The numbers of packets whose payload starts with `kind`.
fn numbers(texts: &[String], kind: char) -> Vec<usize> {
    let found = texts.iter().filter_map(|text| text.strip_prefix(kind));
    found
        .map(|text| text.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

fn outbox(bytes: usize, queue: &Arc<WriteQueue>) -> Arc<Outbox> {
    let limits = OutboxLimits {
        bytes,
        stall: 10 * SECOND,
    };
    Outbox::new(limits, queue.clone(), no_owner(), Arc::default())
}

/// A session whose WebSocket is open to the hub's packets.
fn open(bytes: usize, queue: &Arc<WriteQueue>, writer: StreamWriter) -> Arc<Outbox> {
    let outbox = outbox(bytes, queue);
    outbox.attach_websocket(writer);
    outbox.add_barrier();
    outbox.queue_engine_bytes(BARRIER_EVENT).unwrap();
    outbox
}

/// A session without a writer pool: a test flushes its queue.
fn scripted(bytes: usize) -> (Arc<Outbox>, Arc<WriteQueue>, Client) {
    let (queue, client) = (Arc::default(), Client::default());
    (open(bytes, &queue, client.writer()), queue, client)
}

/// Checks the invariants that hold whenever the lock is free.
fn check(outbox: &Outbox) {
    let state = outbox.lock();
    let held: usize = state.held.iter().map(Frame::len).sum();
    let newest: usize = state
        .newest
        .iter()
        .flat_map(|newest| newest.values())
        .map(Frame::len)
        .sum();
    let out: usize = state.ready.iter().map(Bytes::len).sum();
    assert_eq!(newest, state.newest_bytes);
    assert_eq!(state.bytes, held + newest + out - state.written);
    assert_eq!(state.bytes, outbox.bytes.load(Ordering::SeqCst));
    let expected = state.ready.is_empty() || state.writer.is_none();
    assert!(
        expected || state.enqueued || state.blocked,
        "no write is scheduled"
    );
    assert!(
        state.bytes > 0 || state.blocked || state.waiting_since.is_none(),
        "an empty queue cannot stall"
    );
    assert!(
        state.waiting_since.is_none() || state.watched,
        "the stall would not be noticed"
    );
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let within = tokio::time::timeout(20 * SECOND, what);
    within.await.expect("timed out")
}

#[test]
fn a_write_error_ends_the_session() {
    let (outbox, queue, client) = scripted(1_000);
    outbox.push(numbered(0, 100), &DeliveryPolicy::Always);
    queue.flush_all();
    client.fails();
    queue.flush_all();
    assert!(outbox.has_ended() && client.peer().gone);
    assert!(outbox.queue_engine_bytes(&text("2")).is_err());
    check(&outbox);
}

#[test]
fn a_blocked_client_is_not_retried_with_every_packet() {
    let (outbox, queue, client) = scripted(1 << 20);
    outbox.push(numbered(0, 10), &DeliveryPolicy::Always);
    queue.flush_all();
    outbox.push(numbered(1, 10), &DeliveryPolicy::Always);
    assert!(!queue.flush_all(), "its waker queues it");
    client.takes(100);
    assert!(queue.flush_all());
    assert_eq!(numbers(&client.texts(), 'o'), [0, 1]);
}

#[test]
fn an_emptied_queue_releases_its_memory() {
    let (outbox, queue, client) = scripted(1 << 20);
    for number in 0..10_000 {
        outbox.push(numbered(number, 10), &DeliveryPolicy::Always);
    }
    client.takes(1 << 20);
    while queue.flush_all() {}
    let state = outbox.lock();
    assert!(state.ready.is_empty());
    assert!(state.ready.capacity() < 1_000, "{}", state.ready.capacity());
}
