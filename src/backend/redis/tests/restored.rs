//! A Redis that was put back to older data: no number is used twice under one epoch.

use std::collections::HashMap;

use super::{node::Node, *};
use crate::backend::{
    Appended,
    conformance::{draft, key, named},
};

/// Rooms that the node follows, and others.
const ROOMS: [&str; 4] = ["followed", "quiet", "other", "idle"];

async fn page(node: &Node, room: &str) -> Page {
    let size = PageSize {
        messages: 100,
        bytes: 10_000,
    };
    let range = Range::After(Seq(0));
    node.log.read(&key("/", room), range, size).await.unwrap()
}

/// What was stored under which number, over all that is done: a number that is used for two messages is none.
#[derive(Default)]
struct Numbers(HashMap<(String, Epoch, Seq), crate::model::MessageId>);

impl Numbers {
    async fn send(&mut self, node: &Node, room: &str) -> Appended {
        let id = crate::model::MessageId::fresh();
        let appended = node.insist(&named(room, id.as_str())).await;
        assert!(!appended.duplicate);
        let place = (room.to_owned(), appended.epoch.clone(), appended.seq);
        let before = self.0.insert(place, id);
        assert_eq!(before, None, "{room} {} was used before", appended.seq);
        appended
    }
}

#[tokio::test]
async fn a_redis_put_back_to_older_data_uses_no_number_twice_under_one_epoch() {
    let mut server = Server::start().await;
    let mut node = Node::at(server.url(), &["followed", "quiet"]).await;
    let unwritten = page(&node, "unwritten").await.epoch;
    let (life, mut numbers) = (node.log.incarnation(), Numbers::default());
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
    node.messages(7).await;
    server.restore(&copy).await;
    // It is noticed by whatever is done first, and without anything being done.
    let deadline = Instant::now() + PATIENCE;
    while node.log.incarnation() == life {
        assert!(Instant::now() < deadline, "nobody noticed");
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
    // What is delivered goes on behind all that came before.
    let rest = node.messages(2).await;
    let offset = rest[0].offset;
    assert!(rest[1].offset > offset);
    assert!(rest.iter().all(|message| message.seq == Seq(4)));
}

#[tokio::test]
async fn a_number_is_not_used_twice_even_by_the_first_message_after_redis_was_put_back() {
    let mut server = Server::start().await;
    let node = Node::at(server.url(), &[]).await;
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
async fn an_id_that_was_stored_before_redis_was_put_back_is_still_known() {
    let mut server = Server::start().await;
    let node = Node::at(server.url(), &[]).await;
    let stored = node.send(named("r", "one")).await.unwrap();
    let copy = server.copy();
    node.send(named("r", "two")).await.unwrap();
    server.restore(&copy).await;
    let again = node.insist(&named("r", "one")).await;
    assert!(again.duplicate);
    assert_eq!(again.seq, stored.seq);
    let lost = node.insist(&named("r", "two")).await;
    assert_eq!((lost.duplicate, lost.seq), (false, Seq(2)));
    assert!(node.insist(&named("r", "one")).await.duplicate);
}

#[tokio::test]
async fn nodes_that_know_less_agree_with_one_that_noticed() {
    let mut server = Server::start().await;
    let writer = Node::at(server.url(), &[]).await;
    let mut others = [
        Node::at(server.url(), &["r"]).await,
        Node::at(server.url(), &["r"]).await,
    ];
    let mut numbers = Numbers::default();
    numbers.send(&writer, "r").await;
    let copy = server.copy();
    numbers.send(&writer, "r").await;
    for other in &mut others {
        assert_eq!(other.messages(2).await[1].seq, Seq(2));
    }
    server.restore(&copy).await;
    let mut epochs = std::collections::HashSet::new();
    epochs.insert(numbers.send(&writer, "r").await.epoch);
    for other in &others {
        epochs.insert(numbers.send(other, "r").await.epoch);
    }
    assert_eq!(epochs.len(), 1);
    for other in &mut others {
        let came = other.messages(3).await;
        let seqs: Vec<_> = came.iter().map(|message| message.seq.0).collect();
        assert_eq!(seqs, [2, 3, 4]);
    }
}

#[tokio::test]
async fn a_room_that_redis_has_thrown_away_does_not_come_back_with_its_epoch() {
    let server = Server::start().await;
    let node = Node::at(server.url(), &[]).await;
    let before = node.send(draft("r", "1")).await.unwrap();
    node.send(draft("r", "2")).await.unwrap();
    let mut evict = redis::cmd("DEL");
    evict.arg(node.log.shared.keys.room(&key("/", "r")));
    node.log.reads.of(Part::FIRST).ask(evict).await.unwrap();
    let seen = page(&node, "r").await;
    assert_eq!((seen.head, seen.messages.len()), (Seq(0), 0));
    let after = node.send(draft("r", "3")).await.unwrap();
    assert_eq!((after.seq, &after.epoch), (Seq(1), &seen.epoch));
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(page(&node, "r").await.messages.len(), 1);
}

/// Has no node count as alive: leases last longer than a test.
async fn end_leases(url: &str) {
    let client = Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut end = redis::cmd("DEL");
    end.arg(keys::Keys::default().leases());
    end.exec_async(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_redis_put_back_while_no_node_ran_is_noticed_by_the_first_that_starts() {
    let mut server = Server::start().await;
    let url = server.url();
    let mut numbers = Numbers::default();
    let node = Node::at(url.clone(), &[]).await;
    numbers.send(&node, "r").await;
    let copy = server.copy();
    numbers.send(&node, "r").await;
    let life = node.log.incarnation();
    drop(node);
    server.restore(&copy).await;
    end_leases(&url).await;
    let node = Node::at(url.clone(), &[]).await;
    assert_ne!(node.log.incarnation(), life);
    numbers.send(&node, "r").await;
    drop(node);

    // The same Redis as before: nothing begins anew.
    let node = Node::at(url.clone(), &[]).await;
    let (life, epoch) = (node.log.incarnation(), numbers.send(&node, "r").await.epoch);
    drop(node);
    let node = Node::at(url, &[]).await;
    assert_eq!(
        (node.log.incarnation(), page(&node, "r").await.epoch),
        (life, epoch)
    );
}

#[tokio::test]
async fn a_redis_that_is_restarted_after_all_nodes_have_stopped_in_order_is_the_same() {
    let mut server = Server::start().await;
    let node = Node::at(server.url(), &[]).await;
    let before = node.send(draft("r", "1")).await.unwrap();
    let life = node.log.incarnation();
    node.log.close().await;
    drop(node);
    server.kill();
    server.restart().await;
    end_leases(&server.url()).await;
    let node = Node::at(server.url(), &[]).await;
    assert_eq!(node.log.incarnation(), life);
    let after = node.send(draft("r", "2")).await.unwrap();
    assert_eq!((after.seq, &after.epoch), (Seq(2), &before.epoch));
    node.log.close().await;
    drop(node);

    // Unless an operator says that it is not.
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut forget = redis::cmd("DEL");
    forget.arg(keys::Keys::default().life());
    forget.exec_async(&mut connection).await.unwrap();
    let node = Node::at(server.url(), &[]).await;
    assert_ne!(node.log.incarnation(), life);
    let anew = node.send(draft("r", "3")).await.unwrap();
    assert_eq!(anew.seq, Seq(3));
    assert_ne!(anew.epoch, before.epoch);
}

#[tokio::test]
async fn a_node_that_starts_after_redis_was_restarted_asks_one_that_ran_all_the_time() {
    let mut server = Server::start().await;
    let node = Node::at(server.url(), &[]).await;
    let before = node.send(draft("r", "1")).await.unwrap();
    server.kill();
    server.restart().await;
    let other = Node::at(server.url(), &[]).await;
    assert_eq!(other.log.incarnation(), node.log.incarnation());
    assert_eq!(page(&other, "r").await.epoch, before.epoch);
}
