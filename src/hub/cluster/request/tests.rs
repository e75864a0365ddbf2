//! Two hubs over one log, which ask each other: who is on the other node is reached there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;

use crate::{
    auth::Grants,
    backend::{
        Backend, ClusterNodes, ClusterNotice, PeerRequest, PresenceEntry, RosterPage, SessionStore,
        StoredSession, deliveries, memory,
    },
    error::{Code, Error, Result},
    hub::testing::{connect, hub_with_backend, join, member, name, prepare, resume_of, user},
    hub::{
        CloseReason, Connection, Hub, LimitSettings, Signal, SignalReplies, SignalReply,
        SignalTarget,
    },
    model::{ConnectionId, Namespace, Pid, RoomKey, RoomName, UserId},
    sync::lock,
};

/// Sends requests to the other hub.
#[derive(Default)]
struct PeerHub {
    hub: OnceLock<Hub>,
    away: Arc<AtomicBool>,
}

#[async_trait]
impl ClusterNodes for PeerHub {
    fn set_presence(&self, _: &RoomKey, _: &UserId, _: Option<PresenceEntry>) {}

    fn notify(&self, _: &RoomKey, _: ClusterNotice) {}

    async fn room_users(&self, _: &RoomKey, _: Option<&UserId>, _: usize) -> Result<RosterPage> {
        Ok(RosterPage::default())
    }

    async fn occupied_rooms(
        &self,
        _: &Namespace,
        _: &str,
        _: Option<&RoomName>,
        _: usize,
    ) -> Result<Vec<RoomName>> {
        Ok(Vec::new())
    }

    async fn request_all(&self, text: String, within: Duration) -> Result<Vec<String>> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::unavailable("cut off"));
        }
        let (reply, response) = oneshot::channel();
        let request = PeerRequest { text, reply };
        self.hub.get().unwrap().serve_request(request);
        let response = tokio::time::timeout(within, response).await;
        Ok(response.into_iter().flatten().collect())
    }
}

/// Sessions that belong to the node that has claimed them.
struct OwnedSessions {
    sessions: Arc<dyn SessionStore>,
    owners: Arc<Mutex<HashMap<Pid, usize>>>,
    node: usize,
    away: Arc<AtomicBool>,
}

impl OwnedSessions {
    fn is_owner(&self, pid: Pid) -> bool {
        lock(&self.owners).get(&pid) == Some(&self.node)
    }
}

#[async_trait]
impl SessionStore for OwnedSessions {
    async fn save(&self, session: StoredSession) -> Result<()> {
        match self.is_owner(session.pid) {
            true => self.sessions.save(session).await,
            false => Err(Error::unavailable("the session goes on elsewhere")),
        }
    }

    async fn claim(&self, session: StoredSession) -> Result<()> {
        if self.away.load(Ordering::Relaxed) {
            return Err(Error::unavailable("cut off"));
        }
        lock(&self.owners).insert(session.pid, self.node);
        self.sessions.save(session).await
    }

    async fn end(&self, pid: Pid) -> Result<()> {
        match self.is_owner(pid) {
            true => self.sessions.end(pid).await,
            false => Ok(()),
        }
    }

    async fn forget(&self, pid: Pid) -> Result<()> {
        self.sessions.forget(pid).await
    }

    async fn forget_user(&self, user: UserId) -> Result<()> {
        self.sessions.forget_user(user).await
    }

    async fn remove_from_room(&self, user: UserId, room: RoomKey, reason: String) -> Result<()> {
        self.sessions.remove_from_room(user, room, reason).await
    }

    async fn find(&self, pid: Pid) -> Result<Option<StoredSession>> {
        self.sessions.find(pid).await
    }
}

/// Two hubs, and the path of requests from the first to the second.
fn two() -> (Hub, Hub, Arc<PeerHub>) {
    let (backend, first) = memory::open(memory::MemoryConfig::default());
    let others = [Arc::<PeerHub>::default(), Arc::default()];
    let owners = Arc::<Mutex<HashMap<Pid, usize>>>::default();
    // Events of rooms come to the first alone: these tests are about connections.
    let streams = [first, deliveries().1];
    let mut hubs = streams.into_iter().enumerate().map(|(node, stream)| {
        let owned = OwnedSessions {
            sessions: backend.sessions.clone(),
            owners: owners.clone(),
            node,
            away: others[node].away.clone(),
        };
        let backend = Backend {
            sessions: Arc::new(owned),
            cluster: Some(others[node].clone()),
            ..backend.clone()
        };
        hub_with_backend(backend, stream, LimitSettings::default())
    });
    let (one, two) = (hubs.next().unwrap(), hubs.next().unwrap());
    drop(hubs);
    let [to_two, to_one] = others;
    to_two.hub.set(two.clone()).unwrap();
    to_one.hub.set(one.clone()).unwrap();
    (one, two, to_two)
}

async fn signal(hub: &Hub, from: &Connection, to: SignalTarget) -> Result<SignalReplies> {
    let signal = Signal {
        to,
        event: "offer".into(),
        data: to_raw_value("data").unwrap().into(),
        timeout: None,
    };
    hub.signal(from, &signal)?.await
}

fn data(reply: &SignalReply) -> &str {
    reply.data.as_deref().map_or("", RawValue::get)
}

/// The data of the replies, and how many are missing.
fn outcome(replies: &SignalReplies) -> (Vec<&str>, usize) {
    let received = replies.replies.iter();
    (received.map(data).collect(), replies.missing)
}

#[tokio::test]
async fn a_signal_reaches_a_users_connections_on_all_nodes_and_one_connection_wherever_it_is() {
    let (one, two, to_two) = two();
    let (alice, _) = member(&one, "alice", &["a"]).await;
    let (_here, near) = member(&one, "bob", &["a"]).await;
    let (there, far) = member(&two, "bob", &["a"]).await;
    *lock(&near.replies_with) = Some(&["\"near\""]);
    *lock(&far.replies_with) = Some(&["\"far\""]);
    let bob = SignalTarget::User(user("bob"));
    let replies = signal(&one, &alice, bob.clone()).await.unwrap();
    assert_eq!(outcome(&replies), (vec!["\"near\"", "\"far\""], 0));
    assert_eq!(replies.replies[1].connection, there.id());
    let replies = signal(&one, &alice, SignalTarget::Connection(there.id())).await;
    assert_eq!(outcome(&replies.unwrap()), (vec!["\"far\""], 0));
    let nobody = SignalTarget::Connection(ConnectionId::generate());
    let replies = signal(&one, &alice, nobody).await;
    assert_eq!(outcome(&replies.unwrap()), (vec![], 1));
    // Connections on nodes that cannot be reached are left out.
    to_two.away.store(true, Ordering::Relaxed);
    let replies = signal(&one, &alice, bob).await.unwrap();
    assert_eq!(outcome(&replies), (vec!["\"near\""], 0));
}

#[tokio::test]
async fn one_users_signals_that_wait_for_other_nodes_leave_others_their_share() {
    let (one, two, _) = two();
    let (greedy, _) = member(&one, "greedy", &["a"]).await;
    let (alice, _) = member(&one, "alice", &["a"]).await;
    let (_bob, far) = member(&two, "bob", &["a"]).await;
    *lock(&far.replies_with) = Some(&["\"far\""]);
    let bob = SignalTarget::User(user("bob"));
    let request = Signal {
        to: bob.clone(),
        event: "offer".into(),
        data: to_raw_value("data").unwrap().into(),
        timeout: None,
    };
    let waiting: Vec<_> = (0..crate::hub::cluster::client::MAX_SIGNALS / 2)
        .map(|_| one.signal(&greedy, &request).ok().unwrap())
        .collect();
    let refused = signal(&one, &greedy, bob.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::LimitReached);
    assert!(refused.retry_after_ms().is_some());
    let replies = signal(&one, &alice, bob.clone()).await.unwrap();
    assert_eq!(outcome(&replies), (vec!["\"far\""], 0));
    drop(waiting);
    assert!(signal(&one, &greedy, bob).await.is_ok());
}

#[tokio::test]
async fn a_reply_comes_from_another_node_unchanged() {
    let (one, two, _) = two();
    let (alice, _) = member(&one, "alice", &["a"]).await;
    let (bob, far) = member(&two, "bob", &["a"]).await;
    let deep: &str = Box::leak(format!("{}{}", "[".repeat(65), "]".repeat(65)).into());
    let deep: &[&str] = Box::leak(vec![deep].into());
    let cases: [(&[&str], _); 6] = [
        (&["null"], r#""data":null"#),
        (&[], ""),
        (&["[1.0, 2]"], r#""data":[1.0, 2]"#),
        (&["null", "[1.0]"], r#""data":[null,[1.0]],"arguments":2"#),
        (
            deep,
            r#""error":{"code":"too_large","message":"the data of a message may nest 64 arrays and objects"}"#,
        ),
        (&["1"], r#""data":1"#),
    ];
    for (replied, expected) in cases {
        *lock(&far.replies_with) = Some(replied);
        let replies = signal(&one, &alice, SignalTarget::User(user("bob")))
            .await
            .unwrap();
        let comma = if expected.is_empty() { "" } else { "," };
        assert_eq!(
            serde_json::to_string(&replies).unwrap(),
            format!(
                r#"{{"replies":[{{"user":"bob","connection":"{}"{comma}{expected}}}],"missing":0}}"#,
                bob.id()
            )
        );
    }
    let received = far.received();
    let errors = received.iter().filter(|name| *name == "error").count();
    assert_eq!(
        errors, 1,
        "a client whose reply nests too deeply receives an error: {received:?}"
    );
}

#[tokio::test]
async fn the_node_of_the_receiver_decides_who_may_signal_it() {
    let (one, two, _) = two();
    let (alice, _) = member(&one, "alice", &["a", "b"]).await;
    let (bob, client) = member(&two, "bob", &["c"]).await;
    *lock(&client.replies_with) = Some(&["\"yes\""]);
    for to in [
        SignalTarget::User(user("bob")),
        SignalTarget::Connection(bob.id()),
    ] {
        let refused = signal(&one, &alice, to).await.unwrap_err();
        assert_eq!(refused.code(), Code::Forbidden);
    }
    client.receives(&["session"]).await;
    join(&two, &bob, "b").await;
    for to in [
        SignalTarget::User(user("bob")),
        SignalTarget::Connection(bob.id()),
    ] {
        let replies = signal(&one, &alice, to).await.unwrap();
        assert_eq!(outcome(&replies), (vec!["\"yes\""], 0));
    }
    // A grant for the user is enough without a room, and a room without a grant is not.
    for (grants, allowed) in [("user:bob=signal; b=join", true), ("b=join", false)] {
        let mut principal = alice.principal().as_ref().clone();
        principal.grants = Arc::new(Grants::parse(grants).unwrap());
        alice.set_principal(principal);
        let replies = signal(&one, &alice, SignalTarget::Connection(bob.id())).await;
        assert_eq!(replies.is_ok(), allowed, "{grants}");
    }
    // A user's own connections are its own everywhere.
    let (_own, own) = member(&two, "alice", &[]).await;
    *lock(&own.replies_with) = Some(&["\"me\""]);
    let replies = signal(&one, &alice, SignalTarget::User(user("alice"))).await;
    assert_eq!(outcome(&replies.unwrap()), (vec!["\"me\""], 0));
}

#[tokio::test]
async fn a_kick_and_a_disconnect_count_over_all_nodes_and_fail_if_some_cannot_be_reached() {
    let (one, two, to_two) = two();
    let table = RoomKey {
        namespace: Namespace::root(),
        room: name("a"),
    };
    let (here, near) = member(&one, "alice", &["a"]).await;
    let (there, far) = member(&two, "alice", &["a"]).await;
    assert_eq!(one.kick(&table, &user("alice"), "rude").await.unwrap(), 2);
    for client in [&near, &far] {
        client.receives(&["session", "kicked"]).await;
    }
    assert!(!here.is_in(&name("a")) && !there.is_in(&name("a")));
    assert_eq!(one.disconnect_user(&user("alice")).await.unwrap(), 2);
    assert_eq!(*lock(&far.closed), Some(CloseReason::Removed));

    let (here, _near) = member(&one, "alice", &["a"]).await;
    to_two.away.store(true, Ordering::Relaxed);
    let refused = one.kick(&table, &user("alice"), "rude").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("done on this node"));
    assert!(!here.is_in(&name("a")));
    assert!(one.user(&user("alice")).await.is_err());
}

#[tokio::test]
async fn the_summary_of_a_user_merges_those_of_all_nodes() {
    let (one, two, _) = two();
    let (_near, _) = member(&one, "alice", &["b", "a"]).await;
    let (far, _) = member(&two, "alice", &["c", "a"]).await;
    let (_other, _) = member(&two, "alice", &[]).await;
    let known = one.user(&user("alice")).await.unwrap();
    assert!(known.online && known.last_seen.is_some());
    assert_eq!(known.connections, 3);
    assert_eq!(known.status.as_deref(), Some("online"));
    let rooms = ["a", "b", "c", "user:alice"].map(name);
    assert_eq!(known.rooms, rooms);
    let (bob, _) = member(&two, "bob", &[]).await;
    two.status(&bob, "busy", None).unwrap();
    let known = one.user(&user("bob")).await.unwrap();
    assert_eq!(
        (known.online, known.status.as_deref()),
        (true, Some("busy"))
    );
    two.disconnect(&bob);
    let known = one.user(&user("bob")).await.unwrap();
    assert!(!known.online && known.last_seen.is_some());
    assert!(two.user(&far.principal().user).await.unwrap().online);
}

#[tokio::test]
async fn a_session_that_is_resumed_on_another_node_is_released_by_the_one_before() {
    let (one, two, _) = two();
    let (alice, dead) = member(&one, "alice", &["a"]).await;
    let prepared = prepare(&two, "alice", resume_of(&alice, &dead)).await;
    assert_eq!(prepared.pid(), alice.pid());
    let (again, client) = connect(&two, prepared).await;
    dead.is_closed(CloseReason::Replaced).await;
    assert!(one.connections().is_empty() && alice.memberships().is_none());
    assert!(again.is_in(&name("a")));
    // The end of the old connection does not end the session, which can be resumed on any node.
    one.disconnect(&alice);
    assert!(two.save_session(&again).await.is_ok());
    let (back_again, _) = connect(
        &one,
        prepare(&one, "alice", resume_of(&again, &client)).await,
    )
    .await;
    // A request to release it that was sent before arrives late.
    one.release_session(back_again.id()).await;
    assert_eq!(one.connections().len(), 1);
    assert!(back_again.is_in(&name("a")));
}

#[tokio::test]
async fn a_client_whose_session_cannot_be_claimed_is_closed_and_can_reconnect() {
    let (one, two, store) = two();
    let (alice, client) = member(&two, "alice", &["a"]).await;
    two.disconnect(&alice);
    let prepared = prepare(&one, "alice", resume_of(&alice, &client)).await;
    store.away.store(true, Ordering::Relaxed);
    let (second, refused) = connect(&one, prepared).await;
    refused.is_closed(CloseReason::Unavailable).await;
    one.disconnect(&second);
    store.away.store(false, Ordering::Relaxed);
    let (third, _) = connect(
        &one,
        prepare(&one, "alice", resume_of(&alice, &client)).await,
    )
    .await;
    assert_eq!(third.id(), alice.id());
    assert!(one.save_session(&third).await.is_ok());
}
