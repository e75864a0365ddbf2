//! Members of rooms over several nodes, and the events that follow from them.

use super::{leases::keys_of, *};
use crate::backend::Outbox;

impl Node {
    fn set_member(&self, room: &str, who: &str, is_member: bool) {
        self.log.set_member(&key("/", room), &user(who), is_member);
    }

    /// All events of the outbox, with their users.
    async fn events(&self) -> Vec<String> {
        let page = self.log.read_events(0, 0, 1 << 20, 1 << 20).await;
        let events = page.map(|page| page.events).unwrap_or_default();
        let line = |event: &crate::backend::OutboxEvent| {
            let (kind, room) = (event.kind.as_str(), &event.room.room);
            let user = event.user.as_ref().map(|user| format!(" {user}"));
            format!("{kind} {room}{}", user.unwrap_or_default())
        };
        events.iter().map(line).collect()
    }

    /// Waits until the outbox has exactly these events.
    async fn wait_for_events(&self, expected: &[&str]) {
        let deadline = Instant::now() + TEST_TIMEOUT;
        let mut events = self.events().await;
        while events.len() < expected.len() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
            events = self.events().await;
        }
        assert_eq!(events, expected);
    }

    /// Has a few members of a node removed, as if it were dead.
    async fn remove_members_of(&self, node: NodeId, room: &str) {
        let (keys, partition) = (&self.log.context.keys, Partition::of(&key("/", room)));
        let mut remove = scripts::remove_members([
            &keys.present(partition),
            &keys.present_of(partition, node),
            &keys.outbox(Partition::FIRST),
            &keys.shard_incarnation(Partition::FIRST),
        ]);
        remove.arg(1).arg(100);
        let outbox = &self.log.context.outbox;
        outbox.add_args(&mut remove, Partition::FIRST);
        let connection = self.log.connections.of(partition);
        connection.query(remove).await.unwrap();
    }
}

#[tokio::test]
async fn a_user_on_two_nodes_joins_once_and_leaves_with_the_last() {
    let server = Server::start().await;
    let (a, b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    a.set_member("r", "alice", true);
    let mut expected = vec!["room.occupied r", "member.joined r alice"];
    a.wait_for_events(&expected).await;
    b.set_member("r", "alice", true);
    b.set_member("r", "bob", true);
    expected.push("member.joined r bob");
    b.wait_for_events(&expected).await;
    a.set_member("r", "alice", false);
    a.set_member("user:alice", "alice", true);
    // In another partition.
    expected.push("user.online user:alice alice");
    a.wait_for_events(&expected).await;
    a.set_member("r", "carol", true);
    expected.push("member.joined r carol");
    a.wait_for_events(&expected).await;
    b.set_member("user:alice", "alice", true);
    b.set_member("r", "alice", false);
    expected.push("member.left r alice");
    b.wait_for_events(&expected).await;
    a.set_member("user:alice", "alice", false);
    a.set_member("r", "carol", false);
    expected.push("member.left r carol");
    a.wait_for_events(&expected).await;
    b.set_member("r", "bob", false);
    expected.extend(["member.left r bob", "room.vacated r"]);
    b.wait_for_events(&expected).await;
    b.set_member("user:alice", "alice", false);
    expected.push("user.offline user:alice alice");
    b.wait_for_events(&expected).await;
}

#[tokio::test]
async fn the_members_of_a_dead_node_leave_once_unless_another_node_has_them() {
    const CROWD: usize = 350;
    let server = Server::start().await;
    let a = Node::at(&server, SHORT).await;
    let (b, c) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    let names: Vec<_> = (0..CROWD).map(|nth| format!("user{nth}")).collect();
    names.iter().for_each(|name| a.set_member("r", name, true));
    b.set_member("r", "user7", true);
    b.set_member("r", "witness", true);
    eventually("all have joined", async || {
        b.events().await.len() == CROWD + 2
    })
    .await;
    let died = a.id();
    drop(a);
    eventually("nothing is left of the node", async || {
        keys_of(&c, died).await.is_empty()
    })
    .await;
    let events = b.events().await;
    let mut left: Vec<_> = events[CROWD + 2..].to_vec();
    left.sort_unstable();
    let mut expected: Vec<_> = (names.iter().filter(|name| *name != "user7"))
        .map(|name| format!("member.left r {name}"))
        .collect();
    expected.sort_unstable();
    assert_eq!(left, expected);
    b.set_member("r", "user7", false);
    b.set_member("r", "witness", false);
    eventually("the room is empty", async || {
        b.events().await.last().unwrap() == "room.vacated r"
    })
    .await;
}

#[tokio::test]
async fn members_that_have_changed_while_redis_was_down_are_written_afterwards() {
    let mut server = Server::start().await;
    let a = Node::at(&server, LONG).await;
    for who in ["alice", "bob"] {
        a.set_member("r", who, true);
    }
    let before = [
        "room.occupied r",
        "member.joined r alice",
        "member.joined r bob",
    ];
    a.wait_for_events(&before).await;
    server.kill();
    a.set_member("r", "alice", false);
    a.set_member("r", "dave", true);
    a.set_member("r", "dave", false);
    a.set_member("r", "erin", true);
    a.set_member("r", "carol", true);
    a.set_member("r", "bob", false);
    a.set_member("r", "bob", true);
    server.restart().await;
    let after = [
        "member.joined r erin",
        "member.joined r carol",
        "member.left r alice",
    ];
    a.wait_for_events(&[&before[..], &after].concat()).await;
}

#[tokio::test]
async fn a_node_that_was_taken_for_dead_has_its_members_again() {
    let server = Server::start().await;
    let (a, b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    a.set_member("r", "alice", true);
    a.set_member("r", "bob", true);
    b.set_member("s", "witness", true);
    eventually("all have joined", async || b.events().await.len() == 5).await;
    a.pause().await;
    eventually("nothing is left of the node", async || {
        keys_of(&b, a.id()).await.is_empty()
    })
    .await;
    let mut left = b.events().await[5..].to_vec();
    left.sort_unstable();
    let expected = ["member.left r alice", "member.left r bob", "room.vacated r"];
    assert_eq!(left, expected);
    a.set_member("r", "bob", false);
    a.resume().await;
    eventually("its member is back", async || b.events().await.len() == 10).await;
    let back = &b.events().await[8..];
    assert_eq!(back, ["room.occupied r", "member.joined r alice"]);
}

#[tokio::test]
async fn members_that_were_removed_too_late_are_written_again() {
    let server = Server::start().await;
    let (a, b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    a.set_member("r", "alice", true);
    let joined = ["room.occupied r", "member.joined r alice"];
    b.wait_for_events(&joined).await;
    // Another node began to remove it before it had its lease again.
    b.remove_members_of(a.id(), "r").await;
    let left = ["member.left r alice", "room.vacated r"];
    b.wait_for_events(&[joined, left, joined].concat()).await;
}

#[tokio::test]
async fn the_members_of_a_stopped_node_stay_for_the_grace_time() {
    let server = Server::start().await;
    let a = Node::open(RedisConfig {
        lease: Duration::from_secs(600),
        grace: Duration::from_secs(1),
        ..RedisConfig::new(server.url())
    })
    .await;
    let b = Node::at(&server, SHORT).await;
    // Written before it ends.
    a.set_member("r", "alice", true);
    let closing = Instant::now();
    a.log.close().await;
    a.set_member("r", "bob", true);
    let joined = ["room.occupied r", "member.joined r alice"];
    assert_eq!(b.events().await, joined);
    let left = ["member.left r alice", "room.vacated r"];
    b.wait_for_events(&[joined, left].concat()).await;
    assert!(closing.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_burst_of_members_that_come_and_go_is_told_completely_and_in_order() {
    const CHANGES: usize = 1000;
    let server = Server::start().await;
    let a = Node::at(&server, LONG).await;
    a.set_member("r", "witness", true);
    let mut expected = vec!["room.occupied r", "member.joined r witness"];
    for _ in 0..CHANGES {
        a.set_member("r", "alice", true);
        a.set_member("r", "alice", false);
        expected.extend(["member.joined r alice", "member.left r alice"]);
    }
    a.wait_for_events(&expected).await;
}

#[tokio::test]
async fn members_of_a_node_that_an_earlier_version_has_removed_leave() {
    let server = Server::start().await;
    let (a, b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    a.set_member("r", "alice", true);
    let joined = ["room.occupied r", "member.joined r alice"];
    b.wait_for_events(&joined).await;
    a.lose_lease().await;
    let leases = b.log.context.keys.leases();
    b.query::<u8>("ZREM", &[&leases, &a.id().to_string()]).await;
    drop(a);
    let left = ["member.left r alice", "room.vacated r"];
    b.wait_for_events(&[joined, left].concat()).await;
}
