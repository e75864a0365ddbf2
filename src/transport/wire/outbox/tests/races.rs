//! Concurrent writers, readers and ends: no wake-up is lost and nothing leaks.

use tokio::io::{AsyncReadExt, DuplexStream, duplex};

use super::{super::super::writer_pool::WriterPool, *};

fn downgrade(outbox: Arc<Outbox>) -> Weak<Outbox> {
    let weak = Arc::downgrade(&outbox);
    drop(outbox);
    weak
}

/// Waits until an outbox is dropped.
async fn gone(outbox: Weak<Outbox>) {
    soon(async {
        while outbox.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

async fn read(mut stream: impl tokio::io::AsyncRead + Unpin, bytes: usize) -> Vec<u8> {
    let mut read = vec![0; bytes];
    soon(stream.read_exact(&mut read)).await.unwrap();
    read
}

/// A session with a running writer pool, and its client's end.
fn pooled(pool: &WriterPool, between: usize) -> (Arc<Outbox>, DuplexStream) {
    let (near, far) = duplex(between);
    (open(1 << 30, &pool.queue(), Box::new(near)), far)
}

#[tokio::test]
async fn queued_packets_are_written_as_the_client_reads() {
    let pool = WriterPool::start(1, 10 * SECOND);
    let (outbox, client) = pooled(&pool, 16);
    let bytes: usize = (0..50)
        .map(|number| {
            let packet = numbered(number, 100);
            let bytes = packet.len();
            outbox.push(packet, &DeliveryPolicy::Always);
            bytes
        })
        .sum();
    let received = texts(&read(client, bytes).await);
    assert_eq!(numbers(&received, 'o'), (0..50).collect::<Vec<_>>());
}

#[test]
fn a_sender_that_never_pauses_writes_by_itself() {
    let (outbox, _queue, client) = scripted(1 << 20);
    client.takes(usize::MAX / 2);
    for number in 0..10_000 {
        outbox.push(numbered(number, 1_000), &DeliveryPolicy::Always);
        assert!(!outbox.has_ended());
    }
    assert!(!client.peer().taken.is_empty());
    check(&outbox);
}

/// Pushers, socketioxide and a client that reads in small pieces, all at once.
async fn race(
    pool: &WriterPool,
    round: usize,
    writer: StreamWriter,
    client: impl tokio::io::AsyncRead + Unpin,
) {
    const EACH: usize = 60;
    let outbox = open(1 << 30, &pool.queue(), writer);
    let size = [0, 10, 300, 5_000][round % 4];
    let pusher = |kind: char| {
        let outbox = outbox.clone();
        tokio::spawn(async move {
            for number in 0..EACH {
                let packet = format!("{kind}{number} {}", "x".repeat(size));
                outbox.push(ours(&packet), &DeliveryPolicy::Always);
                if number % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    let pushers = [pusher('o'), pusher('p')];
    let engine = outbox.clone();
    let engine = tokio::spawn(async move {
        for number in 0..EACH {
            let packet = text(&format!("n{number} {}", "y".repeat(size)));
            let (first, second) = packet.split_at(packet.len() / 2);
            engine.queue_engine_bytes(first).unwrap();
            engine.queue_engine_bytes(second).unwrap();
            if number % 3 == 0 {
                engine.flush();
            }
            tokio::task::yield_now().await;
        }
    });
    let one: usize = (0..EACH).map(|number| numbered(number, size).len()).sum();
    let received = texts(&read(client, 3 * one).await);
    for task in pushers.into_iter().chain([engine]) {
        soon(task).await.unwrap();
    }
    for kind in ['n', 'o', 'p'] {
        assert_eq!(numbers(&received, kind), (0..EACH).collect::<Vec<_>>());
    }
    check(&outbox);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_packet_arrives_however_senders_and_a_slow_client_race() {
    let pool = WriterPool::start(2, 10 * SECOND);
    for round in 0..200 {
        let (near, far) = duplex((1 + round % 3) * [1, 16, 200, 3_000][round % 4]);
        race(&pool, round, Box::new(near), far).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_packet_arrives_through_a_socket_with_small_buffers() {
    let pool = WriterPool::start(1, 10 * SECOND);
    let listener = tokio::net::TcpSocket::new_v4().unwrap();
    listener.set_send_buffer_size(2_048).unwrap();
    listener.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = listener.listen(8).unwrap();
    for round in 0..20 {
        let client = tokio::net::TcpSocket::new_v4().unwrap();
        client.set_recv_buffer_size(2_048).unwrap();
        let client = client
            .connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (reading, writing) = listener.accept().await.unwrap().0.into_split();
        race(&pool, round, Box::new(writing), client).await;
        drop(reading);
    }
}

#[tokio::test]
async fn a_session_that_is_always_ready_does_not_starve_others() {
    /// Never takes a byte, and wakes at once.
    struct Restless;
    impl AsyncWrite for Restless {
        fn poll_write(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            context.waker().wake_by_ref();
            Poll::Pending
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let pool = WriterPool::start(1, 10 * SECOND);
    let restless = open(1 << 20, &pool.queue(), Box::new(Restless));
    restless.push(numbered(0, 1), &DeliveryPolicy::Always);
    let (outbox, client) = pooled(&pool, 16);
    outbox.push(numbered(0, 40), &DeliveryPolicy::Always);
    assert_eq!(numbers(&texts(&read(client, 45).await), 'o'), [0]);
}

#[tokio::test]
async fn a_finished_stream_ends_after_its_last_byte() {
    let pool = WriterPool::start(1, SECOND / 5);
    let (outbox, mut client) = pooled(&pool, 16);
    for number in 0..20 {
        outbox.push(numbered(number, 50), &DeliveryPolicy::Always);
    }
    outbox.flush();
    outbox.finish();
    outbox.push(numbered(20, 50), &DeliveryPolicy::Always);
    assert!(!outbox.has_ended(), "the client has not read yet");
    let outbox = downgrade(outbox);
    let mut received = Vec::new();
    soon(client.read_to_end(&mut received)).await.unwrap();
    assert_eq!(numbers(&texts(&received), 'o'), (0..20).collect::<Vec<_>>());
    gone(outbox).await;
}

#[tokio::test]
async fn a_finished_session_whose_client_stops_reading_is_ended() {
    let pool = WriterPool::start(1, SECOND / 5);
    let limits = OutboxLimits {
        bytes: 1 << 20,
        stall: SECOND / 5,
    };
    let (near, mut client) = duplex(16);
    let outbox = Outbox::new(limits, pool.queue(), no_owner(), Arc::default());
    outbox.attach_websocket(Box::new(near));
    outbox
        .queue_engine_bytes(&text("a close frame, say, and much before it"))
        .unwrap();
    outbox.finish();
    soon(async {
        while !outbox.has_ended() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gone(downgrade(outbox)).await;
    let mut received = Vec::new();
    soon(client.read_to_end(&mut received)).await.unwrap();
    assert_eq!(received.len(), 16);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_ended_session_is_dropped_whatever_happens_at_its_end() {
    let pool = WriterPool::start(1, SECOND / 5);
    for round in 0..300 {
        let (outbox, mut client) = pooled(&pool, 64);
        let mut tasks = Vec::new();
        let mut spawn = |act: fn(&Arc<Outbox>)| {
            let outbox = outbox.clone();
            tasks.push(tokio::spawn(async move {
                for _ in 0..20 {
                    act(&outbox);
                    tokio::task::yield_now().await;
                }
            }));
        };
        spawn(|outbox| outbox.push(numbered(0, 30), &DeliveryPolicy::Always));
        spawn(|outbox| drop(outbox.queue_engine_bytes(&text("n0"))));
        spawn(Outbox::flush);
        spawn(|outbox| {
            outbox.check_stall(Instant::now());
        });
        for _ in 0..round % 9 {
            tokio::task::yield_now().await;
        }
        match round % 3 {
            0 => outbox.end(),
            1 => outbox.finish(),
            // The client disconnects.
            _ => drop(std::mem::replace(&mut client, duplex(1).0)),
        }
        let mut received = Vec::new();
        soon(client.read_to_end(&mut received)).await.unwrap();
        for task in tasks {
            soon(task).await.unwrap();
        }
        if round % 3 == 2 {
            outbox.end();
        }
        gone(downgrade(outbox)).await;
    }
}
