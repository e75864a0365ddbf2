//! What an outbox promises, whoever writes to it, reads from it and ends it meanwhile.

use std::{collections::VecDeque, io::IoSlice, pin::Pin, task::Poll};

use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::{super::payload, *};
use crate::transport::{
    socketio::{Engine, Here, testing::session},
    wire::testing::nobody,
};

mod ending;
mod order;
mod races;

const MARK: &[u8] = b"\x81\x1642[\"switchboard:mark\"]";
const SECOND: Duration = Duration::from_secs(1);

/// A client that takes as much as a test lets it.
#[derive(Default)]
struct Peer {
    /// Bytes that it takes before it is full again.
    room: usize,
    fails: bool,
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

    fn writer(&self) -> Writer {
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
        if peer.room == 0 {
            peer.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        let written = all.len().min(peer.room);
        peer.room -= written;
        peer.taken.extend(&all[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
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

/// A packet of ours with this number, of about this size.
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

/// The numbers of packets whose payload begins so.
fn numbers(texts: &[String], kind: char) -> Vec<usize> {
    let found = texts.iter().filter_map(|text| text.strip_prefix(kind));
    found
        .map(|text| text.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

fn outbox(bytes: usize, shard: &Arc<Shard>) -> Arc<Outbox> {
    let bounds = Bounds {
        bytes,
        stall: 10 * SECOND,
    };
    Outbox::new(bounds, shard.clone(), nobody(), Arc::default())
}

/// A session whose WebSocket is open to packets of ours.
fn open(bytes: usize, shard: &Arc<Shard>, writer: Writer) -> Arc<Outbox> {
    let outbox = outbox(bytes, shard);
    outbox.attach(writer);
    outbox.fence();
    outbox.native(MARK).unwrap();
    outbox
}

/// A session that a test writes for by hand, and its client.
fn scripted(bytes: usize) -> (Arc<Outbox>, Arc<Shard>, Client) {
    let (shard, client) = (Arc::default(), Client::default());
    (open(bytes, &shard, client.writer()), shard, client)
}

/// What must be true whenever nobody holds the lock.
fn check(outbox: &Outbox) {
    let state = outbox.lock();
    let held: usize = state.held.iter().map(Frame::len).sum();
    let newest: usize = state.newest.values().map(Frame::len).sum();
    let out: usize = state.out.iter().map(Bytes::len).sum();
    assert_eq!(newest, state.newest_bytes);
    assert_eq!(state.bytes, held + newest + out - state.written);
    assert_eq!(state.bytes, outbox.bytes.load(Ordering::SeqCst));
    let expected = state.out.is_empty() || state.writer.is_none();
    assert!(expected || state.listed || state.blocked, "nobody writes");
    assert!(state.bytes > 0 || state.since.is_none(), "nothing stalls");
    assert!(
        state.since.is_none() || state.watched,
        "nobody would see it"
    );
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let within = tokio::time::timeout(20 * SECOND, what);
    within.await.expect("it happens by itself")
}

#[test]
fn a_client_past_twice_its_bound_is_closed_at_once() {
    let (outbox, _shard, client) = scripted(1_000);
    for number in 0..18 {
        outbox.push(numbered(number, 96), &Keep::Always);
    }
    assert!(!outbox.has_ended());
    for number in 18..20 {
        outbox.push(numbered(number, 96), &Keep::Always);
    }
    assert!(outbox.has_ended() && client.peer().gone);
}

#[test]
fn a_client_that_takes_nothing_is_closed_after_the_stall_and_sooner_past_its_bound() {
    let (outbox, shard, _client) = scripted(1_000);
    outbox.push(numbered(0, 400), &Keep::Always);
    shard.walk();
    let now = Instant::now();
    assert!(outbox.keeps_waiting(now + 9 * SECOND));
    outbox.push(numbered(1, 700), &Keep::Always);
    assert!(outbox.keeps_waiting(now + SECOND));
    assert!(!outbox.keeps_waiting(now + 6 * SECOND));
    assert!(outbox.has_ended());

    let (outbox, shard, _client) = scripted(1_000);
    outbox.push(numbered(0, 400), &Keep::Always);
    shard.walk();
    assert!(!outbox.keeps_waiting(Instant::now() + 11 * SECOND));
    assert!(outbox.has_ended());
}

#[test]
fn a_client_that_takes_a_little_now_and_then_is_not_closed() {
    let (outbox, shard, client) = scripted(1_000);
    outbox.push(numbered(0, 1_500), &Keep::Always);
    shard.walk();
    for _ in 0..100 {
        let before = outbox.lock().since.expect("something waits");
        client.takes(1);
        shard.walk();
        let since = outbox.lock().since.expect("something waits still");
        assert!(since > before, "it has taken something");
        assert!(outbox.keeps_waiting(since + SECOND));
    }
}

#[test]
fn a_client_for_which_nothing_waits_is_not_watched() {
    let (outbox, shard, client) = scripted(1_000);
    outbox.push(numbered(0, 400), &Keep::Always);
    shard.walk();
    client.takes(1_000);
    shard.walk();
    assert!(!outbox.keeps_waiting(Instant::now() + 100 * SECOND));
    assert!(!outbox.has_ended() && !outbox.lock().watched);
    // A later stall is seen all the same.
    client.peer().room = 0;
    outbox.push(numbered(1, 400), &Keep::Always);
    shard.walk();
    assert!(!outbox.keeps_waiting(Instant::now() + 11 * SECOND));
    assert!(outbox.has_ended());
}

#[test]
fn a_session_that_waits_for_its_mark_for_ever_is_closed() {
    let shard = Arc::default();
    let outbox = outbox(1_000, &shard);
    outbox.push(numbered(0, 1), &Keep::Always);
    assert!(outbox.keeps_waiting(Instant::now() + 9 * SECOND));
    assert!(!outbox.keeps_waiting(Instant::now() + 11 * SECOND));
    assert!(outbox.has_ended());
}

#[test]
fn a_client_that_is_behind_gets_less_and_the_newest_when_it_has_caught_up() {
    let (outbox, shard, client) = scripted(1_000);
    outbox.push(numbered(0, 600), &Keep::Always);
    assert!(outbox.is_behind());
    let key = |key: &str| Keep::Newest(key.into());
    outbox.push(ours("in time"), &Keep::WhileInTime);
    outbox.push(ours("a1"), &key("a"));
    outbox.push(ours("b1"), &key("b"));
    outbox.push(ours("a2"), &key("a"));
    check(&outbox);
    for line in ["{reason=\"behind\"} 1\n", "{reason=\"newer\"} 1\n"] {
        let page = outbox.metrics.render();
        assert!(page.contains(&format!("dropped_total{line}")), "{page}");
    }
    client.takes(300);
    shard.walk();
    check(&outbox);
    assert!(!outbox.is_behind());
    // Before those that wait are due there is a newer one still.
    outbox.push(ours("b2"), &key("b"));
    outbox.push(ours("in time"), &Keep::WhileInTime);
    client.takes(1_000);
    while shard.walk() {
        check(&outbox);
    }
    assert_eq!(client.texts()[1..], ["b2", "in time", "a2"]);
    assert_eq!(outbox.lock().bytes, 0);
}

#[test]
fn what_is_kept_for_a_client_that_is_behind_is_bounded() {
    let (outbox, shard, client) = scripted(1_000);
    outbox.push(numbered(0, 600), &Keep::Always);
    for number in 0..100 {
        let key = Keep::Newest(number.to_string().into());
        outbox.push(ours(&format!("k{number:02} {}", "z".repeat(44))), &key);
        check(&outbox);
        assert!(outbox.lock().newest_bytes <= 250);
    }
    let page = outbox.metrics.render();
    assert!(
        page.contains("dropped_total{reason=\"newer\"} 95\n"),
        "{page}"
    );
    client.takes(10_000);
    while shard.walk() {}
    assert_eq!(numbers(&client.texts(), 'k'), (95..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn whoever_waits_for_little_to_wait_is_told() {
    let (outbox, shard, client) = scripted(1_000);
    soon(outbox.clone().drained()).await;
    outbox.push(numbered(0, 600), &Keep::Always);
    let mut drained = Box::pin(outbox.clone().drained());
    assert!(futures_util::poll!(&mut drained).is_pending());
    client.takes(300);
    shard.walk();
    assert!(
        futures_util::poll!(&mut drained).is_pending(),
        "more than a quarter waits"
    );
    client.takes(100);
    shard.walk();
    assert!(futures_util::poll!(&mut drained).is_ready());
    outbox.push(numbered(1, 600), &Keep::Always);
    let drained = tokio::spawn(outbox.clone().drained());
    tokio::task::yield_now().await;
    outbox.end();
    soon(drained).await.unwrap();
}

#[test]
fn a_stream_that_fails_ends_its_session() {
    let (outbox, shard, client) = scripted(1_000);
    outbox.push(numbered(0, 100), &Keep::Always);
    shard.walk();
    client.fails();
    shard.walk();
    assert!(outbox.has_ended() && client.peer().gone);
    assert!(outbox.native(&text("2")).is_err());
    check(&outbox);
}

#[test]
fn a_poll_that_leaves_something_behind_asks_for_another_mark() {
    let shard = Arc::default();
    let outbox = outbox(1_000, &shard);
    // Without a link a mark cannot be sent, which is noted: one that is only counted would be waited for, for ever.
    let asked = || outbox.lock().lane.waits();
    for number in 0..5 {
        outbox.push(numbered(number, 100), &Keep::Always);
    }
    outbox.push(ours("newest"), &Keep::Newest("key".into()));
    assert!(outbox.lock().newest.len() == 1);
    assert_eq!(outbox.spliced(330).len(), 3);
    check(&outbox);
    assert!(outbox.lock().newest.is_empty());
    assert!(asked());
    assert_eq!(outbox.spliced(1).len(), 1, "one always goes");
    assert_eq!(outbox.spliced(1_000).len(), 2);
    assert!(outbox.spliced(1_000).is_empty() && asked());
    check(&outbox);
    assert!(!outbox.keeps_waiting(Instant::now() + 100 * SECOND) && !outbox.has_ended());
}

#[test]
fn a_session_that_ends_by_polling_takes_nothing_more_but_a_websocket_gets_what_waits() {
    let shard = Arc::default();
    let polling = outbox(1_000, &shard);
    polling.push(numbered(0, 1), &Keep::Always);
    polling.abandon();
    assert!(polling.has_ended() && polling.spliced(1_000).is_empty());

    let (outbox, shard, client) = scripted(1_000);
    outbox.push(numbered(0, 1), &Keep::Always);
    outbox.abandon();
    client.takes(1_000);
    outbox.finish();
    while shard.walk() {}
    assert_eq!(numbers(&client.texts(), 'o'), [0]);
    assert!(outbox.has_ended() && client.peer().gone);
    outbox.abandon();
}

/// The body of the answer to a request of a session by polling.
async fn polled(engine: &Engine, sid: &str, packet: Option<&'static str>) -> Vec<u8> {
    let request = Request::builder()
        .uri(format!("/socket.io/?EIO=4&transport=polling{sid}"))
        .method(if packet.is_some() { "POST" } else { "GET" })
        .body(Body::from(packet.unwrap_or_default()))
        .unwrap();
    let answer = soon(engine.clone().oneshot(request)).await.unwrap();
    answer
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .into()
}

#[tokio::test]
async fn a_session_by_polling_gets_all_that_waits_poll_by_poll() {
    let (link, engine, io) = session();
    let carrying = link.clone();
    let served = io.ns("/", async move |here: Here| carrying.carries(here.0));
    served.await.unwrap();
    let open = String::from_utf8(polled(&engine, "", None).await).unwrap();
    let sid = format!("&sid={}", open.split('"').nth(3).unwrap());
    polled(&engine, &sid, Some("40")).await;
    assert!(polled(&engine, &sid, None).await.starts_with(b"40{"));

    let outbox = link.outbox();
    let mut arrived = Vec::new();
    for number in 0..20 {
        outbox.push(numbered(number, 50), &Keep::Always);
    }
    let mut polls = 0;
    while arrived.len() < 20 {
        let answer = polled(&engine, &sid, None).await;
        let encoding = payload::Encoding::Separated;
        let answer = payload::pass(&answer, encoding, outbox, 200).unwrap();
        let answer = String::from_utf8(answer.bytes).unwrap();
        arrived.extend(answer.split('\u{1e}').map(str::to_owned));
        polls += 1;
    }
    assert_eq!(numbers(&arrived, 'o'), (0..20).collect::<Vec<_>>());
    assert_eq!(polls, 7, "three fit into one answer");
}

#[test]
fn a_client_that_is_full_is_not_tried_again_with_every_packet() {
    let (outbox, shard, client) = scripted(1 << 20);
    outbox.push(numbered(0, 10), &Keep::Always);
    shard.walk();
    outbox.push(numbered(1, 10), &Keep::Always);
    assert!(!shard.walk(), "it tells when it takes more");
    client.takes(100);
    assert!(shard.walk());
    assert_eq!(numbers(&client.texts(), 'o'), [0, 1]);
}

#[tokio::test]
async fn whoever_waits_for_room_is_told_when_what_waits_is_for_nobody_any_more() {
    let (link, _engine, _io) = session();
    let outbox = link.outbox();
    let bound = outbox.bounds.bytes;
    // A mark is under way, of a namespace that has been left meanwhile.
    assert!(outbox.lock().lane.waits());
    for number in 0..6 {
        outbox.push(numbered(number, bound / 10), &Keep::Always);
    }
    outbox.push(ours("newest"), &Keep::Newest("key".into()));
    let mut drained = std::pin::pin!(outbox.clone().drained());
    assert!(futures_util::poll!(&mut drained).is_pending());
    assert_eq!(outbox.spliced(1).len(), 1);
    check(outbox);
    assert_eq!(outbox.lock().bytes, 0);
    soon(drained).await;
}

#[test]
fn a_burst_leaves_no_memory_behind() {
    let (outbox, shard, client) = scripted(1 << 20);
    for number in 0..10_000 {
        outbox.push(numbered(number, 10), &Keep::Always);
    }
    client.takes(1 << 20);
    while shard.walk() {}
    let state = outbox.lock();
    assert!(state.out.is_empty());
    assert!(state.out.capacity() < 1_000, "{}", state.out.capacity());
}
