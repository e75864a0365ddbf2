//! Handlers of an embedding application that do not end, and joins that they give up.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use serde_json::{Value, json};
use support::{Raw, Server, config};
use switchboard::{
    App, Data, EventContext, HandlerError, Result, State,
    config::Store,
    hub::{Join, Replay},
    model::RoomName,
};
use tokio::sync::Semaphore;

async fn never(_: EventContext, Data(_): Data<Value>) -> Result<()> {
    std::future::pending().await
}

/// Joins a room, and looks at the answer no further.
async fn join_and_forget(context: EventContext, Data(room): Data<RoomName>) -> Result<()> {
    let replay = Replay::Nothing;
    let join = Join { room, replay };
    drop(context.hub.join(&context.connection, join).await?);
    Ok(())
}

/// Begins to join a room, gives up at once, and says whether that was too late: the connection is a member then.
async fn begin_to_join(context: EventContext, Data(room): Data<RoomName>) -> Result<bool> {
    let replay = Replay::Nothing;
    let join = Join {
        room: room.clone(),
        replay,
    };
    let join = context.hub.join(&context.connection, join);
    assert!(join.now_or_never().is_none(), "a session has to be stored");
    Ok(context.connection.is_in(&room))
}

/// How often a handler was called, and when it may go on.
struct Desk {
    calls: AtomicUsize,
    open: Semaphore,
}

/// Numbers orders; refuses the first of those that are to fail.
async fn order(
    State(desk): State<Arc<Desk>>,
    Data(id): Data<String>,
) -> Result<usize, HandlerError> {
    let number = desk.calls.fetch_add(1, Ordering::Relaxed) + 1;
    desk.open.acquire().await.unwrap().forget();
    match id.as_str() {
        "fails" if number == 1 => Err(HandlerError::new("closed", "nobody is here")),
        _ => Ok(number),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_its_client_sends_again_is_handled_once_and_answered_as_before() {
    let desk = Arc::new(Desk {
        calls: AtomicUsize::new(0),
        open: Semaphore::new(1),
    });
    let mut config = config();
    config.socketio.idempotent = ["order".parse().unwrap()].into();
    let app = App::builder(config)
        .state(desk.clone())
        .event("order", order);
    let server = Server::start_with(app).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let answer = alice.call("order", json!("fails")).await;
    assert_eq!(answer["error"]["code"], "closed");
    let first = alice.ask("order", &json!("fails")).await;
    let again = alice.ask("order", &json!("fails")).await;
    let mut elsewhere = Raw::connect(&server, "alice").await;
    let third = elsewhere.ask("order", &json!("fails")).await;
    desk.open.add_permits(1);
    assert_eq!(alice.ack(first).await, 2, "an error is not kept");
    assert_eq!(alice.ack(again).await, 2);
    assert_eq!(elsewhere.ack(third).await, 2);
    desk.open.add_permits(1);
    assert_eq!(alice.call("order", json!("other")).await, 3);
    assert_eq!(desk.calls.load(Ordering::Relaxed), 3);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_returns_times_out_and_its_connection_stays() {
    let mut config = config();
    config.socketio.handler_timeout = Duration::from_millis(200);
    let server = Server::start_with(App::builder(config).event("never", never)).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let mut bob = Raw::connect(&server, "bob").await;
    for client in [&mut alice, &mut bob] {
        client.call("join", json!("lobby")).await;
    }
    let (never, after) = (
        alice.ask("never", &json!(1)).await,
        alice
            .ask("message", &json!({ "room": "lobby", "data": 1 }))
            .await,
    );
    bob.call("message", json!({ "room": "lobby", "data": 2 }))
        .await;
    assert_eq!(
        alice.event("message").await[1]["data"],
        2,
        "it is given what comes meanwhile"
    );
    let answer = alice.ack(never).await;
    assert_eq!(answer["error"]["code"], "unavailable");
    assert_eq!(alice.ack(after).await["ok"], true);
    alice.send("42[\"never\",1]").await;
    assert_eq!(alice.event("error").await[1]["event"], "never");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_an_application_gives_up_holds_nothing_of_other_rooms() {
    for store in [Store::Memory, Store::Sqlite] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config();
        (config.store, config.data) = (Some(store), folder.path().to_owned());
        let app = App::builder(config)
            .event("join and forget", join_and_forget)
            .event("begin to join", begin_to_join);
        let server = Server::start_with(app).await;
        let mut alice = Raw::connect(&server, "alice").await;
        let mut bob = Raw::connect(&server, "bob").await;
        for room in ["lobby", "den"] {
            bob.call("join", json!(room)).await;
        }
        alice.call("join", json!("lobby")).await;
        assert_eq!(
            alice.call("join and forget", json!("den")).await["ok"],
            true
        );
        let mut rooms = vec!["den", "lobby"];
        if store == Store::Sqlite {
            let answer = alice.call("begin to join", json!("left")).await;
            // The log may have been read before anybody could give up.
            if answer == true {
                rooms.insert(0, "left");
            }
            let answer = alice.call("begin to join", json!("lobby")).await;
            assert_eq!(answer, true, "it was a member before");
        }
        // Only now: a room that somebody has looked at need not be read again.
        bob.call("join", json!("left")).await;
        for room in ["left", "den", "lobby"] {
            bob.call("message", json!({ "room": room, "data": room }))
                .await;
        }
        for room in rooms {
            assert_eq!(alice.event("message").await[1]["data"], room);
        }
        server.stop().await;
    }
}
