//! What socketioxide can rely on of its stream.

use std::time::Duration;

use futures_util::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};

use super::*;
use crate::transport::{
    socketio::testing::{EngineSession, session},
    wire::testing,
};

type Stream = OutboxStream<ReadHalf<DuplexStream>>;

/// The stream of a session that starts as a WebSocket, and the client's end.
fn for_websocket(outbox: &Arc<Outbox>) -> (Stream, DuplexStream) {
    let (reader, writer, client) = halves();
    let stream = OutboxStream::for_websocket(reader, Box::new(writer), outbox.clone(), false);
    (stream, client)
}

/// The stream that a session may upgrade to, and the client's end.
fn for_upgrade(engine_session: &Arc<EngineSession>) -> (Stream, DuplexStream) {
    let (reader, writer, client) = halves();
    let stream = OutboxStream::for_upgrade(
        reader,
        Box::new(writer),
        engine_session.clone(),
        engine_session.outbox().clone(),
        b"\x81\x012".to_vec(),
    );
    (stream, client)
}

fn halves() -> (
    ReadHalf<DuplexStream>,
    WriteHalf<DuplexStream>,
    DuplexStream,
) {
    let (near, client) = duplex(1 << 16);
    let (reader, writer) = split(near);
    (reader, writer, client)
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    let within = tokio::time::timeout(Duration::from_secs(20), what);
    within.await.expect("timed out")
}

async fn received(client: &mut DuplexStream, expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    soon(client.read_exact(&mut read)).await.unwrap();
    assert_eq!(read, expected);
}

#[tokio::test]
async fn writes_do_not_fail_before_the_first_read() {
    let outbox = testing::outbox();
    let (mut stream, _client) = for_websocket(&outbox);
    outbox.end();
    stream.write_all(b"\x81\x011").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(soon(stream.read(&mut [0])).await.unwrap(), 0);
    assert!(stream.write_all(b"\x81\x012").await.is_err());
    assert!(stream.flush().await.is_err());
    stream.shutdown().await.unwrap();
}

#[tokio::test]
async fn written_frames_are_left_to_the_writer_pool_and_the_stream_ends_behind_them() {
    let outbox = testing::outbox();
    let (mut stream, mut client) = for_websocket(&outbox);
    stream.write_all(b"\x81\x03").await.unwrap();
    stream.write_all(b"one\x81\x03two").await.unwrap();
    stream.flush().await.unwrap();
    let mut early = [0];
    assert!(poll!(Box::pin(client.read(&mut early))).is_pending());
    outbox.flush();
    received(&mut client, b"\x81\x03one\x81\x03two").await;
    stream.write_all(b"\x88\x00").await.unwrap();
    drop(stream);
    let mut rest = Vec::new();
    soon(client.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"\x88\x00");
    assert!(outbox.has_ended());
}

#[tokio::test]
async fn an_upgrade_writes_nothing_before_polling_has_ended_and_then_what_polling_left() {
    let (engine_session, ..) = session();
    let (mut stream, mut client) = for_upgrade(&engine_session);
    stream.write_all(b"\x81\x016").await.unwrap();
    stream.flush().await.unwrap();
    stream.write_all(PROBE_REPLY).await.unwrap();
    stream.write_all(b"\x81\x013").await.unwrap();
    engine_session.outbox().flush();
    received(&mut client, b"\x81\x012\x81\x013").await;
}

#[tokio::test]
async fn an_upgrade_that_fails_after_its_client_has_switched_ends_its_session() {
    let (engine_session, ..) = session();
    let (stream, mut client) = for_upgrade(&engine_session);
    drop(stream);
    assert_eq!(soon(client.read(&mut [0])).await.unwrap(), 0);
    assert!(
        engine_session.outbox().has_ended(),
        "polling had not ended yet"
    );

    let (engine_session, ..) = session();
    let (mut stream, mut client) = for_upgrade(&engine_session);
    stream.write_all(PROBE_REPLY).await.unwrap();
    drop(stream);
    received(&mut client, b"\x81\x012").await;
    assert_eq!(soon(client.read(&mut [0])).await.unwrap(), 0);
    assert!(engine_session.outbox().has_ended());
}

#[tokio::test]
async fn the_first_ping_gets_its_pong_before_anything_that_the_client_sends() {
    let outbox = testing::outbox();
    let (reader, writer, mut client) = halves();
    let mut stream = OutboxStream::for_websocket(reader, Box::new(writer), outbox.clone(), true);
    client.write_all(b"from the client").await.unwrap();
    stream.write_all(b"\x81\x010").await.unwrap();
    let mut pong = [0; CLIENT_PONG.len()];
    {
        let mut reading = Box::pin(stream.read_exact(&mut pong));
        assert!(poll!(&mut reading).is_pending(), "no ping has come");
    }
    stream.write_all(b"\x81\x012\x81\x01").await.unwrap();
    stream.write_all(b"4").await.unwrap();
    soon(stream.read_exact(&mut pong)).await.unwrap();
    assert_eq!(pong, CLIENT_PONG);
    let mut sent = [0; 15];
    soon(stream.read_exact(&mut sent)).await.unwrap();
    assert_eq!(&sent, b"from the client");
    stream.write_all(b"\x81\x012").await.unwrap();
    outbox.flush();
    received(&mut client, b"\x81\x010\x81\x014\x81\x012").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_that_waits_for_the_first_ping_is_woken_by_it_or_by_the_end() {
    for round in 0..2_000 {
        let outbox = testing::outbox();
        let (reader, writer, client) = halves();
        let mut stream =
            OutboxStream::for_websocket(reader, Box::new(writer), outbox.clone(), true);
        let reading = tokio::spawn(async move { stream.read(&mut [0; 8]).await });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        match round % 4 {
            0 | 1 => outbox.queue_engine_bytes(b"\x81\x012").unwrap(),
            _ => outbox.end(),
        }
        soon(reading).await.unwrap().unwrap();
        drop(client);
    }
}

#[tokio::test]
async fn a_client_is_not_read_while_an_inbox_is_full() {
    let outbox = testing::outbox();
    let (mut stream, mut client) = for_websocket(&outbox);
    client.write_all(b"ab").await.unwrap();
    outbox.pause_reads();
    outbox.pause_reads();
    let mut byte = [0];
    let mut reading = one_byte(&mut stream, &mut byte);
    assert!(poll!(&mut reading).is_pending());
    outbox.resume_reads();
    assert!(
        poll!(&mut reading).is_pending(),
        "another inbox is still full"
    );
    outbox.resume_reads();
    soon(reading).await;
    assert_eq!(byte, *b"a");
}

/// Reads one byte.
fn one_byte<'a>(
    stream: &'a mut Stream,
    byte: &'a mut [u8; 1],
) -> Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(async {
        stream.read_exact(byte).await.unwrap();
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_between_resuming_reads_and_a_reader() {
    for round in 0..2_000 {
        let outbox = testing::outbox();
        let (mut stream, mut client) = for_websocket(&outbox);
        client.write_all(b"a").await.unwrap();
        outbox.pause_reads();
        let reading = tokio::spawn(async move { stream.read_u8().await });
        if round % 2 == 0 {
            tokio::task::yield_now().await;
        }
        let easing = outbox.clone();
        tokio::spawn(async move { easing.resume_reads() });
        assert_eq!(soon(reading).await.unwrap().unwrap(), b'a');
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_waiting_reader_is_woken_by_the_end() {
    for round in 0..2_000 {
        let outbox = testing::outbox();
        let (mut stream, client) = for_websocket(&outbox);
        if round % 2 == 0 {
            outbox.pause_reads();
        }
        let reading = tokio::spawn(async move { stream.read(&mut [0]).await });
        if round % 3 == 0 {
            tokio::task::yield_now().await;
        }
        outbox.end();
        assert_eq!(soon(reading).await.unwrap().unwrap(), 0);
        drop(client);
    }
}

#[test]
fn a_reader_that_registers_sees_what_happened_just_before() {
    let outbox = testing::outbox();
    let context = &Context::from_waker(std::task::Waker::noop());
    outbox.pause_reads();
    assert!(!outbox.register_reader(context, false));
    outbox.resume_reads();
    assert!(outbox.register_reader(context, false), "reads are resumed");
    assert!(!outbox.register_reader(context, true), "there may be bytes");
    outbox.end();
    assert!(
        outbox.register_reader(context, true),
        "the stream has ended"
    );
}
