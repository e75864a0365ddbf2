//! Which nodes live, and what becomes of what the others have left.

use super::*;

impl Node {
    /// Stands still, but for what it hears.
    async fn freeze(&self) {
        self.log.nodes.tellers.lock().await.shutdown().await;
        self.lose_lease().await;
    }

    async fn thaw(&self) {
        let RedisLog { shared, reads, .. } = &self.log;
        self.log.nodes.say(shared, reads).await;
        self.log.nodes.keep(shared, reads).await.unwrap();
    }

    /// Does not renew its lease.
    async fn lose_lease(&self) {
        self.log.nodes.keepers.lock().await.shutdown().await;
    }

    fn knows(&self, other: &Node) -> bool {
        self.log.shared.others.living().contains(&other.id())
    }

    /// Whether a session is noted as ended.
    async fn has_ended(&self, session: &StoredSession) -> bool {
        let key = self.log.shared.keys.session(session.pid);
        self.ask::<u8>("HEXISTS", &[&key, "ended"]).await == 1
    }
}

/// Everything that Redis has of a node.
async fn left_of(witness: &Node, node: NodeId) -> Vec<String> {
    let all: Vec<String> = witness.ask("KEYS", &["*"]).await;
    let name = node.to_string();
    let mut left: Vec<_> = all.into_iter().filter(|key| key.contains(&name)).collect();
    for part in Part::all() {
        let nodes: Vec<String> = witness
            .ask("SMEMBERS", &[&witness.log.shared.keys.nodes(part)])
            .await;
        left.extend(nodes.into_iter().filter(|node| *node == name));
    }
    let leases: Vec<String> = witness
        .ask("ZRANGE", &[&witness.log.shared.keys.leases(), "0", "-1"])
        .await;
    left.extend(leases.into_iter().filter(|node| *node == name));
    left
}

#[tokio::test]
async fn a_node_that_stands_still_is_taken_out_once_by_two_and_says_all_anew_when_it_is_back() {
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
        a.has(room, "alice", 1);
        b.has(room, "alice", 2);
    }
    let both = [("alice", 1), ("alice", 2)];
    for room in &rooms {
        b.until(room, &both[..1]).await;
        a.until(room, &both[1..]).await;
    }
    for node in [&mut b, &mut c] {
        node.forget_heard();
    }
    a.freeze().await;
    for room in &rooms {
        b.until(room, &[]).await;
        c.until(room, &both[1..]).await;
    }
    soon("nothing is left of it", async || {
        left_of(&b, a.id()).await.is_empty()
    })
    .await;
    assert!(!b.knows(&a) && b.knows(&c));
    a.thaw().await;
    for room in &rooms {
        b.until(room, &both[..1]).await;
        while c.sees(room).len() < 2 {
            c.next().await;
        }
    }
    for node in [&b, &c] {
        assert_eq!(node.farewells(), ROOMS, "once for each room");
    }
    soon("it lives again", async || b.knows(&a)).await;
}

#[tokio::test]
async fn nodes_whose_leases_redis_has_lost_are_still_waited_for_until_they_could_have_taken_them_again()
 {
    let server = Server::start().await;
    let (a, b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    assert!(b.knows(&a));
    a.lose_lease().await;
    b.ask::<()>("FLUSHALL", &[]).await;
    let leases = b.log.shared.keys.leases();
    soon("it has its lease again", async || {
        b.ask::<u64>("ZCARD", &[&leases]).await == 1
    })
    .await;
    assert!(b.knows(&a));
    soon("it has gone after all", async || !b.knows(&a)).await;
}

#[tokio::test]
async fn the_users_of_a_node_that_dies_are_gone_within_its_lease() {
    const LEASE: Duration = Duration::from_secs(3);
    let server = Server::start().await;
    let (a, mut b) = (
        Node::at(&server, LEASE).await,
        Node::at(&server, LEASE).await,
    );
    b.follow("r").await;
    a.has("r", "alice", 1);
    b.until("r", &[("alice", 1)]).await;
    // By then it may take others out.
    soon("it is sure", async || b.ask::<u64>("DBSIZE", &[]).await > 0).await;
    tokio::time::sleep(LEASE).await;
    let died = Instant::now();
    drop(a);
    b.until("r", &[]).await;
    let took = died.elapsed();
    assert!(took < LEASE + Duration::from_millis(500), "after {took:?}");
}

#[tokio::test]
async fn a_node_that_stops_leaves_its_users_for_the_grace_time_only() {
    let server = Server::start().await;
    let a = Node::open(RedisConfig {
        lease: Duration::from_secs(600),
        grace: Duration::from_secs(1),
        ..RedisConfig::new(server.url())
    })
    .await;
    let mut b = Node::at(&server, SHORT).await;
    b.follow("r").await;
    a.has("r", "alice", 1);
    a.has("r", "bob", 1);
    let closing = Instant::now();
    // What waits is written.
    a.has("r", "bob", 0);
    a.log.close().await;
    b.until("r", &[("alice", 1), ("bob", 0)]).await;
    b.until("r", &[]).await;
    assert!(closing.elapsed() >= Duration::from_secs(1));
    assert_eq!(b.farewells(), 1);
}

#[tokio::test]
async fn nobody_is_taken_out_because_redis_was_away() {
    let mut server = Server::start().await;
    let (mut a, mut b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    for node in [&a, &b] {
        node.follow("r").await;
    }
    a.has("r", "alice", 1);
    b.has("r", "bob", 1);
    b.until("r", &[("alice", 1)]).await;
    a.until("r", &[("bob", 1)]).await;
    // So long that each might take out the other.
    soon("they know each other", async || a.knows(&b) && b.knows(&a)).await;
    for away in 0..2 {
        tokio::time::sleep(SHORT).await;
        match away {
            0 => server.signal("STOP"),
            _ => server.kill(),
        }
        // All leases end.
        tokio::time::sleep(2 * SHORT).await;
        match away {
            0 => server.signal("CONT"),
            _ => server.restart().await,
        }
        for node in [&a, &b] {
            let lease = async || {
                let of = node.id().to_string();
                let mut ask = redis::cmd("ZSCORE");
                ask.arg(node.log.shared.keys.leases()).arg(of);
                let time = redis::cmd("TIME");
                let commands = [ask, time];
                let both = node
                    .log
                    .reads
                    .of(Part::FIRST)
                    .run(&commands, crate::backend::redis::line::Lost::Repeat)
                    .await;
                let Ok(both) = both else { return false };
                let both: Result<(f64, (f64, f64)), _> =
                    redis::from_redis_value(Value::Array(both));
                both.is_ok_and(|(until, (now, _))| until > now * 1000.0)
            };
            soon("it has its lease again", lease).await;
        }
        let connections = away + 2;
        a.has("r", "alice", connections);
        b.until("r", &[("alice", connections)]).await;
        assert_eq!(a.farewells() + b.farewells(), 0);
    }
}

#[tokio::test]
async fn what_is_of_a_node_without_a_lease_is_taken_out() {
    let server = Server::start().await;
    let (a, mut b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    b.follow("r").await;
    a.lose_lease().await;
    soon("its lease is taken away", async || {
        left_of(&b, a.id()).await.is_empty()
    })
    .await;
    // It stood still, and says what it had to say before it notices.
    a.has("r", "alice", 1);
    b.until("r", &[("alice", 1)]).await;
    drop(a);
    b.until("r", &[]).await;
}

#[tokio::test]
async fn a_session_is_stored_and_ended_only_by_the_node_that_claimed_it_last() {
    let server = Server::start().await;
    let (a, b) = (Node::at(&server, LONG).await, Node::at(&server, LONG).await);
    let mut alice = session(&[("r", 1)]);
    a.log.claim(alice.clone()).await.unwrap();
    alice.rooms.clear();
    a.log.save(alice.clone()).await.unwrap();
    let elsewhere = StoredSession {
        connection: ConnectionId::fresh(),
        ..alice.clone()
    };
    let refused = b.log.save(elsewhere.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    b.log.end(alice.pid).await.unwrap();
    assert!(!a.has_ended(&alice).await);
    let found = b.log.find(alice.pid).await.unwrap().unwrap();
    assert_eq!((found.claims, &found.rooms), (1, &alice.rooms));
    let elsewhere = StoredSession {
        claims: 1,
        ..elsewhere
    };
    b.log.claim(elsewhere.clone()).await.unwrap();
    assert!(a.log.save(alice.clone()).await.is_err());
    a.log.end(alice.pid).await.unwrap();
    assert!(!a.has_ended(&alice).await);
    let found = a.log.find(alice.pid).await.unwrap().unwrap();
    assert_eq!((found.claims, found.connection), (2, elsewhere.connection));
    b.log.end(alice.pid).await.unwrap();
    assert!(a.has_ended(&alice).await);
    a.log.claim(found.clone()).await.unwrap();
    assert!(!a.has_ended(&alice).await);
    b.log.forget(alice.pid).await.unwrap();
    let found = b.log.find(alice.pid).await.unwrap();
    assert!(found.is_some(), "it goes on elsewhere");
    a.log.forget(alice.pid).await.unwrap();
    assert_eq!(b.log.find(alice.pid).await.unwrap(), None);
}

#[tokio::test]
async fn the_sessions_of_a_dead_node_have_ended_and_can_be_resumed_for_the_window() {
    let server = Server::start().await;
    let hands = ManualClock::new();
    let config = RedisConfig {
        lease: SHORT,
        ..RedisConfig::new(server.url())
    };
    let a = Node::open_by(config.clone(), &hands).await;
    let b = Node::open_by(config.clone(), &hands).await;
    let sessions: Vec<_> = (0..300).map(|_| session(&[])).collect();
    for session in &sessions {
        a.log.claim(session.clone()).await.unwrap();
    }
    let (moved, left) = sessions.split_first().unwrap();
    let found = b.log.find(moved.pid).await.unwrap();
    b.log.claim(found.unwrap()).await.unwrap();
    drop(a);
    for session in left {
        soon("it has ended", async || b.has_ended(session).await).await;
    }
    assert!(!b.has_ended(moved).await);
    hands.advance(config.session_window);
    let found = b.log.find(left[0].pid).await.unwrap().unwrap();
    assert_eq!(found.connection, left[0].connection);
    hands.advance(Duration::from_millis(1));
    assert_eq!(b.log.find(left[0].pid).await.unwrap(), None);
    assert!(b.log.find(moved.pid).await.unwrap().is_some());
}

#[tokio::test]
async fn sessions_of_a_node_that_was_taken_for_dead_go_on() {
    let server = Server::start().await;
    let (a, b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    let (alice, bob, moved) = (session(&[]), session(&[]), session(&[]));
    for session in [&alice, &bob, &moved] {
        a.log.claim((*session).clone()).await.unwrap();
    }
    a.freeze().await;
    soon("they are noted as ended", async || {
        b.has_ended(&alice).await && b.has_ended(&bob).await
    })
    .await;
    let found = b.log.find(moved.pid).await.unwrap();
    b.log.claim(found.unwrap()).await.unwrap();
    b.log.end(moved.pid).await.unwrap();
    a.log.end(bob.pid).await.unwrap();
    a.thaw().await;
    soon("it goes on", async || !b.has_ended(&alice).await).await;
    assert!(b.has_ended(&bob).await);
    assert!(b.has_ended(&moved).await, "its owner said so");
}

#[tokio::test]
async fn the_end_of_a_session_that_could_not_be_noted_is_noted_when_redis_is_back() {
    let mut server = Server::start().await;
    let a = Node::at(&server, SHORT).await;
    let alice = session(&[]);
    a.log.claim(alice.clone()).await.unwrap();
    server.kill();
    assert!(a.log.end(alice.pid).await.is_err());
    server.restart().await;
    soon("Redis is there", async || a.log.ready().await.is_ok()).await;
    soon("its end is noted", async || a.has_ended(&alice).await).await;
}

#[tokio::test]
async fn a_claim_that_comes_late_does_not_take_a_session_from_where_it_goes_on() {
    let server = Server::start().await;
    let (a, b) = (
        Node::at(&server, SHORT).await,
        Node::at(&server, SHORT).await,
    );
    let alice = session(&[("r", 1)]);
    b.log.claim(alice.clone()).await.unwrap();
    b.log.end(alice.pid).await.unwrap();
    // Its client came to both: to one that stands still before it can claim, and then to the other.
    let [late, soon] = [&a, &b].map(|node| node.log.find(alice.pid));
    let (late, soon) = (late.await.unwrap().unwrap(), soon.await.unwrap().unwrap());
    a.freeze().await;
    b.log.claim(soon).await.unwrap();
    let moved = StoredSession {
        claims: b.log.find(alice.pid).await.unwrap().unwrap().claims,
        ..alice.clone()
    };
    let c = Node::at(&server, SHORT).await;
    c.log.claim(moved).await.unwrap();
    a.thaw().await;
    let refused = a.log.claim(late.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(a.log.save(late.clone()).await.is_err());
    a.log.end(alice.pid).await.unwrap();
    assert!(!a.has_ended(&alice).await, "it goes on");
    // One that was forgotten since does not begin again, either.
    c.log.forget(alice.pid).await.unwrap();
    assert!(a.log.claim(late).await.is_err());
    assert_eq!(c.log.find(alice.pid).await.unwrap(), None);
}
