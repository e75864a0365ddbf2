//! What an embedding application is told of its clients, and what it does with them: beginnings and ends, rooms, namespaces, acks of
//! clients.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, routing::post};
use serde::Deserialize;
use serde_json::{Value, json};
use support::{Raw, Server, config, eventually};
use switchboard::{
    Acks, App, Data, DisconnectReason, Error, EventContext, Result, State,
    app::AppBuilder,
    config::Tables,
    hub::{CloseReason, Publish},
    model::{Namespace, RoomKey, RoomName, UserId},
};
use tokio::{net::TcpListener, sync::Notify};

/// What the application was told, in order.
#[derive(Clone, Default)]
struct Story(Arc<Mutex<Vec<String>>>);

impl Story {
    fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn is(&self, expected: &[&str]) {
        eventually(&format!("{expected:?}"), async || self.lines() == expected).await;
    }
}

#[derive(Deserialize)]
struct Auth {
    user: String,
    team: Option<RoomName>,
}

async fn began(story: State<Story>, context: EventContext, Data(auth): Data<Auth>) -> Result<()> {
    let recovered = match context.is_recovered() {
        true => " again",
        false => "",
    };
    let rooms = names(&context.rooms());
    story.0.add(format!("{}{recovered} {rooms}", auth.user));
    if let Some(team) = auth.team {
        context.join(&team).await?;
        context.emit("welcome", &team)?;
    }
    Ok(())
}

async fn ended(story: State<Story>, context: EventContext, reason: DisconnectReason) -> Result<()> {
    let user = &context.principal().user;
    let rooms = names(&context.rooms());
    story.0.add(format!("{user} {reason} {rooms}"));
    for room in context.rooms() {
        let left = context.connections_in(&room).await?.len();
        context.to(room).emit("gone", &(user, left)).await?;
    }
    Ok(())
}

fn names(rooms: &[RoomName]) -> String {
    let names: Vec<_> = rooms.iter().map(RoomName::as_str).collect();
    format!("[{}]", names.join(","))
}

fn application(story: &Story) -> AppBuilder {
    App::builder(config())
        .state(story.clone())
        .on_connect(began)
        .on_disconnect(ended)
}

fn auth(user: &str, team: &str) -> Value {
    json!({ "user": user, "team": team })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_is_told_of_beginnings_with_auth_and_of_ends_with_rooms() {
    let story = Story::default();
    let server = Server::start_with(application(&story)).await;
    let mut alice = Raw::connect_with(&server, &auth("alice", "red")).await;
    assert_eq!(alice.event("welcome").await[1], "red");
    let mut bob = Raw::connect_with(&server, &auth("bob", "red")).await;
    bob.event("welcome").await;
    alice.send("41").await;
    let gone = bob.event("gone").await;
    assert_eq!(gone, [json!("gone"), json!("alice"), json!(1)]);
    bob.end().await;
    story
        .is(&[
            "alice []",
            "bob []",
            "alice client namespace disconnect [red]",
            "bob transport close [red]",
        ])
        .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_auth_does_not_fit_is_told_and_stays() {
    let story = Story::default();
    let server = Server::start_with(application(&story)).await;
    let mut client = Raw::connect_with(&server, &json!({ "user": 7, "team": "red" })).await;
    let error = client.event("error").await;
    assert_eq!(error[1]["event"], "connect");
    assert_eq!(error[1]["code"], "bad_request");
    let joined = client.call("join", json!("lobby")).await;
    assert_eq!(joined["ok"], true);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resumed_session_begins_after_its_old_connection_has_ended_with_its_rooms() {
    let story = Story::default();
    let server = Server::start_with(application(&story)).await;
    let mut first = Raw::connect_with(&server, &auth("alice", "red")).await;
    first.event("welcome").await;
    let mut resume = json!({ "user": "alice" });
    resume["pid"] = first.reply["pid"].clone();
    // The first connection still lives, and is taken over.
    let second = Raw::connect_with(&server, &resume).await;
    assert_eq!(second.reply["sid"], first.reply["sid"]);
    story
        .is(&["alice []", "alice replaced []", "alice again [red]"])
        .await;
    drop(second);
    eventually("the second has ended", async || story.lines().len() == 4).await;
    let _third = Raw::connect_with(&server, &resume).await;
    eventually("the third has begun", async || story.lines().len() == 5).await;
    assert_eq!(story.lines()[4], "alice again [red]");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_the_application_disconnects_is_told_why() {
    let story = Story::default();
    let application = application(&story).event("leave me", async |context: EventContext| {
        context.disconnect();
    });
    let server = Server::start_with(application).await;
    let mut alice = Raw::connect_with(&server, &auth("alice", "red")).await;
    alice.send(r#"42["leave me"]"#).await;
    story
        .is(&["alice []", "alice server namespace disconnect [red]"])
        .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_handler_does_the_end_of_its_client_ends_the_membership() {
    let mut config = config();
    config.socketio.handler_timeout = Duration::from_millis(300);
    let app = App::builder(config)
        .event("hang", async || pending::<()>().await)
        .event("panic", async || -> Result<()> {
            panic!("a bug of the application")
        })
        .event("panic at once", || -> std::future::Ready<()> {
            panic!("a bug before the first await")
        })
        .on_disconnect(async |reason: DisconnectReason| -> Result<()> {
            assert_eq!(reason, DisconnectReason::Client);
            panic!("a bug at the end");
        });
    let server = Server::start_with(app).await;
    let mut bob = Raw::connect(&server, "bob").await;
    let mut alice = Raw::connect(&server, "alice").await;
    bob.call("join", json!("table")).await;
    alice.call("join", json!("table")).await;
    for event in ["panic", "panic at once"] {
        let failed = alice.call(event, json!(1)).await;
        assert_eq!(failed["error"]["code"], "internal", "{event}");
    }
    let late = alice.call("hang", json!(1)).await;
    assert_eq!(late["error"]["code"], "unavailable");
    // One hangs when she goes and many are queued: all of them together have the time of one.
    let hangs = vec![r#"42["hang"]"#; 200];
    alice.send_together(&hangs).await;
    alice.send("41").await;
    let room = RoomKey {
        namespace: Namespace::root(),
        room: "table".parse().unwrap(),
    };
    eventually("alice is no member", async || {
        server.hub.connections_in(&room).await.unwrap().len() == 1
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_of_the_hub_and_of_socketioxide_are_the_same_whoever_changes_them() {
    let app = App::builder(config())
        .event(
            "enter",
            async |context: EventContext, Data(room): Data<RoomName>| context.join(&room).await,
        )
        .event(
            "exit",
            async |context: EventContext, Data(room): Data<RoomName>| context.leave(&room).await,
        )
        .build()
        .await
        .unwrap();
    let io = app.io().clone();
    let server = Server::run(app).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let table = RoomKey {
        namespace: Namespace::root(),
        room: "table".parse().unwrap(),
    };
    let user = UserId::parse("alice").unwrap();
    let mut round = 0;
    for (enter, exit) in [(0, 0), (1, 1), (0, 1), (1, 0), (2, 0), (2, 2)] {
        match enter {
            0 => drop(alice.call("enter", json!("table")).await),
            1 => assert_eq!(server.hub.admit_user(&table, &user).await.unwrap(), 1),
            _ => drop(alice.call("join", json!("table")).await),
        }
        round += 1;
        io.to("table").emit("news", &round).await.unwrap();
        assert_eq!(alice.event("news").await[1], round);
        match exit {
            0 => drop(alice.call("exit", json!("table")).await),
            1 => assert_eq!(server.hub.remove_user(&table, &user).await.unwrap(), 1),
            _ => drop(alice.call("leave", json!("table")).await),
        }
        io.to("table").emit("news", "leaked").await.unwrap();
        io.to(alice.reply["sid"].as_str().unwrap().to_owned())
            .emit("fence", &round)
            .await
            .unwrap();
        alice.event("fence").await;
        let leaked = alice.events.iter().find(|event| event[0] == "news");
        assert_eq!(leaked, None, "entered {enter}, exited {exit}");
    }
    server.stop().await;
}

async fn ask(context: EventContext, Data(room): Data<RoomName>) -> Result<Value> {
    let within = Duration::from_millis(500);
    let one: i64 = context.emit_with_ack("double", &4, within).await?;
    let others: Acks<i64> = context
        .to(room.clone())
        .timeout(within)
        .emit_with_ack("double", &5)
        .await?;
    let me: Acks<i64> = context
        .to_connection(context.id())
        .timeout(within)
        .emit_with_ack("double", &6)
        .await?;
    let nobody: Acks<i64> = context
        .to(room.clone())
        .except(room)
        .timeout(within)
        .emit_with_ack("double", &7)
        .await?;
    let bob = UserId::parse("bob")?;
    let user: Acks<i64> = context
        .to_user(&bob)
        .timeout(within)
        .emit_with_ack("double", &8)
        .await?;
    let not_bob: Acks<i64> = context
        .to_all()
        .except_user(&bob)
        .timeout(within)
        .emit_with_ack("double", &9)
        .await?;
    Ok(json!([
        one,
        others.received,
        others.missing,
        me.received,
        nobody.received,
        user.received,
        not_bob.received
    ]))
}

/// Replies to `double` until its own question is acknowledged.
async fn doubling(client: &mut Raw, question: &str) -> Value {
    client.send(&format!("421{question}")).await;
    loop {
        let text = client.text().await.unwrap();
        if let Some(ack) = text.strip_prefix("431") {
            return serde_json::from_str(ack).unwrap();
        }
        answer_double(client, &text).await;
    }
}

async fn answer_double(client: &mut Raw, text: &str) {
    let Some(event) = text.strip_prefix("42") else {
        return;
    };
    let Some((id, array)) = event.split_once('[') else {
        return;
    };
    let Some(number) = array.strip_prefix(r#""double","#) else {
        return;
    };
    let number: i64 = number.trim_end_matches(']').parse().unwrap();
    client.send(&format!("43{id}[{}]", number * 2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_asks_its_client_and_others_and_has_their_acks() {
    let server = Server::start_with(App::builder(config()).event("ask", ask)).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let mut bob = Raw::connect(&server, "bob").await;
    let mut mute = Raw::connect(&server, "mute").await;
    for client in [&mut alice, &mut bob, &mut mute] {
        client.call("join", json!("table")).await;
    }
    let answering = tokio::spawn(async move {
        while let Some(text) = bob.text().await {
            answer_double(&mut bob, &text).await;
        }
    });
    let asked = doubling(&mut alice, r#"["ask","table"]"#).await;
    assert_eq!(asked, json!([[8, [10], 1, [12], [], [16], [18]]]));
    // Whoever does not acknowledge is an error for the caller alone.
    let refused = mute.call("ask", json!("table")).await;
    assert_eq!(refused["error"]["code"], "unavailable");
    server.stop().await;
    answering.await.unwrap();
}

/// A client of a namespace, after its CONNECT.
async fn in_namespace(server: &Server, namespace: &str) -> Raw {
    let mut client = Raw::open(server).await;
    client
        .send(&format!(r#"40{namespace},{{"user":"alice"}}"#))
        .await;
    let reply = client.text().await.unwrap();
    assert!(reply.starts_with(&format!("40{namespace},{{")), "{reply}");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_has_its_own_handlers_and_the_contract_only_if_wanted() {
    let app = App::builder(config())
        .event("where", async || Ok::<_, Error>("outside"))
        .namespace("/game", |game| {
            game.without_contract()
                .event("where", async || Ok::<_, Error>("game"))
                .event("join", async |Data((a, b)): Data<(u32, u32)>| {
                    Ok::<_, Error>(a + b)
                })
                .on_connect(async |context: EventContext| context.emit("hello", &1))
        })
        .namespace("/chat", |chat| chat.event("own", async || ()));
    let server = Server::start_with(app).await;
    let mut game = in_namespace(&server, "/game").await;
    // No session event: the contract is off.
    assert_eq!(game.text().await.unwrap(), r#"42/game,["hello",1]"#);
    for (packet, reply) in [
        (r#"42/game,0["where"]"#, r#"43/game,0["game"]"#),
        (r#"42/game,1["join",2,3]"#, r"43/game,1[5]"),
    ] {
        game.send(packet).await;
        assert_eq!(game.text().await.unwrap(), reply);
    }
    game.send(r#"42/game,2["message",{"room":"a","data":1}]"#)
        .await;
    assert!(game.text().await.unwrap().contains("not_found"));
    let mut root = Raw::connect(&server, "bob").await;
    assert_eq!(root.call("where", json!(1)).await, json!("outside"));
    let mut chat = in_namespace(&server, "/chat").await;
    assert!(chat.text().await.unwrap().contains("session"));
    chat.send(r#"42/chat,0["where"]"#).await;
    assert!(chat.text().await.unwrap().contains("not_found"));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_built_is_refused_with_a_sentence() {
    let ok = async || ();
    let twice = |app: AppBuilder| app.namespace("/a", |a| a);
    let cases = [
        (
            App::builder(config()).on_connect(ok).on_connect(ok),
            "on_connect has two handlers in /",
        ),
        (
            App::builder(config()).namespace("/a", |a| a.event("x", ok).event("x", ok)),
            "\"x\" has two handlers in /a",
        ),
        (
            App::builder(config()).namespace("game", |game| game),
            "\"game\" is no namespace",
        ),
        (
            twice(twice(App::builder(config()))),
            "the namespace /a is built twice",
        ),
    ];
    for (builder, expected) in cases {
        let error = builder.build().await.err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let reason = DisconnectReason::Server(CloseReason::Slow);
    assert_eq!(reason.to_string(), "slow");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_drains_waits_for_what_the_application_does_at_the_end_of_its_clients() {
    let story = Story::default();
    let release = Arc::<Notify>::default();
    let slowly = async |State(story): State<Story>,
                        State(release): State<Arc<Notify>>,
                        reason: DisconnectReason| {
        story.add("begun");
        release.notified().await;
        story.add(reason.as_str());
    };
    let app = App::builder(config())
        .state(story.clone())
        .state(release.clone())
        .on_disconnect(slowly);
    let server = Server::start_with(app).await;
    let _alice = Raw::connect(&server, "alice").await;
    let hub = server.hub.clone();
    let mut stopping = tokio::spawn(server.stop());
    story.is(&["begun"]).await;
    // Without it, the drain would end within milliseconds.
    let early = tokio::time::timeout(Duration::from_millis(200), &mut stopping);
    assert!(early.await.is_err() && hub.has_no_connections());
    release.notify_one();
    stopping.await.unwrap();
    assert_eq!(story.lines(), ["begun", "draining"]);
}

#[tokio::test]
async fn a_new_hook_is_told_of_what_the_application_does_before_the_server_runs() {
    let story = Story::default();
    let told = story.clone();
    let back = Router::new().route("/", post(async move |body: String| told.add(body)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let _back = tokio::spawn(async { axum::serve(listener, back).await });
    let mut config = config();
    let hook = json!([{ "url": url, "events": ["message"] }]);
    config.hooks.notify = Tables::from_json(&hook.to_string()).unwrap();
    let app = App::builder(config).build().await.unwrap();
    let message = Publish::new(RoomName::parse("lobby").unwrap(), "message", &"first").unwrap();
    let root = Namespace::root();
    let sent = app.hub().publish_as(&root, message, None).await.unwrap();
    sent.settled().await.unwrap();
    let server = Server::run(app).await;
    eventually("it is told", async || {
        story
            .lines()
            .iter()
            .any(|batch| batch.contains("\"first\""))
    })
    .await;
    server.stop().await;
}
