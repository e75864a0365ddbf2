//! A Redis that was restored from a backup: no number is used twice under one epoch.

use std::collections::{HashMap, HashSet};

use super::*;

/// Two rooms that the node follows, and two others.
const ROOMS: [&str; 4] = ["followed", "quiet", "other", "idle"];

async fn page(node: &TestNode, room: &str) -> Page {
    let size = PageSize {
        messages: 100,
        bytes: 10_000,
    };
    let range = Range::After(Seq(0));
    node.log.read(&key("/", room), range, size).await.unwrap()
}

/// The message of each number that was ever used: no number is used twice.
#[derive(Default)]
struct Numbers(HashMap<(String, Epoch, Seq), MessageId>);

impl Numbers {
    async fn send(&mut self, node: &TestNode, room: &str) -> Appended {
        let id = MessageId::generate();
        let appended = node.send_until_stored(&named(room, id.as_str())).await;
        assert!(!appended.duplicate);
        let place = (room.to_owned(), appended.epoch.clone(), appended.seq);
        let before = self.0.insert(place, id);
        assert_eq!(before, None, "{room} {} was used before", appended.seq);
        appended
    }
}

#[tokio::test]
async fn a_restored_redis_uses_no_number_twice_under_one_epoch() {
    let mut server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["followed", "quiet"]).await;
    let unwritten = page(&node, "unwritten").await.epoch;
    let (incarnation, mut numbers) = (node.log.incarnation(), Numbers::default());
    let mut last = HashMap::new();
    for room in ROOMS {
        for _ in 0..3 {
            last.insert(room, numbers.send(&node, room).await);
        }
    }
    let copy = server.copy();
    for room in ["followed", "other"] {
        last.insert(room, numbers.send(&node, room).await);
    }
    node.messages_only(7).await;
    server.restore(&copy).await;
    // Noticed without any request.
    let deadline = Instant::now() + TEST_TIMEOUT;
    while node.log.incarnation() == incarnation {
        assert!(Instant::now() < deadline, "the loss was not noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for room in ROOMS {
        let kept = page(&node, room).await;
        assert_eq!(kept.head, Seq(3), "{room}");
        assert_ne!(kept.epoch, last[room].epoch, "{room}");
        let appended = numbers.send(&node, room).await;
        assert_eq!((appended.seq, appended.epoch), (Seq(4), kept.epoch));
    }
    let appended = numbers.send(&node, "unwritten").await;
    assert_ne!(appended.epoch, unwritten);
    // Deliveries continue behind all earlier ones.
    let rest = node.messages_only(2).await;
    let offset = rest[0].offset;
    assert!(rest[1].offset > offset);
    assert!(rest.iter().all(|message| message.seq == Seq(4)));
}

#[tokio::test]
async fn the_first_message_after_a_restore_uses_no_number_twice() {
    let mut server = Server::start().await;
    let node = TestNode::at(server.url(), &[]).await;
    let mut numbers = Numbers::default();
    for round in 0..3 {
        numbers.send(&node, "r").await;
        let copy = server.copy();
        for _ in 0..=round {
            numbers.send(&node, "r").await;
        }
        server.restore(&copy).await;
    }
    numbers.send(&node, "r").await;
}

#[tokio::test]
async fn an_id_in_the_backup_is_still_known_after_a_restore() {
    let mut server = Server::start().await;
    let node = TestNode::at(server.url(), &[]).await;
    let stored = node.send(named("r", "one")).await.unwrap();
    let copy = server.copy();
    node.send(named("r", "two")).await.unwrap();
    server.restore(&copy).await;
    let again = node.send_until_stored(&named("r", "one")).await;
    assert!(again.duplicate);
    assert_eq!(again.seq, stored.seq);
    let lost = node.send_until_stored(&named("r", "two")).await;
    assert_eq!((lost.duplicate, lost.seq), (false, Seq(2)));
    assert!(node.send_until_stored(&named("r", "one")).await.duplicate);
}

#[tokio::test]
async fn nodes_that_did_not_notice_a_loss_agree_with_the_one_that_did() {
    let mut server = Server::start().await;
    let writer = TestNode::at(server.url(), &[]).await;
    let mut peers = [
        TestNode::at(server.url(), &["r"]).await,
        TestNode::at(server.url(), &["r"]).await,
    ];
    let mut numbers = Numbers::default();
    numbers.send(&writer, "r").await;
    let copy = server.copy();
    numbers.send(&writer, "r").await;
    for other in &mut peers {
        assert_eq!(other.messages_only(2).await[1].seq, Seq(2));
    }
    server.restore(&copy).await;
    let mut epochs = HashSet::new();
    epochs.insert(numbers.send(&writer, "r").await.epoch);
    for other in &peers {
        epochs.insert(numbers.send(other, "r").await.epoch);
    }
    assert_eq!(epochs.len(), 1);
    for other in &mut peers {
        let delivered = other.messages_only(3).await;
        let seqs: Vec<_> = delivered.iter().map(|message| message.seq.0).collect();
        assert_eq!(seqs, [2, 3, 4]);
    }
}

#[tokio::test]
async fn an_evicted_room_does_not_get_its_epoch_again() {
    let server = Server::start().await;
    let node = TestNode::at(server.url(), &[]).await;
    let before = node.send(draft("r", "1")).await.unwrap();
    node.send(draft("r", "2")).await.unwrap();
    let mut evict = redis::cmd("DEL");
    evict.arg(node.log.context.keys.room(&key("/", "r")));
    node.log
        .connections
        .of(Partition::FIRST)
        .query(evict)
        .await
        .unwrap();
    let seen = page(&node, "r").await;
    assert_eq!((seen.head, seen.messages.len()), (Seq(0), 0));
    let after = node.send(draft("r", "3")).await.unwrap();
    assert_eq!((after.seq, &after.epoch), (Seq(1), &seen.epoch));
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(page(&node, "r").await.messages.len(), 1);
}

/// Deletes all leases, which last longer than a test.
async fn end_leases(url: &str) {
    let client = Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut end = redis::cmd("DEL");
    end.arg(Keys::default().leases());
    end.exec_async(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_restore_while_no_node_was_running_is_noticed_by_the_first_that_starts() {
    let mut server = Server::start().await;
    let url = server.url();
    let mut numbers = Numbers::default();
    let node = TestNode::at(url.clone(), &[]).await;
    numbers.send(&node, "r").await;
    let copy = server.copy();
    numbers.send(&node, "r").await;
    let incarnation = node.log.incarnation();
    drop(node);
    server.restore(&copy).await;
    end_leases(&url).await;
    let node = TestNode::at(url.clone(), &[]).await;
    assert_ne!(node.log.incarnation(), incarnation);
    numbers.send(&node, "r").await;
    drop(node);

    // The same process of Redis: the incarnation stays.
    let node = TestNode::at(url.clone(), &[]).await;
    let (incarnation, epoch) = (node.log.incarnation(), numbers.send(&node, "r").await.epoch);
    drop(node);
    let node = TestNode::at(url, &[]).await;
    assert_eq!(
        (node.log.incarnation(), page(&node, "r").await.epoch),
        (incarnation, epoch)
    );
}

#[tokio::test]
async fn a_restart_of_redis_after_an_orderly_shutdown_of_all_nodes_keeps_the_incarnation() {
    let mut server = Server::start().await;
    let node = TestNode::at(server.url(), &[]).await;
    let before = node.send(draft("r", "1")).await.unwrap();
    let incarnation = node.log.incarnation();
    node.log.close().await;
    drop(node);
    server.kill();
    server.restart().await;
    end_leases(&server.url()).await;
    let node = TestNode::at(server.url(), &[]).await;
    assert_eq!(node.log.incarnation(), incarnation);
    let after = node.send(draft("r", "2")).await.unwrap();
    assert_eq!((after.seq, &after.epoch), (Seq(2), &before.epoch));
    node.log.close().await;
    drop(node);

    // Unless the operator deletes it.
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut forget = redis::cmd("DEL");
    forget.arg(Keys::default().log_incarnation());
    forget.exec_async(&mut connection).await.unwrap();
    let node = TestNode::at(server.url(), &[]).await;
    assert_ne!(node.log.incarnation(), incarnation);
    let anew = node.send(draft("r", "3")).await.unwrap();
    assert_eq!(anew.seq, Seq(3));
    assert_ne!(anew.epoch, before.epoch);
}

#[tokio::test]
async fn a_node_that_starts_after_a_restart_of_redis_relies_on_a_running_one() {
    let mut server = Server::start().await;
    let node = TestNode::at(server.url(), &[]).await;
    let before = node.send(draft("r", "1")).await.unwrap();
    server.kill();
    server.restart().await;
    let other = TestNode::at(server.url(), &[]).await;
    assert_eq!(other.log.incarnation(), node.log.incarnation());
    assert_eq!(page(&other, "r").await.epoch, before.epoch);
}
