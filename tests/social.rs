//! What users are shown of each other, whatever happens around it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use serde_json::{Value, json, value::RawValue};
use support::{Raw, Server, config, eventually};
use switchboard::{
    auth::{TokenClaims, issue},
    config::Secret,
    hub::Publish,
    model::{Namespace, RoomName, Timestamp, UserId},
};

const SECRET: &str = "a secret of thirty-two bytes, or more";

fn alice() -> UserId {
    UserId::parse("alice").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_knows_of_a_user_where_it_is_and_when_it_was_last_here() {
    let server = Server::start(config()).await;
    let nobody = server.hub.user(&alice()).await.unwrap();
    assert!(!nobody.online && nobody.last_seen.is_none() && nobody.status.is_none());
    let before = Timestamp::now();
    let mut phone = Raw::connect(&server, "alice").await;
    let mut laptop = Raw::connect(&server, "alice").await;
    phone.call("join", json!("lobby")).await;
    laptop.call("join", json!("lobby")).await;
    laptop.call("join", json!("den")).await;
    phone.call("status", json!({ "status": "busy" })).await;
    let here = server.hub.user(&alice()).await.unwrap();
    let mut rooms: Vec<_> = here.rooms.iter().map(RoomName::as_str).collect();
    rooms.sort_unstable();
    assert_eq!(rooms, ["den", "lobby", "user:alice"]);
    assert!(here.online);
    assert_eq!(
        (here.connections, here.status.as_deref()),
        (2, Some("busy"))
    );
    drop((phone, laptop));
    eventually("alice has gone", async || {
        !server.hub.user(&alice()).await.unwrap().online
    })
    .await;
    let gone = server.hub.user(&alice()).await.unwrap();
    assert_eq!((gone.connections, gone.rooms.len()), (0, 0));
    assert_eq!(gone.status, None);
    assert!(gone.last_seen.unwrap() >= before);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_user_is_away_until_the_next_event() {
    let mut config = config();
    config.presence.away_after = Some(Duration::from_millis(200));
    let server = Server::start(config).await;
    let mut alice = Raw::connect(&server, "alice").await;
    alice.call("join", json!("lobby")).await;
    let away = alice.event("presence").await;
    assert_eq!(away[1]["event"], "update");
    assert_eq!(
        (&away[1]["user"], &away[1]["status"]),
        (&json!("alice"), &json!("away"))
    );
    alice.call("presence", json!("lobby")).await;
    let back = alice.event("presence").await;
    assert_eq!(
        (&back[1]["event"], &back[1]["status"]),
        (&json!("update"), &json!("online"))
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_user_finds_the_notifications_of_the_application() {
    let server = Server::start(config()).await;
    let mut first = Raw::connect(&server, "alice").await;
    let joined = first.call("join", json!("user:alice")).await;
    let since = format!("{}:{}", joined["epoch"].as_str().unwrap(), joined["seq"]);
    drop(first);
    eventually("alice has gone", async || {
        !server.hub.user(&alice()).await.unwrap().online
    })
    .await;
    let namespace = Namespace::root();
    for data in ["one", "two"] {
        let publish = Publish::notification(&alice(), &data).unwrap();
        let publishing = server.hub.publish_as(&namespace, publish, None);
        publishing.await.unwrap().settled().await.unwrap();
    }
    let mut second = Raw::connect(&server, "alice").await;
    let joined = second
        .call("join", json!({ "room": "user:alice", "since": since }))
        .await;
    assert_eq!(
        (&joined["recovered"], &joined["unread"]),
        (&json!(true), &json!(2))
    );
    let found: Vec<_> = joined["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| (&message["event"], &message["data"], &message["from"]))
        .collect();
    let notification = json!("notification");
    let (one, two) = (json!("one"), json!("two"));
    assert_eq!(
        found,
        [
            (&notification, &one, &Value::Null),
            (&notification, &two, &Value::Null)
        ]
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_set_by_two_tabs_at_once_end_the_same_in_every_room() {
    const ROOMS: usize = 100;
    let server = Server::start(config()).await;
    let mut one = Raw::connect(&server, "alice").await;
    let mut other = Raw::connect(&server, "alice").await;
    for room in 0..ROOMS {
        one.call("join", json!(format!("room-{room}"))).await;
    }
    for round in 0..100 {
        let (first, second) = (
            one.ask("status", &json!({ "status": format!("a{round}") }))
                .await,
            other
                .ask("status", &json!({ "status": format!("b{round}") }))
                .await,
        );
        one.ack(first).await;
        other.ack(second).await;
        let status = server.hub.user(&alice()).await.unwrap().status.unwrap();
        for room in 0..ROOMS {
            let page = one.call("presence", json!(format!("room-{room}"))).await;
            let shown = page["users"][0]["status"].as_str().unwrap();
            assert_eq!(shown, &*status, "round {round}, room {room}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_and_an_info_of_a_new_token_are_shown_in_every_room() {
    let mut config = config();
    config.auth.hmac_secret = Some(Secret::new(SECRET));
    let server = Server::start(config).await;
    let token = |user: &str, name: &str| {
        let mut claims = TokenClaims::for_user(UserId::parse(user).unwrap());
        claims.ttl = Some(Duration::from_secs(60));
        claims.name = Some(name.into());
        let info = json!({ "title": name }).to_string();
        claims.info = Some(RawValue::from_string(info).unwrap().into());
        issue(SECRET, &claims, Timestamp::now()).unwrap()
    };
    let mut clients = Vec::new();
    for (user, name) in [("alice", "Alice"), ("bob", "Bob")] {
        let mut client = Raw::open(&server).await;
        let connect = format!("40{}", json!({ "token": token(user, name) }));
        client.send(&connect).await;
        client.event("session").await;
        client.call("join", json!("lobby")).await;
        clients.push(client);
    }
    let [alice, bob] = &mut clients[..] else {
        unreachable!()
    };
    let refreshed = alice
        .call("refresh", json!({ "token": token("alice", "Dr Alice") }))
        .await;
    assert_eq!(refreshed["ok"], true, "{refreshed}");
    let page = bob.call("presence", json!("lobby")).await;
    assert_eq!(page["users"][0]["name"], "Dr Alice", "{page}");
    assert_eq!(page["users"][0]["info"]["title"], "Dr Alice", "{page}");
    let update = bob.event("presence").await;
    assert_eq!(
        (&update[1]["event"], &update[1]["name"]),
        (&json!("update"), &json!("Dr Alice"))
    );
    server.stop().await;
}

/// A page that is closed marks what was read and goes, often in one packet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_sent_right_before_a_disconnect_count() {
    let server = Server::start(config()).await;
    for round in 1..=50 {
        let mut alice = Raw::connect(&server, "alice").await;
        alice.call("join", json!("lobby")).await;
        alice
            .call("message", json!({ "room": "lobby", "data": round }))
            .await;
        let read = format!("42[\"read\",{{\"room\":\"lobby\",\"seq\":{round}}}]");
        alice
            .send_together(&[&read, "42[\"status\",{\"status\":\"busy\"}]", "41"])
            .await;
        eventually("alice has gone", async || {
            server.metric("switchboard_connections") == 0.0
        })
        .await;
        let mut again = Raw::connect(&server, "alice").await;
        let joined = again.call("join", json!("lobby")).await;
        assert_eq!(joined["unread"], 0, "round {round}: {joined}");
        assert_eq!(
            joined["members"]["users"][0]["status"], "busy",
            "round {round}"
        );
        drop(again);
        eventually("alice has gone", async || {
            server.metric("switchboard_connections") == 0.0
        })
        .await;
    }
    server.stop().await;
}

/// Of every message that thousands read, each of them would be told thousands of times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_crowded_room_only_the_readers_own_connections_receive_read() {
    let mut config = config();
    config.presence.room_users = 1;
    let server = Server::start(config).await;
    let mut phone = Raw::connect(&server, "alice").await;
    let mut laptop = Raw::connect(&server, "alice").await;
    let mut bob = Raw::connect(&server, "bob").await;
    for client in [&mut phone, &mut laptop, &mut bob] {
        client.call("join", json!("lobby")).await;
    }
    phone
        .call("message", json!({ "room": "lobby", "data": 1 }))
        .await;
    let read = phone
        .call("read", json!({ "room": "lobby", "seq": 1 }))
        .await;
    assert_eq!(read["ok"], true, "{read}");
    assert_eq!(laptop.event("read").await[1]["seq"], 1);
    bob.call("presence", json!("lobby")).await;
    let told: Vec<_> = bob.events.iter().map(|event| &event[0]).collect();
    assert_eq!(told, ["message"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_to_an_ended_connection_holds_no_permit() {
    let mut config = config();
    config.limits.connections_per_user = 1;
    let server = Server::start(config).await;
    let mut bob = Raw::connect(&server, "bob").await;
    let mut alice = Raw::connect(&server, "alice").await;
    bob.call("join", json!("lobby")).await;
    alice.call("join", json!("lobby")).await;
    let signal =
        json!({ "to": { "user": "alice" }, "event": "ring", "data": 1, "timeout_ms": 30_000 });
    bob.ask("signal", &signal).await;
    while !alice.text().await.unwrap().contains("\"signal\"") {}
    drop(alice);
    eventually("alice has gone", async || {
        server.metric("switchboard_connections") == 1.0
    })
    .await;
    eventually("alice is let in again", async || {
        let mut again = Raw::open(&server).await;
        again.send("40{\"user\":\"alice\"}").await;
        again.text().await.unwrap().starts_with("40")
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_typing_and_queue_gauges_go_up_and_down() {
    let mut config = config();
    config.presence.grace = Duration::from_millis(50);
    config.typing.room_users = 1;
    let server = Server::start(config).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let mut bob = Raw::connect(&server, "bob").await;
    for client in [&mut alice, &mut bob] {
        client.call("join", json!("lobby")).await;
        client.call("typing_start", json!("lobby")).await;
    }
    // Whoever types already only goes on: nothing is refused.
    alice.call("typing_start", json!("lobby")).await;
    let waiting =
        json!({ "to": { "user": "bob" }, "event": "call", "data": 1, "timeout_ms": 30_000 });
    alice.ask("signal", &waiting).await;
    bob.event("signal").await;
    let large = json!({ "status": "busy", "info": { "text": "x".repeat(2000) } });
    assert_eq!(alice.call("status", large).await["ok"], false);
    for (name, value) in [
        ("present_users", 2.0),
        ("typing_users", 1.0),
        ("signals_waiting", 1.0),
        ("limited_total{limit=\"typing_room_users\"}", 1.0),
        ("limited_total{limit=\"info_bytes\"}", 1.0),
    ] {
        assert_eq!(
            server.metric(&format!("switchboard_{name}")),
            value,
            "{name}"
        );
    }
    drop((alice, bob));
    eventually("nothing is left", async || {
        ["present_users", "typing_users", "signals_waiting", "rooms"]
            .iter()
            .all(|name| server.metric(&format!("switchboard_{name}")) == 0.0)
    })
    .await;
    server.stop().await;
}
