//! What an embedding application has with a connection: its public id, the rooms that it joined the connection to, and a state
//! of its own; a recovery brings all of it back.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::{Raw, Server, config, eventually, redis::Redis};
use switchboard::{
    App, Data, EventContext, Result, SocketIo,
    config::{Config, Store},
};

/// Puts whoever asks into a room of socketioxide, and notes that.
async fn enlist(context: EventContext, Data(room): Data<String>) -> Result<Value> {
    context.set_state(&json!({ "room": room, "exact": 1.5 }))?;
    context.socket.join(room);
    about(context).await
}

async fn discharge(context: EventContext, Data(room): Data<String>) -> Result<()> {
    context.socket.leave(room);
    Ok(())
}

/// Puts whoever asks into a room once that has its answer.
async fn enlist_later(context: EventContext, Data(room): Data<String>) -> Result<()> {
    tokio::spawn(async move { context.socket.join(room) });
    Ok(())
}

async fn about(context: EventContext) -> Result<Value> {
    let state: Option<Value> = context.state()?;
    Ok(json!({ "id": context.id(), "state": state }))
}

async fn keep(context: EventContext, Data(state): Data<Value>) -> Result<()> {
    context.set_state(&state)
}

struct Node {
    server: Server,
    io: SocketIo,
}

impl Node {
    async fn start(config: Config) -> Self {
        let app = App::builder(config)
            .event("enlist", enlist)
            .event("enlist later", enlist_later)
            .event("discharge", discharge)
            .event("about", about)
            .event("keep", keep);
        let app = app.build().await.unwrap();
        let io = app.io().clone();
        Self {
            server: Server::run(app).await,
            io,
        }
    }

    /// Emits to a room, and to everybody behind it.
    async fn emit(&self, room: &str, number: u64) {
        let room = room.to_owned();
        self.io.to(room).emit("order", &number).await.unwrap();
        self.io.emit("end", &number).await.unwrap();
    }

    /// Comes back as `before` was.
    async fn back(&self, before: &Raw) -> Raw {
        let auth = json!({ "user": "alice", "pid": before.reply["pid"] });
        let after = Raw::connect_with(&self.server, &auth).await;
        assert_eq!(after.reply, before.reply, "it is recovered");
        after
    }
}

/// Which orders have come before the end of this number.
async fn orders(client: &mut Raw, number: u64) -> Vec<u64> {
    assert_eq!(client.event("end").await[1], number);
    let events = std::mem::take(&mut client.events).into_iter();
    let orders = events.filter(|event| event[0] == "order");
    orders.map(|event| event[1].as_u64().unwrap()).collect()
}

/// A client that is in one room of the application's, and not any more in another.
async fn enlisted(node: &Node) -> Raw {
    let mut alice = Raw::connect(&node.server, "alice").await;
    for room in ["staff", "guards"] {
        assert_eq!(alice.call("enlist", json!(room)).await["ok"], true);
    }
    alice.call("discharge", json!("guards")).await;
    alice
}

/// Comes back on `node` as the client that was [`enlisted`], and is as it was.
async fn is_as_before(node: &Node, before: &Raw) {
    let mut alice = node.back(before).await;
    let id = before.reply["sid"].as_str().unwrap();
    let state = json!({ "room": "guards", "exact": 1.5 });
    assert_eq!(
        alice.call("about", Value::Null).await,
        json!({ "ok": true, "id": id, "state": state })
    );
    for (number, room, reached) in [(1, "staff", true), (2, "guards", false), (3, id, true)] {
        node.emit(room, number).await;
        let expected = if reached { vec![number] } else { vec![] };
        assert_eq!(orders(&mut alice, number).await, expected, "{room}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_its_session_over_has_its_id_its_rooms_and_its_state() {
    let node = Node::start(config()).await;
    let before = enlisted(&node).await;
    is_as_before(&node, &before).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_gone_has_its_id_its_rooms_and_its_state() {
    let node = Node::start(config()).await;
    let mut before = enlisted(&node).await;
    before.end().await;
    eventually("the session has ended", async || {
        node.server.metric("switchboard_connections") == 0.0
    })
    .await;
    is_as_before(&node, &before).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_joined_while_no_handler_ran_is_kept_when_the_socket_ends() {
    let node = Node::start(config()).await;
    let mut before = Raw::connect(&node.server, "alice").await;
    before.call("enlist later", json!("staff")).await;
    let joined = async |count| node.io.to("staff").sockets().len() == count;
    eventually("the room is joined", async || joined(1).await).await;
    before.end().await;
    eventually("the session has ended", async || {
        node.server.metric("switchboard_connections") == 0.0
    })
    .await;
    assert!(joined(0).await);
    let mut alice = node.back(&before).await;
    node.emit("staff", 1).await;
    assert_eq!(orders(&mut alice, 1).await, [1]);
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    (config.store, config.data) = (Some(Store::Sqlite), folder.path().to_owned());
    let node = Node::start(config.clone()).await;
    let before = enlisted(&node).await;
    node.server.stop().await;
    let node = Node::start(config).await;
    is_as_before(&node, &before).await;
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_node_knows_all_of_it_and_reaches_a_client_by_its_id() {
    let redis = Redis::start().await;
    let one = Node::start(redis.node()).await;
    let two = Node::start(redis.node()).await;
    let mut before = enlisted(&one).await;
    let id = before.reply["sid"].as_str().unwrap().to_owned();
    two.emit(&id, 7).await;
    assert_eq!(orders(&mut before, 7).await, [7]);
    is_as_before(&two, &before).await;
    for node in [one, two] {
        node.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_session_has_nothing_of_an_earlier_one() {
    let node = Node::start(config()).await;
    let before = enlisted(&node).await;
    let mut alice = Raw::connect(&node.server, "alice").await;
    assert_ne!(alice.reply["sid"], before.reply["sid"]);
    let about = alice.call("about", Value::Null).await;
    assert_eq!(about["state"], Value::Null);
    node.emit("staff", 1).await;
    assert!(orders(&mut alice, 1).await.is_empty());
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_named_like_a_connection_receives_none_of_its_events() {
    let node = Node::start(config()).await;
    let mut alice = Raw::connect(&node.server, "alice").await;
    let id = alice.reply["sid"].as_str().unwrap().to_owned();
    let mut mallory = Raw::connect(&node.server, "mallory").await;
    assert_eq!(mallory.call("join", json!(id)).await["ok"], true);
    node.emit(&id, 1).await;
    assert_eq!(orders(&mut alice, 1).await, [1]);
    assert!(orders(&mut mallory, 1).await.is_empty());
    mallory.call("leave", json!(id)).await;
    node.emit(&id, 2).await;
    assert_eq!(orders(&mut alice, 2).await, [2], "nor takes it away");
    node.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_is_an_object_of_bounded_size() {
    let node = Node::start(config()).await;
    let mut alice = Raw::connect(&node.server, "alice").await;
    let fits = json!({ "a": "x".repeat(8 * 1024 - 8) });
    assert_eq!(alice.call("keep", fits.clone()).await["ok"], true);
    for (state, code) in [
        (json!({ "a": "x".repeat(8 * 1024 - 7) }), "too_large"),
        (json!([1]), "bad_request"),
        (json!("{"), "bad_request"),
        (Value::Null, "bad_request"),
    ] {
        assert_eq!(alice.call("keep", state).await["error"]["code"], code);
    }
    assert_eq!(alice.call("about", Value::Null).await["state"], fits);
    node.server.stop().await;
}
