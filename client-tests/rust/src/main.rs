//! What rust_socketio's client does against the server; run by ../../rust.test.mjs as `CASE TRANSPORT URL`. A case that fails
//! panics.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    time::{Duration, Instant},
};

use rust_socketio::{ClientBuilder, Event, Payload, TransportType, client::Client};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(15);

/// A client in one namespace, and what it has heard.
struct Peer {
    client: Client,
    heard: Receiver<(String, Payload)>,
    earlier: Vec<(String, Payload)>,
}

impl Peer {
    fn connect(user: &str) -> Self {
        Self::connect_to("/", json!({ "user": user }))
    }

    fn connect_to(namespace: &str, auth: Value) -> Self {
        let (tell, heard) = channel();
        let tell_of = |tell: &Sender<_>, event: &'static str| {
            let tell = tell.clone();
            move |payload, _| tell.send((event.to_owned(), payload)).expect("a listener")
        };
        let client = ClientBuilder::new(argument(3))
            .namespace(namespace)
            .auth(auth)
            .transport_type(match argument(2).as_str() {
                "polling" => TransportType::Polling,
                "websocket" => TransportType::Websocket,
                _ => TransportType::WebsocketUpgrade,
            })
            .reconnect_delay(50, 200)
            .on(Event::Error, tell_of(&tell, "(error)"))
            .on(Event::Close, tell_of(&tell, "(close)"))
            .on_any(move |event, payload, _| {
                let _ = tell.send((event.as_str().to_owned(), payload));
            })
            .connect()
            .expect("a connection");
        Self {
            client,
            heard,
            earlier: Vec::new(),
        }
    }

    /// The next event of that name.
    fn next(&mut self, event: &str) -> Payload {
        if let Some(at) = self.earlier.iter().position(|(name, _)| name == event) {
            return self.earlier.remove(at).1;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(heard) = self.heard.recv_timeout(left) else {
                panic!("{event} did not come, but {:?}", self.earlier);
            };
            if heard.0 == event {
                return heard.1;
            }
            self.earlier.push(heard);
        }
    }

    /// The arguments of the next event of that name.
    fn arguments(&mut self, event: &str) -> Vec<Value> {
        text(self.next(event))
    }

    /// The ack of an event.
    fn ask(&self, event: &str, data: Value) -> Value {
        let (tell, acked) = channel();
        let hear = move |payload, _| tell.send(payload).expect("a listener");
        self.client
            .emit_with_ack(event, data, PATIENCE, hear)
            .expect("sent");
        // A list of all arguments of the ack, in a list.
        let ack = text(acked.recv_timeout(PATIENCE).expect("an ack")).remove(0);
        ack[0].clone()
    }

    /// The ack of an event that has to succeed.
    fn call(&self, event: &str, data: Value) -> Value {
        let ack = self.ask(event, data);
        assert_eq!(ack["ok"], true, "{event}: {ack}");
        ack
    }
}

fn argument(at: usize) -> String {
    std::env::args().nth(at).expect("CASE TRANSPORT URL")
}

fn text(payload: Payload) -> Vec<Value> {
    match payload {
        Payload::Text(values) => values,
        other => panic!("text was expected, not {other:?}"),
    }
}

fn connects() {
    let mut alice = Peer::connect("alice");
    assert_eq!(alice.arguments("session")[0]["user"], "alice");
    alice.call("join", json!("lobby"));
    let hello = json!({ "room": "lobby", "data": { "text": "hello" }, "id": "one" });
    assert_eq!(alice.call("message", hello.clone())["seq"], 1);
    let message = alice.arguments("message");
    assert_eq!(message[0]["data"], json!({ "text": "hello" }));
    assert!(message[1].is_string(), "an offset comes with it");
    assert_eq!(alice.call("message", hello)["duplicate"], true);
    let refused = alice.ask("message", json!({ "room": "elsewhere" }));
    assert_eq!(refused["error"]["code"], "bad_request", "{refused}");
    alice.client.disconnect().expect("an orderly end");
}

fn escapes() {
    let mut peers = ["ålice", "bøb"].map(Peer::connect);
    let (room, event) = ("straße-東京", "größe\"\\/\"🚀");
    for (peer, name) in peers.iter_mut().zip(["ålice", "bøb"]) {
        assert_eq!(peer.arguments("session")[0]["user"], name);
        peer.call("join", json!({ "room": room }));
    }
    let [alice, bob] = &mut peers;
    alice
        .client
        .emit("größe", vec![json!("ü"), json!({ "ключ": "値" })])
        .expect("sent");
    assert_eq!(
        bob.arguments("größe"),
        [json!("ü"), json!({ "ключ": "値" })]
    );
    alice.call(
        "publish",
        json!({ "room": room, "event": event, "data": "🚀\0" }),
    );
    let published = bob.arguments(event);
    assert_eq!(
        (&published[0], &published[1]["room"]),
        (&json!("🚀\0"), &json!(room))
    );
}

fn binary() {
    let mut peers = ["alice", "bob"].map(Peer::connect);
    for peer in &peers {
        peer.call("join", json!("board"));
    }
    // But for the byte that separates the packets of a payload, at which rust_engineio splits frames, too.
    let picture: Vec<u8> = (0..=255).filter(|byte| *byte != 0x1e).collect();
    for _ in 0..2 {
        let [sender, other] = &mut peers;
        sender.client.emit("draw", picture.clone()).expect("sent");
        assert_eq!(other.next("draw"), Payload::from(picture.clone()));
        peers.reverse();
    }
}

fn namespaces() {
    for namespace in ["/", "/chat"] {
        let mut alice = Peer::connect_to(namespace, json!({ "user": "alice" }));
        alice.call("join", json!("lobby"));
        let sent = alice.call("message", json!({ "room": "lobby", "data": namespace }));
        assert_eq!(sent["seq"], 1, "rooms of namespaces are different rooms");
        assert_eq!(alice.arguments("message")[0]["data"], namespace);
    }
}

/// The server is ended and started again behind this client's back, when it says that it is ready.
fn reconnects() {
    let mut alice = Peer::connect("alice");
    alice.next("session");
    let joined = alice.call("join", json!("lobby"));
    let since = json!({ "epoch": joined["epoch"], "seq": joined["seq"] });
    println!("ready");
    alice.next("session");
    let joined = alice.call("join", json!({ "room": "lobby", "since": since }));
    assert_eq!(joined["recovered"], true, "{joined}");
    assert_eq!(
        joined["messages"][0]["data"], "while you were away",
        "{joined}"
    );
    alice.call("message", json!({ "room": "lobby", "data": "back" }));
    // The other one may have come before the connection was lost.
    while alice.arguments("message")[0]["data"] != "back" {}
}

/// The server asks for tokens.
fn refused() {
    let mut alice = Peer::connect_to("/", json!({ "token": "garbage" }));
    let error = format!("{:?}", alice.next("(error)"));
    assert!(error.contains("unauthorized"), "{error}");
}

fn main() {
    match argument(1).as_str() {
        "connects" => connects(),
        "escapes" => escapes(),
        "binary" => binary(),
        "namespaces" => namespaces(),
        "reconnects" => reconnects(),
        "refused" => refused(),
        other => panic!("no case {other}"),
    }
}
