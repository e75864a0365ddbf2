//! Two nodes over one Redis, in this process: what an application emits, what is relayed, and who is taken out, everywhere.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use support::{DEADLINE, Raw, Server, eventually, redis::Redis};
use switchboard::{
    App, SocketIo,
    config::Config,
    hub::Hub,
    model::{Namespace, RoomKey, RoomName, UserId},
};

/// A node with its handle for what an application emits.
struct Node {
    server: Server,
    io: SocketIo,
}

impl Node {
    async fn start(config: Config) -> Self {
        let app = App::builder(config).build().await.unwrap();
        let io = app.io().clone();
        Self {
            server: Server::run(app).await,
            io,
        }
    }

    fn hub(&self) -> &Hub {
        &self.server.hub
    }

    async fn emit(&self, number: u64) {
        self.io.to("table").emit("news", &number).await.unwrap();
    }
}

async fn two(redis: &Redis) -> [Node; 2] {
    let mut config = redis.node();
    config.socketio.relay = vec!["draw".parse().unwrap()];
    [Node::start(config.clone()).await, Node::start(config).await]
}

async fn member(node: &Node, user: &str) -> Raw {
    let mut member = Raw::connect(&node.server, user).await;
    assert_eq!(member.call("join", json!("table")).await["ok"], true);
    member
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emitted_and_relayed_events_reach_the_sockets_of_all_nodes() {
    let redis = Redis::start().await;
    let [one, two] = two(&redis).await;
    let (mut alice, mut bob) = (member(&one, "alice").await, member(&two, "bob").await);
    one.emit(1).await;
    two.emit(2).await;
    for client in [&mut alice, &mut bob] {
        let mut news = [client.event("news").await, client.event("news").await];
        news.sort_by_key(|event| event[1].as_u64());
        assert_eq!(news, [[json!("news"), json!(1)], [json!("news"), json!(2)]]);
    }
    let drawn = alice.call("draw", json!({ "line": [1, 2.50] })).await;
    assert_eq!(drawn, json!({ "ok": true }));
    assert_eq!(bob.event("draw").await[1], json!({ "line": [1, 2.50] }));
    for node in [one, two] {
        node.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_local_sockets_are_reached_at_once_and_remote_ones_soon_after() {
    let mut redis = Redis::start().await;
    let [one, two] = two(&redis).await;
    let (mut alice, mut bob) = (member(&one, "alice").await, member(&two, "bob").await);
    redis.kill();
    for number in 0..20 {
        let began = Instant::now();
        one.emit(number).await;
        assert_eq!(alice.event("news").await[1], number);
        assert!(began.elapsed() < Duration::from_millis(200));
    }
    redis.restart().await;
    // What was emitted after the loss was noticed, and what is emitted from now on.
    let began = Instant::now();
    one.emit(20).await;
    two.emit(21).await;
    while bob.event("news").await[1] != 20 {}
    while alice.event("news").await[1] != 21 {}
    assert!(began.elapsed() < Duration::from_secs(2));
    for node in [one, two] {
        node.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_alone_emits_with_acks_and_lists_its_sockets_without_waiting_for_others() {
    let alone = Node::start(support::config()).await;
    let mut alice = member(&alone, "alice").await;
    let began = Instant::now();
    assert_eq!(alone.io.to("table").fetch_sockets().await.unwrap().len(), 1);
    let asking = alone.io.to("table");
    let acks = asking.emit_with_ack::<_, Value>("question", "?").await;
    let mut acks = std::pin::pin!(acks.unwrap());
    let asked = loop {
        let text = alice.text().await.unwrap();
        if text.contains("\"question\"") {
            break text;
        }
    };
    let number = asked.strip_prefix("42").unwrap().split('[').next().unwrap();
    alice.send(&format!("43{number}[7]")).await;
    let (_, answer) = acks.next().await.unwrap();
    assert_eq!(answer.unwrap(), json!(7));
    assert!(acks.next().await.is_none());
    assert!(began.elapsed() < Duration::from_secs(2));
    alone.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_is_kicked_and_disconnected_on_every_node() {
    let redis = Redis::start().await;
    let [one, two] = two(&redis).await;
    let (mut here, mut there) = (member(&one, "alice").await, member(&two, "alice").await);
    let alice = UserId::parse("alice").unwrap();
    let table = RoomKey {
        namespace: Namespace::root(),
        room: RoomName::parse("table").unwrap(),
    };
    one.hub().kick(&table, &alice, "rude").await.unwrap();
    for client in [&mut here, &mut there] {
        let kicked = client.event("kicked").await;
        assert_eq!(kicked[1], json!({ "room": "table", "reason": "rude" }));
    }
    two.hub().disconnect_user(&alice).await.unwrap();
    for client in [&mut here, &mut there] {
        let ended = tokio::time::timeout(DEADLINE, async {
            while client.text().await.is_some_and(|text| text != "41") {}
        });
        ended.await.expect("it is disconnected");
    }
    eventually("alice has gone", async || {
        let known = one.hub().user(&alice).await.unwrap();
        !known.online
    })
    .await;
    for node in [one, two] {
        node.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_polling_client_on_the_wrong_node_gets_advice_on_sticky_sessions() {
    let redis = Redis::start().await;
    let [one, two] = two(&redis).await;
    let client = reqwest::Client::new();
    let polling = |node: &Node, sid: &str| {
        let query = format!("/socket.io/?EIO=4&transport=polling{sid}");
        node.server.url(&query)
    };
    let open = client.get(polling(&one, "")).send().await.unwrap();
    let open = open.text().await.unwrap();
    let sid = format!("&sid={}", open.split('"').nth(3).unwrap());
    let url = polling(&two, &sid);
    let upgrade = client
        .get(url.replace("polling", "websocket"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    for request in [client.get(&url), client.post(&url).body("40"), upgrade] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 400);
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["code"], 1);
        let message = body["message"].as_str().unwrap();
        assert!(message.contains("sticky sessions"), "{message}");
    }
    let posted = client.post(polling(&one, &sid)).body("40").send().await;
    assert_eq!(posted.unwrap().status(), 200);
    for node in [one, two] {
        node.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_made_to_come_back_and_begin_anew_when_redis_has_lost_what_they_were_given() {
    let redis = Redis::start().await;
    let node = Node::start(redis.node()).await;
    let mut alice = member(&node, "alice").await;
    let message = json!({ "room": "table", "data": 1 });
    let before = alice.call("message", message.clone()).await;
    let stream = reqwest::get(node.server.url("/events/table?user=bob")).await;
    let mut stream = stream.unwrap();
    stream.chunk().await.unwrap().unwrap();
    redis.ask("FLUSHALL").await;
    // Neither is told that it is kept, and both are cut.
    while alice.text().await.is_some() {}
    while let Ok(Some(_)) = stream.chunk().await {}
    let mut alice = member(&node, "alice").await;
    let after = alice.call("message", message).await;
    assert_eq!(after["ok"], true, "{after}");
    assert_ne!(after["epoch"], before["epoch"]);
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_with_different_prefixes_relay_nothing_to_each_other() {
    let redis = Redis::start().await;
    let mut config = redis.node();
    config.socketio.relay = vec!["draw".parse().unwrap()];
    let one = Node::start(config.clone()).await;
    config.redis.prefix = "other".to_owned();
    let [two, three] = [Node::start(config.clone()).await, Node::start(config).await];
    let (mut alice, mut bob) = (member(&one, "alice").await, member(&two, "bob").await);
    eventually("they hear each other", async || {
        three.emit(1).await;
        bob.events.clear();
        bob.call("status", json!({ "status": "busy" })).await;
        bob.events.iter().any(|event| event[0] == "news")
    })
    .await;
    alice.call("status", json!({ "status": "busy" })).await;
    assert!(alice.events.iter().all(|event| event[0] != "news"));
    for node in [one, two, three] {
        node.server.stop().await;
    }
}
