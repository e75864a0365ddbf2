//! A part of a Cluster that is away for long while the others go on: as much waits as may, and nobody is left without an answer.

use redis::cmd;

use super::{
    cluster::{Cluster, names, rooms},
    node::{Node, offsets},
    *,
};
use crate::backend::conformance::{draft, key};

/// More than may wait for a part that is away.
const MANY: usize = merger::WAITING + 500;

/// Whatever is asked of a part that is there is answered within this.
const ANSWERED: Duration = Duration::from_secs(10);

/// A node that waits for a part, and has as much of another as may wait; a room of that.
async fn stalled(cluster: &Cluster) -> (Node, String) {
    let rooms = rooms();
    let here = cluster.room_at(0, &rooms).await.to_owned();
    let away = cluster.room_at(1, &rooms).await;
    let node = Node::at(cluster.urls(), &[&here, away]).await;
    let writer = Node::at(cluster.urls(), &names(&[])).await;
    cluster.servers[1].signal("STOP");
    let mut receipts = Vec::new();
    for _ in 0..MANY {
        receipts.push(writer.log.append(draft(&here, "1")).await.unwrap());
    }
    for receipt in receipts {
        receipt.wait().await.unwrap();
    }
    (node, here)
}

#[tokio::test]
async fn whoever_sends_is_answered_though_what_was_lost_cannot_all_be_delivered() {
    let cluster = Cluster::start().await;
    let (mut node, here) = stalled(&cluster).await;
    let mut kill = cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("pubsub");
    let mut server = cluster.connect(0).await;
    kill.exec_async(&mut server).await.unwrap();
    // Once it is back, it reads what waited in the connection.
    let deadline = Instant::now() + PATIENCE;
    let mut listening = cmd("PUBSUB");
    listening
        .arg("SHARDNUMSUB")
        .arg(Keys::default().channel(&key("/", &here)));
    loop {
        let (_, nodes): (String, usize) = listening.query_async(&mut server).await.unwrap();
        if nodes > 0 {
            break;
        }
        assert!(Instant::now() < deadline, "it does not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..3 {
        let sent = timeout(ANSWERED, node.send(draft(&here, "1"))).await;
        sent.expect("whoever sends is answered").unwrap();
    }
    cluster.servers[1].signal("CONT");
    let came = node.next(MANY + 3).await;
    assert!(offsets(&came).is_sorted());
}

#[tokio::test]
async fn the_last_room_of_a_part_that_is_left_while_much_of_it_waits_holds_up_nobody() {
    let cluster = Cluster::start().await;
    let (mut node, here) = stalled(&cluster).await;
    let room = key("/", &here);
    node.log.unsubscribe(&room);
    let sent = timeout(ANSWERED, node.send(draft(&here, "1"))).await;
    sent.expect("whoever sends is answered").unwrap();
    node.log.subscribe(&room).await.unwrap();
    cluster.servers[1].signal("CONT");
    node.send(draft(&here, "\"last\"")).await.unwrap();
    let mut came = Vec::new();
    while came
        .last()
        .is_none_or(|last: &Arc<crate::model::Message>| last.data.get() != "\"last\"")
    {
        came.extend(node.next(1).await);
    }
    assert!(offsets(&came).is_sorted());
}
