//! Switchboard inside an application: its own typed events and routes beside the server's, in order with them.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use axum::{
    Router,
    extract::{Path, State},
    routing::post,
};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use support::{Raw, Server, config, eventually};
use switchboard::{
    AckSender, App, Data, Error, EventContext, HandlerError, Result, SocketIo, SocketRef,
    State as AppState, TryData,
    app::AppBuilder,
    auth::Principal,
    hub::{Hub, Publish},
    model::{Namespace, RoomName},
};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Roll {
    room: RoomName,
    sides: u32,
}

async fn roll(context: EventContext, Data(roll): Data<Roll>) -> Result<Value> {
    if roll.sides == 0 {
        return Err(Error::bad_request("a die has at least one side"));
    }
    let publish = Publish::new(roll.room, "rolled", &roll.sides)?;
    context.publish(publish).await?.settled().await?;
    Ok(json!({ "value": roll.sides }))
}

async fn bell(State(hub): State<Hub>, Path(room): Path<RoomName>) -> Result<()> {
    let publish = Publish::new(room, "bell", &"ding")?;
    hub.publish_as(&Namespace::root(), publish, None)
        .await?
        .settled()
        .await
        .map(drop)
}

/// Emits through socketioxide itself, to everybody in a room but whoever asks for it.
async fn shout(context: EventContext, Data(text): Data<String>) -> Result<()> {
    to_others(&context.socket, &text).await;
    Ok(())
}

async fn to_others(socket: &SocketRef, text: &str) {
    socket.to("table").emit("shouted", text).await.unwrap();
}

fn application() -> AppBuilder {
    App::builder(config())
        .event("roll", roll)
        .event("shout", shout)
        .routes(|hub, _io| {
            Router::new()
                .route("/bell/{room}", post(bell))
                .with_state(hub)
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_emits_by_the_socket_and_by_the_handle_of_socketioxide() {
    let app = application().build().await.unwrap();
    let io: SocketIo = app.io().clone();
    let server = Server::run(app).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let mut bob = Raw::connect(&server, "bob").await;
    for player in [&mut alice, &mut bob] {
        player.call("join", json!("table")).await;
    }
    alice.call("shout", json!("hey")).await;
    io.to("table").emit("shouted", "you").await.unwrap();
    // Clients take a string at the end of an event for their offset, so such events end in one.
    let shouted = |text: &str| [json!("shouted"), json!(text), json!("0~")];
    assert_eq!(alice.event("shouted").await, shouted("you"));
    for text in ["hey", "you"] {
        assert_eq!(bob.event("shouted").await, shouted(text));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_events_are_typed_acknowledged_and_in_order() {
    let server = Server::start_with(application()).await;
    let mut player = Raw::connect(&server, "player").await;
    player.call("join", json!("table")).await;
    let message = player
        .ask("message", &json!({ "room": "table", "data": "before" }))
        .await;
    let rolled = player
        .call("roll", json!({ "room": "table", "sides": 6 }))
        .await;
    assert_eq!(rolled, json!({ "ok": true, "value": 6 }));
    player.event("rolled").await;
    let earlier: Vec<_> = player.events.iter().map(|event| &event[0]).collect();
    assert_eq!(earlier, ["message"], "message {message} was sent first");
    for (argument, part) in [
        (json!({ "room": "table" }), "sides"),
        (json!({ "room": "table", "sides": 0 }), "one side"),
    ] {
        let refused = player.call("roll", argument).await;
        assert_eq!(refused["error"]["code"], "bad_request");
        assert!(
            refused["error"]["message"].as_str().unwrap().contains(part),
            "{refused}"
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_of_the_applications_own_sends_through_the_hub() {
    let server = Server::start_with(application()).await;
    let mut member = Raw::connect(&server, "member").await;
    member.call("join", json!("table")).await;
    let answer = reqwest::Client::new()
        .post(server.url("/bell/table"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let bell = member.event("bell").await;
    assert_eq!(
        (&bell[1], &bell[2]["from"], &bell[2]["seq"]),
        (&json!("ding"), &Value::Null, &json!(1))
    );
    let wrong = reqwest::Client::new()
        .post(server.url("/bell/a%20b"))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_handler_count_whether_or_not_it_awaits_them() {
    let server = Server::start(config()).await;
    let send = async |id: &str, ephemeral: bool| {
        let mut publish = Publish::new("table".parse().unwrap(), "bell", &"ding").unwrap();
        publish.id = (!ephemeral).then(|| id.parse().unwrap());
        publish.ephemeral = ephemeral;
        let namespace = Namespace::root();
        server
            .hub
            .publish_as(&namespace, publish, None)
            .await
            .unwrap()
    };
    send("waited-for", false).await.settled().await.unwrap();
    send("waited-for", false).await.settled().await.unwrap();
    drop(send("not-waited-for", false).await);
    send("", true).await;
    for (name, count) in [
        ("messages_total", 2.0),
        ("duplicates_total", 1.0),
        ("ephemeral_events_total", 1.0),
        ("append_seconds_count", 3.0),
    ] {
        eventually(name, async || {
            server.metric(&format!("switchboard_{name}")) == count
        })
        .await;
    }
    // What is listed as moved by an application has to be tried above.
    let moved = switchboard::telemetry::table();
    let moved = moved.lines().filter(|line| line.ends_with("application |"));
    assert_eq!(moved.count(), 4);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_server_ends_its_clients_and_frees_its_port() {
    let server = Server::start(config()).await;
    let address = server.address;
    let mut alice = Raw::connect(&server, "alice").await;
    server.abandon().await;
    while alice.text().await.is_some() {}
    eventually("the port is free", async || {
        TcpListener::bind(address).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn an_event_has_one_owner() {
    let ok = async || ();
    let relay = "roll".parse().unwrap();
    let mut relaying = config();
    relaying.socketio.relay = vec![relay];
    for (builder, expected) in [
        (
            App::builder(config()).event("roll", ok).event("roll", ok),
            "\"roll\" has two handlers in /",
        ),
        (
            App::builder(relaying).event("roll", ok),
            "socketio.relay names it",
        ),
        (
            App::builder(config()).event("disconnect", ok),
            "Socket.IO uses this name itself",
        ),
    ] {
        let error = builder.build().await.err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[derive(Clone)]
struct Prefix(&'static str);

/// Handlers with arguments, acks and errors of any form.
fn handlers() -> AppBuilder {
    App::builder(config())
        .state(Prefix("v"))
        .event("nothing", async || ())
        .event("value", async |Data(number): Data<f64>| {
            Ok::<_, Error>(number)
        })
        .event(
            "typing",
            async |ack: AckSender, Data((a, b)): Data<(Option<String>, Value)>| {
                ack.send(&(b, a, 3))
            },
        )
        .event("silent", async |ack: AckSender| ack.send_empty())
        .event("later", async |ack: AckSender| {
            tokio::spawn(async move { ack.send("late") });
        })
        .event("poor", async || {
            Err::<(), _>(HandlerError::new("too_poor", "not enough").with_data(&5))
        })
        .event("foreign", async || -> Result<(), HandlerError> {
            "no number".parse::<u32>()?;
            Ok(())
        })
        .event("tried", async |TryData(data): TryData<u32>| {
            Ok::<_, Error>(data.is_err())
        })
        .event(
            "who",
            async |AppState(Prefix(prefix)): AppState<Prefix>,
                   principal: Principal,
                   headers: HeaderMap| {
                let has_host = headers.contains_key("host");
                Ok::<_, Error>(format!("{prefix} {} {has_host}", principal.user))
            },
        )
        .event(
            "tell",
            async |context: EventContext,
                   Data((to, text)): Data<(RoomName, String)>|
                   -> Result<()> {
                context.emit("told", &text.len())?;
                context.to(to).emit("told", &(&text, 1)).await?;
                context.to_all().emit("everybody", &1).await
            },
        )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_take_any_arguments_and_their_acks_are_sent_as_they_are() {
    let server = Server::start_with(handlers()).await;
    let mut client = Raw::connect(&server, "client").await;
    for (packet, ack) in [
        (r#"["nothing"]"#, json!([{ "ok": true }])),
        (r#"["nothing",1,null]"#, json!([{ "ok": true }])),
        (r#"["value",1.5]"#, json!([1.5])),
        (
            r#"["typing",null,{"deep":[1]}]"#,
            json!([{ "deep": [1] }, null, 3]),
        ),
        (r#"["silent","x"]"#, json!([])),
        (r#"["later"]"#, json!(["late"])),
        (r#"["tried","x"]"#, json!([true])),
        (r#"["who"]"#, json!(["v client true"])),
        (
            r#"["poor"]"#,
            json!([{ "ok": false, "error": { "code": "too_poor", "message": "not enough", "data": 5 } }]),
        ),
        (
            r#"["foreign"]"#,
            json!([{ "ok": false, "error": { "code": "internal", "message": "the handler of this event failed" } }]),
        ),
    ] {
        assert_eq!(client.ack_of(packet).await, ack, "{packet}");
    }
    let refused = client.ack_of(r#"["value","one"]"#).await;
    assert_eq!(refused[0]["error"]["code"], "bad_request");
    client.send(r#"42["poor"]"#).await;
    let error = client.event("error").await;
    assert_eq!(error[1]["code"], "too_poor");
    assert_eq!(error[1]["event"], "poor");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_emits_in_order_with_its_ack_and_to_rooms_without_its_client() {
    let server = Server::start_with(handlers()).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let mut bob = Raw::connect(&server, "bob").await;
    for client in [&mut alice, &mut bob] {
        client.call("join", json!("table")).await;
    }
    alice.ack_of(r#"["tell","table","hello"]"#).await;
    let told: Vec<_> = alice.events.iter().map(|event| event[0].clone()).collect();
    assert!(told.contains(&json!("told")), "before the ack: {told:?}");
    assert_eq!(alice.event("told").await, [json!("told"), json!(5)]);
    assert_eq!(
        bob.event("told").await,
        [json!("told"), json!("hello"), json!(1)]
    );
    for client in [&mut alice, &mut bob] {
        assert_eq!(
            client.event("everybody").await,
            [json!("everybody"), json!(1)]
        );
    }
    server.stop().await;
}
