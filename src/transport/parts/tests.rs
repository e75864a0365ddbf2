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
async fn reading(memory: &Arc<Pool>) -> (HeldReader<DuplexStream>, DuplexStream) {
    let (near, mut client) = duplex(1 << 20);
    let mut message = vec![0x81, 0x80 | 127];
    message.extend(100_000_u64.to_be_bytes());
    message.resize(14 + 99_999, 0);
    client.write_all(&message).await.unwrap();
    let rate = PacketRate::new(Rate::new(0, 0), Arc::default());
    let bearer = Bearer {
        account: Account::new(memory.clone(), Holder::Backend),
        outbox: outbox(),
        metrics: Arc::default(),
        stall: STALL,
    };
    (
        HeldReader::new(PacedReader::new(near, rate), bearer),
        client,
    )
}

/// Reads until nothing comes for a moment; the bytes, and whether the stream has ended.
async fn read(reader: &mut HeldReader<DuplexStream>) -> (usize, bool) {
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
async fn a_message_in_parts_is_reserved_and_given_back_when_it_is_whole() {
    let memory = Pool::new(0);
    let (mut reader, mut client) = reading(&memory).await;
    assert_eq!(read(&mut reader).await, (14 + 99_999, false));
    assert!((200_000..300_000).contains(&memory.used()));
    client.write_all(&[0]).await.unwrap();
    assert_eq!(read(&mut reader).await, (1, false));
    assert_eq!(memory.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_for_whose_message_there_is_no_memory_is_read_once_there_is() {
    let memory = Pool::new(400_000);
    let others = memory.take(Holder::Backend, 300_000).unwrap();
    let (mut reader, _client) = reading(&memory).await;
    let (first, _) = read(&mut reader).await;
    assert!((FREE..50_000).contains(&first), "{first}");
    drop(others);
    sleep(AGAIN).await;
    assert_eq!(first + read(&mut reader).await.0, 14 + 99_999);
}

#[tokio::test(start_paused = true)]
async fn a_client_for_whose_message_no_memory_comes_is_closed_and_so_is_one_that_never_ends_it() {
    for (size, patience) in [(50_000, STALL), (0, PATIENCE)] {
        let memory = Pool::new(size);
        let (mut reader, _client) = reading(&memory).await;
        assert!(!read(&mut reader).await.1);
        sleep(patience - Duration::from_secs(1)).await;
        assert!(!read(&mut reader).await.1);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(read(&mut reader).await, (0, true));
        assert_eq!(memory.used(), 0);
    }
}
