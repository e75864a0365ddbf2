//! What nodes know of each other over a real Redis: who is in rooms, which of them live, and whose sessions are whose.

use std::{collections::BTreeMap, time::Instant};

use redis::Value;

use super::*;
use crate::{
    backend::{
        Bus, Deliveries, Delivery, Log, RemoteEvent, SessionStore, StoredSession,
        conformance::{ManualClock, draft, key, sessions::session},
        redis::{RedisConfig, keys, open_with, scripts, tests::Server},
    },
    error::Code,
    model::{ConnectionId, NodeId, Seq, Timestamp},
};

mod book;
mod leases;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A lease that ends soon enough for a test.
const SHORT: Duration = Duration::from_secs(2);

/// A node, and what it was told of others: the entries of each room, and what happened there in order.
struct Node {
    log: RedisLog,
    deliveries: Deliveries,
    rooms: BTreeMap<RoomKey, BTreeMap<(UserId, NodeId), PresenceEntry>>,
    heard: Vec<RemoteEvent>,
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
        Self::open_by(config, &ManualClock::new()).await
    }

    async fn open_by(config: RedisConfig, hands: &ManualClock) -> Self {
        let (log, _, deliveries) = open_with(config, Some(hands.clock())).await.unwrap();
        Self {
            log,
            deliveries,
            rooms: BTreeMap::new(),
            heard: Vec::new(),
        }
    }

    fn id(&self) -> NodeId {
        self.log.shared.node
    }

    async fn follow(&self, room: &str) {
        self.log.subscribe(&key("/", room)).await.unwrap();
    }

    /// Has so many connections of a user in a room.
    fn has(&self, room: &str, who: &str, connections: usize) {
        let attending = attending(connections);
        self.log
            .set_presence(&key("/", room), &user(who), Some(attending));
    }

    fn has_no(&self, room: &str, who: &str) {
        self.log.set_presence(&key("/", room), &user(who), None);
    }

    /// What is known to be on other nodes in a room: users and their connections.
    fn sees(&self, room: &str) -> Vec<(&str, usize)> {
        let entries = self.rooms.get(&key("/", room)).into_iter().flatten();
        entries
            .map(|((user, _), attending)| (user.as_str(), attending.connections))
            .collect()
    }

    /// Waits until that is known of a room.
    async fn until(&mut self, room: &str, expected: &[(&str, usize)]) {
        let waiting = async {
            let room = &key("/", room);
            loop {
                // A look at each name at the end only: it may be a crowd.
                let users = self.rooms.get(room).map_or(0, BTreeMap::len);
                if users == expected.len() && self.sees(room.room.as_str()) == expected {
                    return;
                }
                self.next().await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(
            waited.is_ok(),
            "{room}: {:?} and not {expected:?}",
            self.sees(room)
        );
    }

    /// Takes the next thing that others say.
    async fn next(&mut self) {
        let delivery = self.deliveries.recv().await.expect("the log is open");
        let Delivery::Remote(key, said) = delivery else {
            return;
        };
        self.heard.push(said.clone());
        let room = self.rooms.entry(key).or_default();
        match said {
            RemoteEvent::Snapshot(present) => {
                *room = (present.into_iter())
                    .map(|(node, user, attending)| ((user, node), attending))
                    .collect();
            }
            RemoteEvent::UserChanged(node, user, Some(attending)) => {
                room.insert((user, node), attending);
            }
            RemoteEvent::UserChanged(node, user, None) => {
                room.remove(&(user, node));
            }
            RemoteEvent::NodeLeft(gone) => room.retain(|(_, node), _| *node != gone),
            RemoteEvent::Notice(_) => {}
        }
    }

    /// How many times it was told that a node has gone.
    fn farewells(&self) -> usize {
        let gone = |said: &&RemoteEvent| matches!(said, RemoteEvent::NodeLeft(_));
        self.heard.iter().filter(gone).count()
    }

    /// What it is told from now on.
    fn forget_heard(&mut self) {
        self.heard.clear();
    }

    async fn census(
        &self,
        room: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<String>, RosterPage) {
        let (room, after) = (key("/", room), after.map(user));
        let census = self
            .log
            .room_users(&room, after.as_ref(), limit)
            .await
            .unwrap();
        let users = census.users.iter();
        let users = users
            .map(|(user, attending)| format!("{user}:{}", attending.connections))
            .collect();
        (users, census)
    }

    async fn ask<T: redis::FromRedisValue>(&self, command: &str, arguments: &[&str]) -> T {
        let mut asked = redis::cmd(command);
        asked.arg(arguments);
        let answer: Value = self.log.reads.of(Part::FIRST).ask(asked).await.unwrap();
        redis::from_redis_value(answer).unwrap()
    }
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn attending(connections: usize) -> PresenceEntry {
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

/// Waits for what is asked again and again.
async fn soon<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const LONG: Duration = Duration::from_secs(15);

#[tokio::test]
async fn users_noted_on_one_node_are_seen_by_others_whether_they_follow_before_or_after() {
    let server = Server::start().await;
    let (mut a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    a.follow("r").await;
    a.has("r", "alice", 1);
    a.has("r", "bob", 1);
    b.follow("r").await;
    b.until("r", &[("alice", 1), ("bob", 1)]).await;
    let seen = b.rooms[&key("/", "r")][&(user("alice"), a.id())].clone();
    let (name, info) = (seen.name.unwrap(), seen.info.unwrap());
    assert_eq!(
        (&*name, info.get()),
        ("A name of \"two\"\nlines", "{ \"n\":\n 1.0 }")
    );
    a.has("r", "alice", 0);
    b.has("r", "alice", 2);
    b.has("other", "alice", 1);
    a.has("r", "carol", 1);
    a.has_no("r", "bob");
    b.until("r", &[("alice", 0), ("carol", 1)]).await;
    a.until("r", &[("alice", 2)]).await;
    a.has_no("r", "alice");
    a.has_no("r", "carol");
    a.has_no("r", "nobody");
    b.until("r", &[]).await;
    b.has_no("r", "alice");
    a.until("r", &[]).await;
    let told = a.heard.len();
    b.has("r", "alice", 3);
    a.until("r", &[("alice", 3)]).await;
    assert_eq!(a.heard.len(), told + 1, "of its own users it is not told");
    // Followed anew, it begins anew.
    a.log.unsubscribe(&key("/", "r"));
    b.has_no("r", "alice");
    a.follow("r").await;
    a.until("r", &[]).await;
}

#[tokio::test]
async fn the_users_of_a_crowd_arrive_all_of_them() {
    const CROWD: usize = 10_000;
    let server = Server::start().await;
    let (a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    let mut late = Node::at(&server, LONG).await;
    b.follow("r").await;
    let names: Vec<_> = (0..CROWD).map(|nth| format!("user{nth:05}")).collect();
    let expected: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let began = Instant::now();
    names.iter().for_each(|name| a.has("r", name, 1));
    let noted = began.elapsed();
    b.until("r", &expected).await;
    println!(
        "{CROWD} users: noted after {noted:?}, seen elsewhere after {:?}",
        began.elapsed()
    );
    let began = Instant::now();
    late.follow("r").await;
    println!("read by whoever follows later after {:?}", began.elapsed());
    late.until("r", &expected).await;
    let began = Instant::now();
    let (_, census) = b.census("r", Some("user04999"), 10).await;
    println!("a page after {:?}", began.elapsed());
    assert_eq!(
        (census.count, census.connections, census.more),
        (CROWD, CROWD, true)
    );
    assert_eq!(census.users[0].0, user("user05000"));
    let began = Instant::now();
    names.iter().for_each(|name| a.has_no("r", name));
    b.until("r", &[]).await;
    println!("gone again after {:?}", began.elapsed());
}

/// Notes a user as another node would, and tells nobody.
async fn note_silently(node: &Node, room: &str, who: &str) {
    let (room, of) = (key("/", room), NodeId::fresh());
    let part = Part::of(&room);
    let forever = [&*node.log.shared.keys.leases(), "1e15", &of.to_string()];
    let _: u8 = node.ask("ZADD", &forever).await;
    let mut note = scripts::note([
        &node.log.shared.keys.entries_of(&room, of),
        &node.log.shared.keys.here(&room),
        &node.log.shared.keys.rooms_of(part, of),
        &node.log.shared.keys.live(part),
        &node.log.shared.keys.nodes(part),
        "nowhere",
    ]);
    let text = said::write(&attending(1)).unwrap();
    note.arg("PUBLISH").arg(keys::name(&room));
    note.arg(of.to_string()).arg(who).arg(text);
    node.log.reads.of(part).ask(note).await.unwrap();
}

#[tokio::test]
async fn changes_that_are_lost_are_found_when_the_room_goes_on() {
    let server = Server::start().await;
    let (a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    b.follow("r").await;
    a.has("r", "alice", 1);
    b.until("r", &[("alice", 1)]).await;
    note_silently(&a, "r", "bob").await;
    a.has("r", "alice", 2);
    b.until("r", &[("alice", 2), ("bob", 1)]).await;
}

#[tokio::test]
async fn changes_that_are_lost_in_a_room_that_falls_silent_are_found_in_time() {
    let server = Server::start().await;
    let (a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    b.follow("r").await;
    note_silently(&a, "r", "bob").await;
    b.until("r", &[("bob", 1)]).await;
}

#[tokio::test]
async fn what_changed_while_redis_was_away_is_said_when_it_is_back() {
    let mut server = Server::start().await;
    let (a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    b.follow("r").await;
    for who in ["alice", "bob", "carol"] {
        a.has("r", who, 1);
    }
    b.until("r", &[("alice", 1), ("bob", 1), ("carol", 1)])
        .await;
    server.kill();
    a.has_no("r", "alice");
    a.has("r", "bob", 2);
    a.has("r", "dave", 1);
    a.has_no("r", "dave");
    a.has("r", "erin", 1);
    server.restart().await;
    b.until("r", &[("bob", 2), ("carol", 1), ("erin", 1)]).await;
    let dave = user("dave");
    let of_dave =
        |said: &RemoteEvent| matches!(said, RemoteEvent::UserChanged(_, who, _) if *who == dave);
    assert!(!b.heard.iter().any(of_dave), "nobody had heard of dave");
}

#[tokio::test]
async fn when_redis_has_lost_everything_all_is_said_anew() {
    let mut server = Server::start().await;
    let (mut a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    for node in [&a, &b] {
        node.follow("r").await;
    }
    a.has("r", "alice", 1);
    a.has("s", "alice", 1);
    b.has("r", "bob", 1);
    b.until("r", &[("alice", 1)]).await;
    a.until("r", &[("bob", 1)]).await;
    server.kill();
    std::fs::remove_dir_all(server.folder.path().join("appendonlydir")).unwrap();
    server.restart().await;
    soon("it is said anew", async || {
        let (r, s) = (
            a.census("r", None, 9).await.0,
            b.census("s", None, 9).await.0,
        );
        (r, s)
            == (
                vec!["alice:1".into(), "bob:1".into()],
                vec!["alice:1".into()],
            )
    })
    .await;
    a.has("r", "alice", 2);
    b.has("r", "bob", 2);
    b.until("r", &[("alice", 2)]).await;
    a.until("r", &[("bob", 2)]).await;
}

#[tokio::test]
async fn notices_reach_other_nodes_that_follow_the_room_and_not_the_own() {
    let server = Server::start().await;
    let (mut a, mut b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    for node in [&a, &b] {
        node.follow("r").await;
    }
    let typing = Notice::Typing {
        connection: ConnectionId::fresh(),
        user: user("alice"),
        name: Some("Alice\n".into()),
        typing: true,
    };
    let read = Notice::Read {
        user: user("alice"),
        seq: Seq(7),
    };
    a.log.notify(&key("/", "r"), typing);
    a.log.notify(&key("/", "r"), read);
    a.has("r", "alice", 1);
    b.has("r", "bob", 1);
    a.until("r", &[("bob", 1)]).await;
    while b.heard.len() < 4 {
        b.next().await;
    }
    let notices = |node: &Node| {
        let notice = |said: &RemoteEvent| match said {
            RemoteEvent::Notice(notice) => Some(format!("{notice:?}")),
            _ => None,
        };
        node.heard.iter().filter_map(notice).collect::<Vec<_>>()
    };
    let heard = notices(&b);
    assert!(
        heard[0].contains("typing: true") && heard[0].contains("Alice\\n"),
        "{heard:?}"
    );
    assert!(heard[1].contains("Seq(7)"), "{heard:?}");
    assert!(notices(&a).is_empty());
}

#[tokio::test]
async fn rooms_are_listed_by_prefix_and_page_over_all_parts_and_nodes() {
    let server = Server::start().await;
    let (a, b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    let mut names: Vec<_> = (0..60).map(|nth| format!("team{nth}")).collect();
    for (nth, name) in names.iter().enumerate() {
        [&a, &b][nth % 2].has(name, "alice", 1);
    }
    for other in ["tea", "teapot", "teb", "räume"] {
        a.has(other, "alice", 1);
        b.has(other, "bob", 1);
    }
    a.log
        .set_presence(&key("/chat", "team0"), &user("alice"), Some(attending(1)));
    names.push("teapot".into());
    names.push("tea".into());
    names.sort_unstable();
    let list = async |prefix: &str, after: Option<&str>, limit| {
        let after = after.map(|after| RoomName::parse(after).unwrap());
        let root = Namespace::root();
        let rooms = b.log.occupied_rooms(&root, prefix, after.as_ref(), limit);
        let rooms = rooms.await.unwrap();
        rooms.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    soon("all are listed", async || {
        list("", None, 100).await.len() == 64
    })
    .await;
    assert_eq!(list("tea", None, 100).await, names);
    let mut paged = Vec::new();
    loop {
        let page = list("tea", paged.last().map(String::as_str), 7).await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, names);
    assert_eq!(list("team", Some("a"), 1).await, ["team0"]);
    assert_eq!(list("team5", Some("team58"), 9).await, ["team59"]);
    assert!(list("none", None, 9).await.is_empty());
    a.has_no("teb", "alice");
    b.has_no("teb", "bob");
    soon(
        "a room that everybody has left is listed no more",
        async || list("teb", None, 9).await.is_empty(),
    )
    .await;
}

#[tokio::test]
async fn users_are_paged_over_nodes_and_counted_once() {
    let server = Server::start().await;
    let (a, b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    for (nth, who) in ["alice", "bob", "carol", "dave", "erin"].iter().enumerate() {
        a.has("r", who, nth);
    }
    b.has("r", "bob", 7);
    soon("all are there", async || {
        b.census("r", None, 0).await.1.connections == 17
    })
    .await;
    let (users, census) = b.census("r", None, 2).await;
    assert_eq!(
        (census.count, census.connections, census.more),
        (5, 17, true)
    );
    assert_eq!(users[0], "alice:0");
    let mut of_bob = users[1..].to_vec();
    of_bob.sort_unstable();
    assert_eq!(of_bob, ["bob:1", "bob:7"]);
    let (users, census) = a.census("r", Some("bob"), 3).await;
    assert_eq!(
        (users, census.more),
        (
            ["carol:2", "dave:3", "erin:4"].map(String::from).to_vec(),
            false
        )
    );
    assert!(a.census("r", Some("erin"), 3).await.0.is_empty());
    assert_eq!(a.census("nowhere", None, 3).await.1.count, 0);
    a.log.close().await;
    let refused = a.log.room_users(&key("/", "r"), None, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}
