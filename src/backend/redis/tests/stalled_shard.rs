//! A shard of a Cluster that is unavailable for long while the others work: queues are bounded, and every sender gets a receipt.

use redis::cmd;

use super::*;
use crate::model::Message;

/// More than the merger queues for a shard.
const MESSAGES: usize = merger::MERGE_QUEUE + 500;

/// How soon appends to an available shard must return.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(10);

/// A node whose merger waits for one shard and has a full queue of another; and a room of the latter.
async fn stalled(cluster: &Cluster) -> (TestNode, String) {
    let rooms = rooms();
    let here = cluster.room_at(0, &rooms).await.to_owned();
    let away = cluster.room_at(1, &rooms).await;
    let node = TestNode::at(cluster.urls(), &[&here, away]).await;
    let writer = TestNode::at(cluster.urls(), &names(&[])).await;
    cluster.servers[1].signal("STOP");
    let mut receipts = Vec::new();
    for _ in 0..MESSAGES {
        receipts.push(writer.log.append(draft(&here, "1")).await.unwrap());
    }
    for receipt in receipts {
        receipt.wait().await.unwrap();
    }
    (node, here)
}

#[tokio::test]
async fn senders_get_receipts_although_the_merger_cannot_forward_what_was_read_again() {
    let cluster = Cluster::start().await;
    let (mut node, here) = stalled(&cluster).await;
    let mut kill = cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("pubsub");
    let mut server = cluster.connect(0).await;
    kill.exec_async(&mut server).await.unwrap();
    // Once subscribed again, it reads from the log what was in the connection.
    let deadline = Instant::now() + TEST_TIMEOUT;
    let mut listening = cmd("PUBSUB");
    listening
        .arg("SHARDNUMSUB")
        .arg(Keys::default().channel(&key("/", &here)));
    loop {
        let (_, nodes): (String, usize) = listening.query_async(&mut server).await.unwrap();
        if nodes > 0 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "the node does not subscribe again"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..3 {
        let sent = timeout(RECEIPT_TIMEOUT, node.send(draft(&here, "1"))).await;
        sent.expect("a receipt in time").unwrap();
    }
    cluster.servers[1].signal("CONT");
    let delivered = node.next_messages(MESSAGES + 3).await;
    assert!(offsets(&delivered).is_sorted());
}

#[tokio::test]
async fn unfollowing_the_last_room_of_a_shard_with_a_full_queue_delays_nobody() {
    let cluster = Cluster::start().await;
    let (mut node, here) = stalled(&cluster).await;
    let room = key("/", &here);
    node.log.unsubscribe(&room);
    let sent = timeout(RECEIPT_TIMEOUT, node.send(draft(&here, "1"))).await;
    sent.expect("a receipt in time").unwrap();
    node.log.subscribe(&room).await.unwrap();
    cluster.servers[1].signal("CONT");
    node.send(draft(&here, "\"last\"")).await.unwrap();
    let mut delivered = Vec::new();
    while delivered
        .last()
        .is_none_or(|last: &Arc<Message>| last.data.get() != "\"last\"")
    {
        delivered.extend(node.next_messages(1).await);
    }
    assert!(offsets(&delivered).is_sorted());
}
