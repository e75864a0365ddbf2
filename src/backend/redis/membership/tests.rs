//! Membership over a real Redis: who is in rooms, which nodes are alive, and who owns which session.

use std::{collections::BTreeMap, time::Instant};

use redis::Value;

use super::*;
use crate::{
    backend::{
        Bus, ClusterNodes, ClusterNotice, Deliveries, Delivery, Log, PresenceEntry, RemoteEvent,
        RosterPage, SessionStore, StoredSession,
        conformance::{ManualClock, draft, key, sessions::session},
        redis::{
            client::OnDisconnect,
            config::RedisConfig,
            keys,
            log::{RedisLog, open_with},
            scripts,
            testing::Server,
        },
    },
    error::Code,
    model::{ConnectionId, Namespace, NodeId, RoomKey, RoomName, Seq, Timestamp, UserId},
};

mod leases;
mod local_members;
mod local_roster;
mod members;
mod roster_queries;

/// How long anything may take.
const TEST_TIMEOUT: Duration = Duration::from_secs(40);

/// A lease that expires soon enough for a test.
const SHORT: Duration = Duration::from_secs(2);

/// A node, the roster entries of other nodes as they were delivered to it, all remote events in order, and the nodes that are gone.
struct Node {
    log: RedisLog,
    stream: mpsc::Sender<Delivery>,
    deliveries: Deliveries,
    rooms: BTreeMap<RoomKey, BTreeMap<(UserId, NodeId), PresenceEntry>>,
    events: Vec<RemoteEvent>,
    gone: Vec<NodeId>,
}

impl Node {
    async fn at(server: &Server, lease: Duration) -> Self {
        Self::open(RedisConfig {
            lease,
            ..RedisConfig::new(server.url())
        })
        .await
    }

    async fn open(config: RedisConfig) -> Self {
        Self::open_with_clock(config, &ManualClock::new()).await
    }

    async fn open_with_clock(config: RedisConfig, clock: &ManualClock) -> Self {
        let (log, stream, deliveries) = open_with(config, Some(clock.clock())).await.unwrap();
        Self {
            log,
            stream,
            deliveries,
            rooms: BTreeMap::new(),
            events: Vec::new(),
            gone: Vec::new(),
        }
    }

    fn id(&self) -> NodeId {
        self.log.context.node
    }

    async fn follow(&self, room: &str) {
        self.log.subscribe(&key("/", room)).await.unwrap();
    }

    /// Sets its entry of a user to this many connections.
    fn set_entry(&self, room: &str, who: &str, connections: usize) {
        let entry = entry(connections);
        self.log
            .set_presence(&key("/", room), &user(who), Some(entry));
    }

    fn remove_entry(&self, room: &str, who: &str) {
        self.log.set_presence(&key("/", room), &user(who), None);
    }

    /// The users of a room on other nodes, and their connections.
    fn users_seen(&self, room: &str) -> Vec<(&str, usize)> {
        let entries = self.rooms.get(&key("/", room)).into_iter().flatten();
        entries
            .map(|((user, _), entry)| (user.as_str(), entry.connections))
            .collect()
    }

    /// Waits until exactly these users are known in a room.
    async fn wait_for_users(&mut self, room: &str, expected: &[(&str, usize)]) {
        let waiting = async {
            let room = &key("/", room);
            loop {
                // The count first: there may be many users.
                let users = self.rooms.get(room).map_or(0, BTreeMap::len);
                if users == expected.len() && self.users_seen(room.room.as_str()) == expected {
                    return;
                }
                self.next().await;
            }
        };
        let waited = tokio::time::timeout(TEST_TIMEOUT, waiting).await;
        assert!(
            waited.is_ok(),
            "{room}: {:?} and not {expected:?}",
            self.users_seen(room)
        );
    }

    /// Applies the next remote event.
    async fn next(&mut self) {
        let delivery = self.deliveries.recv().await.expect("the log is open");
        let (key, event) = match delivery {
            Delivery::Remote(key, event) => (key, event),
            Delivery::NodeGone(node) => return self.gone.push(node),
            _ => return,
        };
        self.events.push(event.clone());
        let room = self.rooms.entry(key).or_default();
        match event {
            RemoteEvent::Snapshot(present) => {
                *room = (present.into_iter())
                    .map(|(node, user, entry)| ((user, node), entry))
                    .collect();
            }
            RemoteEvent::UserChanged(node, user, Some(entry)) => {
                room.insert((user, node), entry);
            }
            RemoteEvent::UserChanged(node, user, None) => {
                room.remove(&(user, node));
            }
            RemoteEvent::NodeLeft(gone) => room.retain(|(_, node), _| *node != gone),
            RemoteEvent::Notice(_) => {}
        }
    }

    /// How many rooms another node was removed from.
    fn removals(&self) -> usize {
        let gone = |event: &&RemoteEvent| matches!(event, RemoteEvent::NodeLeft(_));
        self.events.iter().filter(gone).count()
    }

    /// Forgets the remote events so far.
    fn clear_events(&mut self) {
        self.events.clear();
    }

    async fn read_users(
        &self,
        room: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, RosterPage) {
        let (room, after) = (key("/", room), after.map(user));
        let page = self
            .log
            .room_users(&room, after.as_ref(), limit)
            .await
            .unwrap();
        let users = page.users.iter();
        let users = users
            .map(|(user, entry)| format!("{user}:{}", entry.connections))
            .collect();
        (users, page)
    }

    async fn query<T: redis::FromRedisValue>(&self, name: &str, arguments: &[&str]) -> T {
        let mut command = redis::cmd(name);
        command.arg(arguments);
        let reply: Value = self
            .log
            .connections
            .of(Partition::FIRST)
            .query(command)
            .await
            .unwrap();
        redis::from_redis_value(reply).unwrap()
    }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn entry(connections: usize) -> PresenceEntry {
    PresenceEntry {
        name: Some("A name of \"two\"\nlines".into()),
        status: "online".into(),
        info: Some(draft("-", "{ \"n\":\n 1.0 }").data),
        connections,
        since: Timestamp(7),
        idle: false,
        changed: Timestamp(8),
    }
}

/// Polls a condition until it is true.
async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + TEST_TIMEOUT;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const LONG: Duration = Duration::from_secs(15);

#[tokio::test]
async fn entries_of_one_node_reach_others_whether_they_follow_before_or_after() {
    let server = Server::start().await;
    let (mut a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    a.follow("r").await;
    a.set_entry("r", "alice", 1);
    a.set_entry("r", "bob", 1);
    b.follow("r").await;
    b.wait_for_users("r", &[("alice", 1), ("bob", 1)]).await;
    let seen = b.rooms[&key("/", "r")][&(user("alice"), a.id())].clone();
    let (name, info) = (seen.name.unwrap(), seen.info.unwrap());
    assert_eq!(
        (&*name, info.get()),
        ("A name of \"two\"\nlines", "{ \"n\":\n 1.0 }")
    );
    a.set_entry("r", "alice", 0);
    b.set_entry("r", "alice", 2);
    b.set_entry("other", "alice", 1);
    a.set_entry("r", "carol", 1);
    a.remove_entry("r", "bob");
    b.wait_for_users("r", &[("alice", 0), ("carol", 1)]).await;
    a.wait_for_users("r", &[("alice", 2)]).await;
    a.remove_entry("r", "alice");
    a.remove_entry("r", "carol");
    a.remove_entry("r", "nobody");
    b.wait_for_users("r", &[]).await;
    b.remove_entry("r", "alice");
    a.wait_for_users("r", &[]).await;
    let events_before = a.events.len();
    b.set_entry("r", "alice", 3);
    a.wait_for_users("r", &[("alice", 3)]).await;
    assert_eq!(
        a.events.len(),
        events_before + 1,
        "its own entries are not delivered to it"
    );
    // A room that is followed again is read again.
    a.log.unsubscribe(&key("/", "r"));
    b.remove_entry("r", "alice");
    a.follow("r").await;
    a.wait_for_users("r", &[]).await;
}

#[tokio::test]
async fn all_users_of_a_crowded_room_arrive() {
    const CROWD: usize = 10_000;
    let server = Server::start().await;
    let (a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    let mut late = Node::at(&server, LONG).await;
    b.follow("r").await;
    let names: Vec<_> = (0..CROWD).map(|nth| format!("user{nth:05}")).collect();
    let expected: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let began = Instant::now();
    names.iter().for_each(|name| a.set_entry("r", name, 1));
    let set = began.elapsed();
    b.wait_for_users("r", &expected).await;
    println!(
        "{CROWD} users: set after {set:?}, delivered to another node after {:?}",
        began.elapsed()
    );
    let began = Instant::now();
    late.follow("r").await;
    println!("read by a late follower after {:?}", began.elapsed());
    late.wait_for_users("r", &expected).await;
    let began = Instant::now();
    let (_, page) = b.read_users("r", Some("user04999"), 10).await;
    println!("a page after {:?}", began.elapsed());
    assert_eq!(
        (page.count, page.connections, page.more),
        (CROWD, CROWD, true)
    );
    assert_eq!(page.users[0].0, user("user05000"));
    let began = Instant::now();
    names.iter().for_each(|name| a.remove_entry("r", name));
    b.wait_for_users("r", &[]).await;
    println!("removed after {:?}", began.elapsed());
}

/// Writes an entry of another node without publishing it.
async fn write_unpublished(node: &Node, room: &str, who: &str) {
    let (room, of) = (key("/", room), NodeId::generate());
    let partition = Partition::of(&room);
    let forever = [&*node.log.context.keys.leases(), "1e15", &of.to_string()];
    let _: u8 = node.query("ZADD", &forever).await;
    let mut update = scripts::update_roster([
        &node.log.context.keys.entries_of(&room, of),
        &node.log.context.keys.here(&room),
        &node.log.context.keys.rooms_of(partition, of),
        &node.log.context.keys.live(partition),
        &node.log.context.keys.nodes(partition),
        "nowhere",
    ]);
    let text = codec::encode_entry(&entry(1)).unwrap();
    update.arg("PUBLISH").arg(keys::room_name(&room));
    update.arg(of.to_string()).arg(who).arg(text);
    node.log
        .connections
        .of(partition)
        .query(update)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lost_update_is_found_with_the_next_one() {
    let server = Server::start().await;
    let (a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    b.follow("r").await;
    a.set_entry("r", "alice", 1);
    b.wait_for_users("r", &[("alice", 1)]).await;
    write_unpublished(&a, "r", "bob").await;
    a.set_entry("r", "alice", 2);
    b.wait_for_users("r", &[("alice", 2), ("bob", 1)]).await;
}

#[tokio::test]
async fn a_lost_update_is_found_in_a_silent_room() {
    let server = Server::start().await;
    let (a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    b.follow("r").await;
    write_unpublished(&a, "r", "bob").await;
    b.wait_for_users("r", &[("bob", 1)]).await;
}

#[tokio::test]
async fn changes_made_while_redis_was_down_are_published_afterwards() {
    let mut server = Server::start().await;
    let (a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    b.follow("r").await;
    for who in ["alice", "bob", "carol"] {
        a.set_entry("r", who, 1);
    }
    b.wait_for_users("r", &[("alice", 1), ("bob", 1), ("carol", 1)])
        .await;
    server.kill();
    a.remove_entry("r", "alice");
    a.set_entry("r", "bob", 2);
    a.set_entry("r", "dave", 1);
    a.remove_entry("r", "dave");
    a.set_entry("r", "erin", 1);
    server.restart().await;
    b.wait_for_users("r", &[("bob", 2), ("carol", 1), ("erin", 1)])
        .await;
    let dave = user("dave");
    let of_dave =
        |event: &RemoteEvent| matches!(event, RemoteEvent::UserChanged(_, who, _) if *who == dave);
    assert!(!b.events.iter().any(of_dave), "dave was never published");
}

#[tokio::test]
async fn when_redis_has_lost_all_data_entries_are_written_again() {
    let mut server = Server::start().await;
    let (mut a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    for node in [&a, &b] {
        node.follow("r").await;
    }
    a.set_entry("r", "alice", 1);
    a.set_entry("s", "alice", 1);
    b.set_entry("r", "bob", 1);
    b.wait_for_users("r", &[("alice", 1)]).await;
    a.wait_for_users("r", &[("bob", 1)]).await;
    server.kill();
    std::fs::remove_dir_all(server.folder.path().join("appendonlydir")).unwrap();
    server.restart().await;
    eventually("the entries are written again", async || {
        let (r, s) = (
            a.read_users("r", None, 9).await.0,
            b.read_users("s", None, 9).await.0,
        );
        (r, s)
            == (
                vec!["alice:1".into(), "bob:1".into()],
                vec!["alice:1".into()],
            )
    })
    .await;
    a.set_entry("r", "alice", 2);
    b.set_entry("r", "bob", 2);
    b.wait_for_users("r", &[("alice", 2)]).await;
    a.wait_for_users("r", &[("bob", 2)]).await;
}

#[tokio::test]
async fn notices_reach_the_other_nodes_that_follow_the_room() {
    let server = Server::start().await;
    let (mut a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    for node in [&a, &b] {
        node.follow("r").await;
    }
    let typing = ClusterNotice::Typing {
        connection: ConnectionId::generate(),
        user: user("alice"),
        name: Some("Alice\n".into()),
        typing: true,
    };
    let read = ClusterNotice::Read {
        user: user("alice"),
        seq: Seq(7),
    };
    a.log.notify(&key("/", "r"), typing);
    a.log.notify(&key("/", "r"), read);
    a.set_entry("r", "alice", 1);
    b.set_entry("r", "bob", 1);
    a.wait_for_users("r", &[("bob", 1)]).await;
    while b.events.len() < 4 {
        b.next().await;
    }
    let notices = |node: &Node| {
        let notice = |event: &RemoteEvent| match event {
            RemoteEvent::Notice(notice) => Some(format!("{notice:?}")),
            _ => None,
        };
        node.events.iter().filter_map(notice).collect::<Vec<_>>()
    };
    let events = notices(&b);
    assert!(
        events[0].contains("typing: true") && events[0].contains("Alice\\n"),
        "{events:?}"
    );
    assert!(events[1].contains("Seq(7)"), "{events:?}");
    assert!(notices(&a).is_empty());
}
