//! Presence, typing, read markers and statuses over two hubs that share a log, with clients that record the events.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::{
    backend::RemoteEvent,
    hub::testing::fake_cluster::{FakeCluster, two_hubs},
    hub::testing::{join, prepare, publish},
    hub::{
        CloseReason, Connection, Drained, EventSink, Hub, Join, OutgoingEvent, PendingReply,
        PresencePage, Replay, ResumeRequest, RoomsRequest, StatelessCaller,
    },
    model::{Namespace, RoomName, Seq},
    sync::lock,
};

/// A client that records what it receives about users.
#[derive(Default)]
struct Watcher(Mutex<Vec<String>>);

impl EventSink for Watcher {
    fn push(&self, event: &OutgoingEvent) {
        let event = event.arguments();
        let Some(value) = event.values.first() else {
            return;
        };
        let value: serde_json::Value = serde_json::from_str(value.get()).unwrap();
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let user = text("user");
        let line = match &*event.name {
            "presence" => format!(
                "{} {user} {} {}",
                text("event"),
                text("status"),
                value["count"]
            ),
            "typing" => format!("{user} types: {}", value["typing"]),
            "read" => format!("{user} has read {}", value["seq"]),
            _ => return,
        };
        lock(&self.0).push(line);
    }

    fn push_with_reply(&self, _: &OutgoingEvent, _: Duration) -> Option<PendingReply> {
        None
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn drained(&self) -> Drained {
        Box::pin(std::future::ready(()))
    }

    fn close(&self, _: CloseReason) {}
}

impl Watcher {
    /// Waits until it has received all of this, and nothing else.
    async fn receives(&self, expected: &[&str]) {
        let waited = tokio::time::timeout(Duration::from_secs(10), async {
            while *lock(&self.0) != expected {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let waited = waited.await;
        assert!(
            waited.is_ok(),
            "{:?} instead of {expected:?}",
            lock(&self.0)
        );
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited for {what}");
}

async fn watcher(hub: &Hub, user: &str, rooms: &[&str]) -> (Arc<Connection>, Arc<Watcher>) {
    let watcher = Arc::<Watcher>::default();
    let prepared = prepare(hub, user, ResumeRequest::NewSession).await;
    let connection = hub.connect(prepared, watcher.clone(), |_| {}).await;
    for room in rooms {
        join(hub, &connection, room).await;
    }
    (connection, watcher)
}

fn lobby() -> RoomName {
    RoomName::parse("lobby").unwrap()
}

async fn presence(hub: &Hub, room: &str) -> PresencePage {
    let back_end = StatelessCaller::back_end(Namespace::root());
    let room = RoomName::parse(room).unwrap();
    hub.presence(&back_end, room, None, None).await.unwrap()
}

async fn statuses(hub: &Hub, room: &str) -> Vec<String> {
    let page = presence(hub, room).await;
    let users = page.users.iter();
    users
        .map(|present| format!("{} {}", present.user, present.status))
        .collect()
}

#[tokio::test]
async fn users_of_one_node_are_members_for_those_of_another_and_each_change_is_announced_once() {
    let (_cluster, [north, south]) = two_hubs();
    let (_alice, client) = watcher(&north, "alice", &["lobby"]).await;
    let (bob, _) = watcher(&south, "bob", &[]).await;
    let request = Join {
        room: lobby(),
        replay: Replay::Nothing,
    };
    let joined = south.join(&bob, request).await.unwrap();
    let members = joined.members.as_ref().unwrap();
    let users: Vec<_> = members.users.iter().map(|one| one.user.as_str()).collect();
    assert_eq!((members.count, users), (2, vec!["alice", "bob"]));
    south.go_live(&joined);
    client.receives(&["join bob online 2"]).await;
    south.status(&bob, "busy", None).unwrap();
    client
        .receives(&["join bob online 2", "update bob busy 2"])
        .await;
    south.disconnect(&bob);
    let all = ["join bob online 2", "update bob busy 2", "leave bob busy 1"];
    client.receives(&all).await;
}

#[tokio::test]
async fn a_member_receives_no_joins_of_users_that_the_reply_to_its_join_lists() {
    let (_cluster, [north, south]) = two_hubs();
    let (_alice, _) = watcher(&north, "alice", &["lobby"]).await;
    let (_bob, client) = watcher(&south, "bob", &["lobby"]).await;
    let (_carol, _) = watcher(&north, "carol", &["lobby"]).await;
    client.receives(&["join carol online 3"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_join_does_not_wait_for_ever_for_other_nodes_and_its_member_receives_their_joins_later() {
    let (cluster, [north, south]) = two_hubs();
    let (_alice, _) = watcher(&north, "alice", &["lobby"]).await;
    cluster.sends_no_snapshots.store(true, Ordering::Relaxed);
    // Events from before this node subscribed have passed.
    south.backend().bus.flush().await;
    let (bob, client) = watcher(&south, "bob", &["lobby"]).await;
    let page = south.presence(&bob, lobby(), None, None).await.unwrap();
    assert_eq!(page.count, 1);
    let entries = lock(&cluster.entries).clone();
    let others = entries
        .into_iter()
        .filter(|((_, user, _), _)| user.as_str() == "alice");
    let others = others.map(|((_, user, node), entry)| (node, user, entry));
    let present = RemoteEvent::Snapshot(others.collect());
    south.apply_remote(&bob.room_key(&lobby()), present);
    client.receives(&["join alice online 2"]).await;
}

/// The entries of all nodes for the lobby.
fn in_lobby(cluster: &FakeCluster) -> RemoteEvent {
    let entries = lock(&cluster.entries).clone().into_iter();
    let here = entries.filter(|((room, ..), _)| room.room == lobby());
    RemoteEvent::Snapshot(
        here.map(|((_, user, node), entry)| (node, user, entry))
            .collect(),
    )
}

/// A connection's client reconnects to another node.
async fn reconnect(hub: &Hub, connection: &Connection) -> Arc<Watcher> {
    let user = connection.principal().user.clone();
    let named = ResumeRequest::Session {
        pid: connection.pid().unwrap(),
        offset: None,
    };
    let prepared = prepare(hub, user.as_str(), named).await;
    let watcher = Arc::<Watcher>::default();
    let back = hub.connect(prepared, watcher.clone(), |_| {}).await;
    assert_eq!(back.id(), connection.id());
    watcher
}

#[tokio::test]
async fn users_who_reconnect_together_on_another_node_are_not_announced_to_each_other() {
    let (cluster, [north, south]) = two_hubs();
    let (alice, _) = watcher(&north, "alice", &["lobby"]).await;
    let (bob, _) = watcher(&north, "bob", &["lobby"]).await;
    let before = in_lobby(&cluster);
    let (carol, _) = watcher(&north, "carol", &["lobby"]).await;
    cluster.sends_no_snapshots.store(true, Ordering::Relaxed);
    // Events from before this node subscribed have passed.
    south.backend().bus.flush().await;
    let client = reconnect(&south, &alice).await;
    reconnect(&south, &bob).await;
    reconnect(&south, &carol).await;
    // As far as this node knows, carol had left.
    south.apply_remote(&alice.room_key(&lobby()), before);
    client.receives(&["join carol online 3"]).await;
}

#[tokio::test]
async fn a_status_set_on_one_of_a_users_two_nodes_is_shown_in_the_rooms_of_both() {
    let (_cluster, [north, south]) = two_hubs();
    let (_bob, client) = watcher(&south, "bob", &["there"]).await;
    let (phone, _) = watcher(&north, "alice", &["lobby"]).await;
    let (_laptop, _) = watcher(&south, "alice", &["there"]).await;
    client.receives(&["join alice online 2"]).await;
    north.status(&phone, "busy", None).unwrap();
    client
        .receives(&["join alice online 2", "update alice busy 2"])
        .await;
    assert_eq!(statuses(&south, "lobby").await, ["alice busy"]);
}

#[tokio::test]
async fn a_user_that_connects_to_a_second_node_has_the_status_that_it_set_on_the_first() {
    let (_cluster, [north, south]) = two_hubs();
    let (phone, _) = watcher(&north, "alice", &["lobby"]).await;
    north.status(&phone, "busy", None).unwrap();
    let (laptop, _) = watcher(&south, "alice", &["there"]).await;
    let shown = async || statuses(&south, "there").await == ["alice busy"];
    until("busy", shown).await;
    // A status set there is newer, whatever the clocks say.
    south.status(&laptop, "out", None).unwrap();
    let shown = async || statuses(&north, "lobby").await == ["alice out"];
    until("out", shown).await;
}

#[tokio::test]
async fn a_user_that_moves_to_another_node_is_not_announced() {
    let (cluster, [north, south]) = two_hubs();
    let (_bob, client) = watcher(&north, "bob", &["lobby"]).await;
    let (before, _) = watcher(&north, "alice", &["lobby"]).await;
    let (_after, _) = watcher(&south, "alice", &["lobby"]).await;
    north.disconnect(&before);
    let left = async || lock(&cluster.entries).len() == 2;
    until("the first node to remove its entry", left).await;
    let (_carol, _) = watcher(&south, "carol", &["lobby"]).await;
    client
        .receives(&["join alice online 2", "join carol online 3"])
        .await;
}

#[tokio::test]
async fn members_on_other_nodes_receive_typing_for_as_long_as_it_lasts() {
    let (_cluster, [north, south]) = two_hubs();
    let (alice, _) = watcher(&north, "alice", &["lobby"]).await;
    let (_bob, client) = watcher(&south, "bob", &["lobby"]).await;
    north.typing(&alice, &lobby(), true).unwrap();
    client.receives(&["alice types: true"]).await;
    north.typing(&alice, &lobby(), false).unwrap();
    client
        .receives(&["alice types: true", "alice types: false"])
        .await;
    lock(&client.0).clear();
    north.typing(&alice, &lobby(), true).unwrap();
    // Neither the client nor its node sends anything more.
    client
        .receives(&["alice types: true", "alice types: false"])
        .await;
}

#[tokio::test]
async fn a_room_that_is_dropped_while_a_remote_user_types_counts_nobody() {
    let (_cluster, [north, south]) = two_hubs();
    let (alice, _) = watcher(&north, "alice", &["lobby"]).await;
    let (bob, client) = watcher(&south, "bob", &["lobby"]).await;
    north.typing(&alice, &lobby(), true).unwrap();
    client.receives(&["alice types: true"]).await;
    south.disconnect(&bob);
    assert_eq!(south.metrics().typing.get(), 1);
    until("the room to end", async || south.metrics().rooms.get() == 0).await;
    assert_eq!(south.metrics().typing.get(), 0);
    assert_eq!(south.metrics().present.get(), 0);
    assert_eq!(north.metrics().present.get(), 1);
}

#[tokio::test]
async fn members_on_other_nodes_receive_a_read_marker_once() {
    let (_cluster, [north, south]) = two_hubs();
    let (alice, own_client) = watcher(&north, "alice", &["lobby"]).await;
    let (_bob, client) = watcher(&south, "bob", &["lobby"]).await;
    for number in 1..=2 {
        publish(&north, "lobby", number).await;
    }
    for seq in [2, 1, 2] {
        north.read(&alice, lobby(), Seq(seq)).await.unwrap();
    }
    let (_carol, _) = watcher(&north, "carol", &["lobby"]).await;
    client
        .receives(&["alice has read 2", "join carol online 3"])
        .await;
    own_client
        .receives(&["join bob online 2", "join carol online 3"])
        .await;
}

#[tokio::test]
async fn rooms_and_users_are_listed_over_all_nodes_by_one_that_is_subscribed_to_none_of_them() {
    let (_cluster, [north, south]) = two_hubs();
    let (_alice, _) = watcher(&north, "alice", &["lobby", "north"]).await;
    let (_bob, _) = watcher(&south, "bob", &["lobby", "south"]).await;
    let (_again, _) = watcher(&south, "alice", &["lobby"]).await;
    let back_end = StatelessCaller::back_end(Namespace::root());
    let list = async |hub: &Hub, after: Option<&str>| {
        let request = RoomsRequest {
            limit: Some(2),
            after: after.map(|after| RoomName::parse(after).unwrap()),
            ..RoomsRequest::default()
        };
        let page = hub.live_rooms(&back_end, &request).await.unwrap();
        let rooms = page.rooms.iter().map(|live| {
            let counts = live.counts.unwrap();
            format!("{} {} {}", live.room, counts.users, counts.connections)
        });
        (
            rooms.collect::<Vec<_>>(),
            page.next.map(|next| next.to_string()),
        )
    };
    for hub in [&north, &south] {
        let all_known = async || {
            list(hub, None).await
                == (
                    vec!["lobby 2 3".into(), "north 1 1".into()],
                    Some("north".into()),
                )
        };
        until("both nodes to know all", all_known).await;
        assert_eq!(
            list(hub, Some("north")).await,
            (vec!["south 1 1".into()], None)
        );
        for (room, expected) in [("north", "alice online"), ("south", "bob online")] {
            assert_eq!(statuses(hub, room).await, [expected]);
        }
    }
    let room = RoomName::parse("south").unwrap();
    let state = north.room(&back_end, room).await.unwrap();
    assert_eq!(state.counts.unwrap().users, 1);
    assert!(presence(&north, "nobody").await.users.is_empty());
}
