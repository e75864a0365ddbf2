//! Leases, and the removal of nodes whose lease has expired.

use super::*;

impl Node {
    /// Pauses: publishes nothing and does not renew its lease, but still receives.
    pub(super) async fn pause(&self) {
        self.log.membership.publishers.lock().await.shutdown().await;
        self.lose_lease().await;
    }

    pub(super) async fn resume(&self) {
        let RedisLog {
            context,
            connections,
            ..
        } = &self.log;
        self.log
            .membership
            .start_publishers(context, connections)
            .await;
        self.log
            .membership
            .start_lease_tasks(context, connections, self.stream.clone())
            .await
            .unwrap();
    }

    /// Stops renewing its lease.
    pub(super) async fn lose_lease(&self) {
        self.log
            .membership
            .lease_tasks
            .lock()
            .await
            .shutdown()
            .await;
    }

    fn sees_alive(&self, other: &Node) -> bool {
        self.log.context.peers.alive().contains(&other.id())
    }

    /// Whether a session is marked as ended.
    async fn has_ended(&self, session: &StoredSession) -> bool {
        let key = self.log.context.keys.session(session.pid);
        self.query::<u8>("HEXISTS", &[&key, "ended"]).await == 1
    }
}

/// Everything that Redis still has of a node.
pub(super) async fn keys_of(witness: &Node, node: NodeId) -> Vec<String> {
    let all: Vec<String> = witness.query("KEYS", &["*"]).await;
    let name = node.to_string();
    let mut keys: Vec<_> = all.into_iter().filter(|key| key.contains(&name)).collect();
    for partition in Partition::all() {
        let of_log = &witness.log.context.keys;
        let nodes = [of_log.nodes(partition), of_log.present_nodes(partition)];
        let nodes: Vec<String> = witness
            .query("SUNION", &nodes.each_ref().map(|it| &**it))
            .await;
        keys.extend(nodes.into_iter().filter(|node| *node == name));
    }
    let leases: Vec<String> = witness
        .query("ZRANGE", &[&witness.log.context.keys.leases(), "0", "-1"])
        .await;
    keys.extend(leases.into_iter().filter(|node| *node == name));
    keys
}

#[tokio::test]
async fn a_paused_node_is_removed_once_by_two_others_and_writes_its_entries_again() {
    const ROOMS: usize = 200;
    let server = Server::start().await;
    let mut a = Node::at(&server, SHORT).await;
    let (mut b, mut c) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    let rooms: Vec<_> = (0..ROOMS).map(|nth| format!("r{nth}")).collect();
    for room in &rooms {
        a.follow(room).await;
        b.follow(room).await;
        c.follow(room).await;
        a.set_entry(room, "alice", 1);
        b.set_entry(room, "alice", 2);
    }
    let both = [("alice", 1), ("alice", 2)];
    for room in &rooms {
        b.wait_for_users(room, &both[..1]).await;
        a.wait_for_users(room, &both[1..]).await;
    }
    for node in [&mut b, &mut c] {
        node.clear_events();
    }
    a.pause().await;
    for room in &rooms {
        b.wait_for_users(room, &[]).await;
        c.wait_for_users(room, &both[1..]).await;
    }
    eventually("nothing is left of the node", async || {
        keys_of(&b, a.id()).await.is_empty()
    })
    .await;
    assert!(!b.sees_alive(&a) && b.sees_alive(&c));
    for node in [&mut b, &mut c] {
        while node.gone.is_empty() {
            node.next().await;
        }
        assert_eq!(node.gone, [a.id()]);
    }
    a.resume().await;
    for room in &rooms {
        b.wait_for_users(room, &both[..1]).await;
        while c.users_seen(room).len() < 2 {
            c.next().await;
        }
    }
    for node in [&b, &c] {
        assert_eq!(node.removals(), ROOMS, "once for each room");
    }
    eventually("the node is alive again", async || b.sees_alive(&a)).await;
}

#[tokio::test]
async fn nodes_whose_leases_redis_has_lost_stay_alive_until_they_could_have_acquired_them_again() {
    let server = Server::start().await;
    let (a, b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    assert!(b.sees_alive(&a));
    a.lose_lease().await;
    b.query::<()>("FLUSHALL", &[]).await;
    let leases = b.log.context.keys.leases();
    eventually("the node has its lease again", async || {
        b.query::<u64>("ZCARD", &[&leases]).await == 1
    })
    .await;
    assert!(b.sees_alive(&a));
    eventually("the node is no longer alive", async || !b.sees_alive(&a)).await;
}

#[tokio::test]
async fn the_users_of_a_dead_node_are_removed_within_its_lease() {
    const LEASE: Duration = Duration::from_secs(3);
    let server = Server::start().await;
    let (a, mut b) = (
        Node::at(&server, LEASE).await,
        Node::at(&server, LEASE).await,
    );
    b.follow("r").await;
    a.set_entry("r", "alice", 1);
    b.wait_for_users("r", &[("alice", 1)]).await;
    // From then on it may remove others.
    eventually("Redis has data", async || {
        b.query::<u64>("DBSIZE", &[]).await > 0
    })
    .await;
    tokio::time::sleep(LEASE).await;
    let died = Instant::now();
    drop(a);
    b.wait_for_users("r", &[]).await;
    let took = died.elapsed();
    assert!(took < LEASE + Duration::from_millis(500), "after {took:?}");
}

#[tokio::test]
async fn the_users_of_a_stopped_node_stay_for_the_grace_time() {
    let server = Server::start().await;
    let a = Node::open(RedisConfig {
        lease: Duration::from_secs(600),
        grace: Duration::from_secs(1),
        ..RedisConfig::new(server.url())
    })
    .await;
    let mut b = Node::at(&server, SHORT).await;
    b.follow("r").await;
    a.set_entry("r", "alice", 1);
    a.set_entry("r", "bob", 1);
    let closing = Instant::now();
    // Queued changes are written.
    a.set_entry("r", "bob", 0);
    a.log.close().await;
    b.wait_for_users("r", &[("alice", 1), ("bob", 0)]).await;
    b.wait_for_users("r", &[]).await;
    assert!(closing.elapsed() >= Duration::from_secs(1));
    assert_eq!(b.removals(), 1);
}

#[tokio::test]
async fn no_node_is_removed_because_redis_was_down() {
    let mut server = Server::start().await;
    let (mut a, mut b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    for node in [&a, &b] {
        node.follow("r").await;
    }
    a.set_entry("r", "alice", 1);
    b.set_entry("r", "bob", 1);
    b.wait_for_users("r", &[("alice", 1)]).await;
    a.wait_for_users("r", &[("bob", 1)]).await;
    // Long enough that each might remove the other.
    eventually("both are alive", async || {
        a.sees_alive(&b) && b.sees_alive(&a)
    })
    .await;
    for away in 0..2 {
        tokio::time::sleep(SHORT).await;
        match away {
            0 => server.signal("STOP"),
            _ => server.kill(),
        }
        // All leases expire.
        tokio::time::sleep(2 * SHORT).await;
        match away {
            0 => server.signal("CONT"),
            _ => server.restart().await,
        }
        for node in [&a, &b] {
            let lease = async || {
                let of = node.id().to_string();
                let mut score = redis::cmd("ZSCORE");
                score.arg(node.log.context.keys.leases()).arg(of);
                let time = redis::cmd("TIME");
                let commands = [score, time];
                let both = node
                    .log
                    .connections
                    .of(Partition::FIRST)
                    .execute(&commands, OnDisconnect::Retry)
                    .await;
                let Ok(both) = both else { return false };
                let both: Result<(f64, (f64, f64)), _> =
                    redis::from_redis_value(Value::Array(both));
                both.is_ok_and(|(until, (now, _))| until > now * 1000.0)
            };
            eventually("the node has its lease again", lease).await;
        }
        let connections = away + 2;
        a.set_entry("r", "alice", connections);
        b.wait_for_users("r", &[("alice", connections)]).await;
        assert_eq!(a.removals() + b.removals(), 0);
        assert_eq!([&*a.gone, &*b.gone].concat(), []);
    }
}

#[tokio::test]
async fn entries_of_a_node_without_a_lease_are_removed() {
    let server = Server::start().await;
    let (a, mut b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    b.follow("r").await;
    a.lose_lease().await;
    eventually("its lease is deleted", async || {
        keys_of(&b, a.id()).await.is_empty()
    })
    .await;
    // It was paused, and publishes before it notices.
    a.set_entry("r", "alice", 1);
    b.wait_for_users("r", &[("alice", 1)]).await;
    drop(a);
    b.wait_for_users("r", &[]).await;
}

#[tokio::test]
async fn only_the_node_that_claimed_a_session_last_stores_and_ends_it() {
    let server = Server::start().await;
    let (a, b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    let mut alice = session(&[("r", 1)]);
    a.log.claim(alice.clone()).await.unwrap();
    alice.rooms.clear();
    a.log.save(alice.clone()).await.unwrap();
    let elsewhere = StoredSession {
        connection: ConnectionId::generate(),
        ..alice.clone()
    };
    let refused = b.log.save(elsewhere.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    b.log.end(alice.pid).await.unwrap();
    assert!(!a.has_ended(&alice).await);
    let found = b.log.find(alice.pid).await.unwrap().unwrap();
    assert_eq!((found.claim_count, &found.rooms), (1, &alice.rooms));
    let elsewhere = StoredSession {
        claim_count: 1,
        ..elsewhere
    };
    b.log.claim(elsewhere.clone()).await.unwrap();
    assert!(a.log.save(alice.clone()).await.is_err());
    a.log.end(alice.pid).await.unwrap();
    assert!(!a.has_ended(&alice).await);
    let found = a.log.find(alice.pid).await.unwrap().unwrap();
    assert_eq!(
        (found.claim_count, found.connection),
        (2, elsewhere.connection)
    );
    b.log.end(alice.pid).await.unwrap();
    assert!(a.has_ended(&alice).await);
    a.log.claim(found.clone()).await.unwrap();
    assert!(!a.has_ended(&alice).await);
    b.log.forget(alice.pid).await.unwrap();
    let found = b.log.find(alice.pid).await.unwrap();
    assert!(found.is_some(), "it is active on another node");
    a.log.forget(alice.pid).await.unwrap();
    assert_eq!(b.log.find(alice.pid).await.unwrap(), None);
}

#[tokio::test]
async fn sessions_of_a_dead_node_have_ended_and_can_be_resumed_within_the_window() {
    let server = Server::start().await;
    let clock = ManualClock::new();
    let config = RedisConfig {
        lease: SHORT,
        ..RedisConfig::new(server.url())
    };
    let a = Node::open_with_clock(config.clone(), &clock).await;
    let b = Node::open_with_clock(config.clone(), &clock).await;
    let sessions: Vec<_> = (0..300).map(|_| session(&[])).collect();
    for session in &sessions {
        a.log.claim(session.clone()).await.unwrap();
    }
    let (moved, others) = sessions.split_first().unwrap();
    let found = b.log.find(moved.pid).await.unwrap();
    b.log.claim(found.unwrap()).await.unwrap();
    drop(a);
    for session in others {
        eventually("the session has ended", async || b.has_ended(session).await).await;
    }
    assert!(!b.has_ended(moved).await);
    clock.advance(config.session_window);
    let found = b.log.find(others[0].pid).await.unwrap().unwrap();
    assert_eq!(found.connection, others[0].connection);
    clock.advance(Duration::from_millis(1));
    assert_eq!(b.log.find(others[0].pid).await.unwrap(), None);
    assert!(b.log.find(moved.pid).await.unwrap().is_some());
}

#[tokio::test]
async fn active_sessions_of_a_node_that_was_taken_for_dead_are_resumed() {
    let server = Server::start().await;
    let (a, b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    let (alice, bob, moved) = (session(&[]), session(&[]), session(&[]));
    for session in [&alice, &bob, &moved] {
        a.log.claim((*session).clone()).await.unwrap();
    }
    a.pause().await;
    eventually("the sessions are marked as ended", async || {
        b.has_ended(&alice).await && b.has_ended(&bob).await
    })
    .await;
    let found = b.log.find(moved.pid).await.unwrap();
    b.log.claim(found.unwrap()).await.unwrap();
    b.log.end(moved.pid).await.unwrap();
    a.log.end(bob.pid).await.unwrap();
    a.resume().await;
    eventually("the session is active", async || !b.has_ended(&alice).await).await;
    assert!(b.has_ended(&bob).await);
    assert!(b.has_ended(&moved).await, "its owner has ended it");
}

#[tokio::test]
async fn the_end_of_a_session_is_stored_once_redis_is_back() {
    let mut server = Server::start().await;
    let a = Node::at(&server, SHORT).await;
    let alice = session(&[]);
    a.log.claim(alice.clone()).await.unwrap();
    server.kill();
    assert!(a.log.end(alice.pid).await.is_err());
    server.restart().await;
    eventually("Redis is back", async || a.log.ready().await.is_ok()).await;
    eventually("its end is stored", async || a.has_ended(&alice).await).await;
}

#[tokio::test]
async fn a_late_claim_does_not_take_a_session_from_its_owner() {
    let server = Server::start().await;
    let (a, b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    let alice = session(&[("r", 1)]);
    b.log.claim(alice.clone()).await.unwrap();
    b.log.end(alice.pid).await.unwrap();
    // Its client came to both nodes: first to one that is paused before it can claim, then to the other.
    let [late, soon] = [&a, &b].map(|node| node.log.find(alice.pid));
    let (late, soon) = (late.await.unwrap().unwrap(), soon.await.unwrap().unwrap());
    a.pause().await;
    b.log.claim(soon).await.unwrap();
    let moved = StoredSession {
        claim_count: b.log.find(alice.pid).await.unwrap().unwrap().claim_count,
        ..alice.clone()
    };
    let c = Node::at(&server, SHORT).await;
    c.log.claim(moved).await.unwrap();
    a.resume().await;
    let refused = a.log.claim(late.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(a.log.save(late.clone()).await.is_err());
    a.log.end(alice.pid).await.unwrap();
    assert!(!a.has_ended(&alice).await, "the session is active");
    // A session that was forgotten since is not created again.
    c.log.forget(alice.pid).await.unwrap();
    assert!(a.log.claim(late).await.is_err());
    assert_eq!(c.log.find(alice.pid).await.unwrap(), None);
}
