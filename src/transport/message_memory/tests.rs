//! Memory of partial messages.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

use super::*;
use crate::{
    limits::{Holder, Pool, Rate},
    transport::{packet_rate::PacketRate, wire::testing::outbox},
};

const STALL: Duration = Duration::from_secs(10);

/// A reader with this memory, and the client's end, which has sent the most of a message of 100,000 bytes.
async fn reading(memory: &Arc<Pool>) -> (MemoryLimitedReader<DuplexStream>, DuplexStream) {
    let (near, mut client) = duplex(1 << 20);
    let mut message = vec![0x81, 0x80 | 127];
    message.extend(100_000_u64.to_be_bytes());
    message.resize(14 + 99_999, 0);
    client.write_all(&message).await.unwrap();
    let rate = PacketRate::new(Rate::new(0, 0), Arc::default());
    let connection = ReaderContext {
        account: Account::new(memory.clone(), Holder::Backend),
        outbox: outbox(),
        metrics: Arc::default(),
        stall: STALL,
    };
    (
        MemoryLimitedReader::new(PacedReader::new(near, rate), connection),
        client,
    )
}

/// Reads until nothing comes for a moment; the bytes, and whether the stream has ended.
async fn read(reader: &mut MemoryLimitedReader<DuplexStream>) -> (usize, bool) {
    let (mut bytes, mut part) = (0, [0; 4096]);
    loop {
        match timeout(Duration::from_millis(10), reader.read(&mut part)).await {
            Ok(Ok(0)) => return (bytes, true),
            Ok(read) => bytes += read.unwrap(),
            Err(_) => return (bytes, false),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_partial_message_is_reserved_until_it_is_complete() {
    let memory = Pool::new(0);
    let (mut reader, mut client) = reading(&memory).await;
    assert_eq!(read(&mut reader).await, (14 + 99_999, false));
    assert!((200_000..300_000).contains(&memory.used()));
    client.write_all(&[0]).await.unwrap();
    assert_eq!(read(&mut reader).await, (1, false));
    assert_eq!(memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn reading_continues_once_there_is_memory() {
    let memory = Pool::new(400_000);
    let others = memory.take(Holder::Backend, 300_000).unwrap();
    let (mut reader, _client) = reading(&memory).await;
    let (first, _) = read(&mut reader).await;
    assert!((UNCHARGED_BYTES..50_000).contains(&first), "{first}");
    drop(others);
    sleep(MEMORY_RETRY_INTERVAL).await;
    assert_eq!(first + read(&mut reader).await.0, 14 + 99_999);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_closed_if_no_memory_comes_or_its_message_never_ends() {
    for (size, timeout) in [(50_000, STALL), (0, MESSAGE_TIMEOUT)] {
        let memory = Pool::new(size);
        let (mut reader, _client) = reading(&memory).await;
        assert!(!read(&mut reader).await.1);
        sleep(timeout - Duration::from_secs(1)).await;
        assert!(!read(&mut reader).await.1);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(read(&mut reader).await, (0, true));
        assert_eq!(memory.used(), 0);
    }
}
