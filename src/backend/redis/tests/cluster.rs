//! A log over a Redis Cluster: one order over all shards, and what happens when one of the servers fails.

use std::collections::HashSet;

use redis::cmd;
use tokio::sync::oneshot;

use super::*;
use crate::model::Message;

#[tokio::test]
async fn nodes_that_write_concurrently_to_all_shards_are_delivered_the_same_order() {
    const EACH: usize = 3000;
    let cluster = Cluster::start().await;
    let rooms = rooms();
    let partitions: HashSet<_> = rooms
        .iter()
        .map(|room| Partition::of(&key("/", room)))
        .collect();
    assert_eq!(partitions.len(), 16);
    // Both nodes follow the rooms in the middle, and each follows some that the other does not.
    let mut one = TestNode::at(cluster.urls(), &names(&rooms[..40])).await;
    let mut two = TestNode::at(cluster.urls(), &names(&rooms[20..])).await;
    let write = |node: &TestNode, step: usize| {
        let (log, rooms) = (node.log.clone(), rooms.clone());
        tokio::spawn(async move {
            for nth in 0..EACH {
                let room = &rooms[nth * step % 60];
                let receipt = log.append(draft(room, "1")).await.unwrap();
                if nth % 10 == 0 {
                    receipt.wait().await.unwrap();
                }
            }
        })
    };
    let writing = [write(&one, 1), write(&two, 7)];
    let (of_one, of_two) = tokio::join!(
        one.next_messages(EACH / 60 * 40 * 2),
        two.next_messages(EACH / 60 * 40 * 2)
    );
    assert!(offsets(&of_one).is_sorted());
    assert!(offsets(&of_two).is_sorted());
    let context = |delivered: &[Arc<Message>]| -> Vec<_> {
        let both = delivered.iter().filter(|message| {
            rooms[20..40]
                .iter()
                .any(|room| room.as_str() == message.room.room.as_str())
        });
        both.map(|message| message.id.clone()).collect()
    };
    assert_eq!(context(&of_one), context(&of_two));
    for writing in writing {
        writing.await.unwrap();
    }
}

/// Sends messages to all rooms until stopped, each until it is stored. Returns their ids, in the order of sending.
fn keep_sending(sender: TestNode, rooms: &[String]) -> (Sending, oneshot::Sender<()>) {
    let (stop, mut stopped) = oneshot::channel();
    let rooms = rooms.to_vec();
    let sending = tokio::spawn(async move {
        let mut sent = Vec::new();
        while stopped.try_recv().is_err() {
            let id = format!("id{}", sent.len());
            let room = &rooms[sent.len() * 7 % rooms.len()];
            sender.send_until_stored(&named(room, &id)).await;
            sent.push(id);
        }
        sent
    });
    (sending, stop)
}

type Sending = tokio::task::JoinHandle<Vec<String>>;

/// A node that follows the rooms, and another one that sends messages to them.
async fn under_traffic(
    cluster: &Cluster,
    rooms: &[String],
) -> (TestNode, (Sending, oneshot::Sender<()>)) {
    let node = TestNode::at(cluster.urls(), &names(rooms)).await;
    let writer = TestNode::at(cluster.urls(), &[]).await;
    (node, keep_sending(writer, rooms))
}

/// Stops sending, and checks that every message was delivered once and in order.
async fn check_all_delivered(
    node: &mut TestNode,
    mut delivered: Vec<Arc<Message>>,
    (sending, stop): (Sending, oneshot::Sender<()>),
) {
    stop.send(()).unwrap();
    let sent = sending.await.unwrap();
    delivered.extend(node.next_messages(sent.len() - delivered.len()).await);
    assert!(offsets(&delivered).is_sorted());
    let mut ids: Vec<_> = delivered
        .iter()
        .map(|message| message.id.to_string())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), sent.len());
}

#[tokio::test]
async fn connections_that_are_killed_repeatedly_lose_and_duplicate_nothing() {
    let cluster = Cluster::start().await;
    let rooms = rooms();
    let (mut node, sending) = under_traffic(&cluster, &rooms).await;
    let mut delivered = Vec::new();
    for round in 0..12 {
        delivered.extend(node.next_messages(100).await);
        let mut connection = cluster.connect(round % 3).await;
        let kind = ["pubsub", "normal"][round % 2];
        let mut kill = cmd("CLIENT");
        kill.arg("KILL").arg("TYPE").arg(kind);
        let killed: usize = kill.query_async(&mut connection).await.unwrap();
        assert!(killed > 0, "no connection was killed");
    }
    check_all_delivered(&mut node, delivered, sending).await;
}

#[tokio::test]
async fn while_a_server_is_down_only_its_shards_fail_and_all_is_delivered_in_order_afterwards() {
    let mut cluster = Cluster::start().await;
    let rooms = rooms();
    let mut node = TestNode::at(cluster.urls(), &names(&rooms)).await;
    let away = cluster.room_at(0, &rooms).await;
    let there = cluster.room_at(1, &rooms).await;
    node.send_until_stored(&draft(away, "1")).await;
    cluster.servers[0].kill();
    let began = Instant::now();
    let refused = node.send(draft(away, "1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    let mut stored = Vec::new();
    for _ in 0..3 {
        stored.push(node.send(draft(there, "1")).await.unwrap().id);
    }
    node.log.send(ephemeral(there)).await.unwrap();
    assert!(node.log.ready().await.is_err());
    let took = began.elapsed();
    assert!(took < Duration::from_secs(12), "replied after {took:?}");
    cluster.servers[0].restart().await;
    node.send_until_stored(&named(away, "again")).await;
    let delivered = node.messages_only(5).await;
    assert!(offsets(&delivered).is_sorted());
    for id in stored {
        assert!(delivered.iter().any(|message| message.id == id));
    }
    assert!(
        delivered
            .iter()
            .any(|message| message.id.as_str() == "again")
    );
    node.wait_until_ready().await;
}

#[tokio::test]
async fn while_a_server_is_paused_its_shards_fail_and_recover_afterwards() {
    let cluster = Cluster::start().await;
    let rooms = rooms();
    let (mut node, sending) = under_traffic(&cluster, &rooms).await;
    let mut delivered = node.next_messages(100).await;
    cluster.servers[1].signal("STOP");
    let still = cluster.room_at(1, &rooms).await;
    let refused = node.send(named(still, "during")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    cluster.servers[1].signal("CONT");
    delivered.extend(node.next_messages(300).await);
    delivered.retain(|message| message.id.as_str() != "during");
    check_all_delivered(&mut node, delivered, sending).await;
}

#[tokio::test]
async fn a_promoted_replica_is_found() {
    let mut cluster = Cluster::start().await;
    cluster.add_replica_of(0).await;
    let rooms = rooms();
    let (mut node, sending) = under_traffic(&cluster, &rooms).await;
    let mut delivered = node.next_messages(100).await;
    // Messages that were not replicated may be lost; the others are delivered in order.
    cluster.servers[0].kill();
    delivered.extend(node.next_messages(600).await);
    assert!(offsets(&delivered).is_sorted());
    let (sending, stop) = sending;
    stop.send(()).unwrap();
    sending.await.unwrap();
    node.wait_until_ready().await;
}

#[tokio::test]
async fn a_shard_that_is_migrated_to_another_server_is_followed_there() {
    let cluster = Cluster::start().await;
    let rooms = rooms();
    let (mut node, sending) = under_traffic(&cluster, &rooms).await;
    let mut delivered = node.next_messages(100).await;
    let moving = key("/", cluster.room_at(2, &rooms).await);
    cluster
        .migrate(&Keys::default().channel(&moving), 2, 0)
        .await;
    delivered.extend(node.next_messages(600).await);
    check_all_delivered(&mut node, delivered, sending).await;
}

#[tokio::test]
async fn when_a_server_has_lost_all_data_the_log_begins_a_new_incarnation() {
    let mut cluster = Cluster::start().await;
    let rooms = rooms();
    let mut node = TestNode::at(cluster.urls(), &names(&rooms)).await;
    let room = cluster.room_at(1, &rooms).await;
    let incarnation = node.log.incarnation();
    let before = node.send(draft(room, "1")).await.unwrap();
    cluster.servers[1].kill();
    let folder = cluster.servers[1].folder.path();
    std::fs::remove_dir_all(folder.join("appendonlydir")).unwrap();
    cluster.servers[1].restart().await;
    let after = node.send_until_stored(&named(room, "after")).await;
    assert_ne!(after.epoch, before.epoch);
    let delivered = node.next_messages(2).await;
    assert_eq!(
        (delivered[1].seq, delivered[1].id.as_str()),
        (Seq(1), "after")
    );
    assert!(offsets(&delivered).is_sorted());
    let deadline = Instant::now() + TEST_TIMEOUT;
    while node.log.incarnation() == incarnation {
        assert!(Instant::now() < deadline, "the loss was not noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn refusal(url: String) -> RedisOpenError {
    let opened = open(RedisConfig::new(url)).await;
    opened.err().expect("the URL is rejected")
}

#[tokio::test]
async fn an_invalid_url_is_rejected_with_the_reason() {
    let (one, two) = tokio::join!(Server::start(), Server::start());
    let several = format!("{},{}", one.url(), two.url());
    let refused = refusal(several).await;
    assert!(matches!(refused, RedisOpenError::Several));
    let cluster = Cluster::start().await;
    for server in [&one, &cluster.servers[0]] {
        let refused = refusal(format!("{}/3", server.url())).await;
        assert!(matches!(refused, RedisOpenError::Database));
    }
    let dead = "redis://127.0.0.1:1";
    let refused = refusal(dead.to_owned()).await;
    assert!(matches!(refused, RedisOpenError::Away(_)));
    // One reachable server is enough.
    let some = format!("{dead},{}", cluster.servers[1].url());
    open(RedisConfig::new(some)).await.unwrap();
}
