//! A flush ends after everything that can be read is delivered, however slow the hub is.

use super::super::{BUSY_TIMEOUT, SqliteConfig, open_with, tests::read_all};
use crate::{
    backend::{Bus, DELIVERY_QUEUE, Delivery, Log, conformance::draft},
    model::Seq,
};

#[tokio::test]
async fn everything_that_can_be_read_is_delivered_before_a_flush_ends() {
    let folder = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(folder.path());
    let (log, bus, mut deliveries) = open_with(config, BUSY_TIMEOUT, None).unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    log.with_connection(move |_| {
        let _ = blocked.recv();
    })
    .await;
    let sent = DELIVERY_QUEUE as u64 + 10;
    for _ in 0..sent {
        drop(log.append(draft("r", "1")).await.unwrap());
    }
    // In one commit, or two.
    drop(release);
    while read_all(&log, "r").await.head < Seq(sent) {
        tokio::task::yield_now().await;
    }
    let flushed = tokio::spawn(async move { bus.flush().await });
    let mut delivered = 0;
    loop {
        match deliveries.recv().await.unwrap() {
            Delivery::Message(message) => delivered = message.seq.0,
            Delivery::Barrier(reached) => {
                assert_eq!(delivered, sent);
                reached.send(()).unwrap();
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    flushed.await.unwrap();
    log.close().await;
}
