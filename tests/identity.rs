//! Who a connection speaks for: how long a token holds, and which web pages may bring one.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use support::{DEADLINE, Raw, Server, config};
use switchboard::{
    App, Data, EventContext,
    auth::{Grants, TokenClaims, issue},
    config::Secret,
    model::{Timestamp, UserId},
};

const SECRET: &str = "a secret of thirty-two bytes, or more";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_refresh_does_not_lengthen_the_grace_time_of_an_expired_token() {
    let mut config = config();
    config.auth.hmac_secret = Some(Secret::new(SECRET));
    config.auth.grace = Duration::from_secs(1);
    let server = Server::start(config).await;
    let mut claims = TokenClaims::for_user(UserId::parse("alice").unwrap());
    claims.ttl = Some(Duration::from_secs(1));
    let token = issue(SECRET, &claims, Timestamp::now()).unwrap();
    let mut alice = Raw::open(&server).await;
    alice
        .send(&format!("40{}", json!({ "token": token })))
        .await;
    alice.event("session").await;
    alice.event("error").await;
    let ended = tokio::time::timeout(DEADLINE, async {
        loop {
            alice
                .send("42[\"refresh\",{\"token\":\"not.a.token\"}]")
                .await;
            // Answers are `error` events; then the transport closes.
            loop {
                let Some(text) = alice.text().await else {
                    return;
                };
                if text.contains("\"event\":\"refresh\"") {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert!(ended.await.is_ok(), "it stays with a token that has ended");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_page_cannot_open_a_session_by_a_request_that_carries_no_origin() {
    let server = Server::start(config()).await;
    // With Engine.IO 3 a handshake alone connects, as whoever the query says.
    let handshake = server.url("/socket.io/?EIO=3&transport=polling&user=alice");
    let port = server.address.port();
    for (name, value) in [
        // A page whose name was pointed at this machine: to itself it is the same origin.
        ("host", format!("rebound.example:{port}")),
        // An image or a script of a page elsewhere.
        ("sec-fetch-site", "cross-site".to_owned()),
        ("sec-fetch-site", "same-site".to_owned()),
    ] {
        let answer = reqwest::Client::new()
            .get(&handshake)
            .header(name, &value)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
    assert_eq!(server.metric("switchboard_sessions"), 0.0);
    for (name, value) in [
        ("host", format!("localhost:{port}")),
        ("sec-fetch-site", "same-origin".to_owned()),
        ("sec-fetch-site", "none".to_owned()),
    ] {
        let answer = reqwest::Client::new()
            .get(&handshake)
            .header(name, &value)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{name}: {value}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_takes_a_socket_out_of_the_rooms_it_lost_and_of_no_other() {
    let mut config = config();
    config.auth.hmac_secret = Some(Secret::new(SECRET));
    let builder = App::builder(config)
        .event(
            "enter",
            async |context: EventContext, Data(room): Data<String>| -> switchboard::Result<()> {
                context.socket.join(room);
                Ok(())
            },
        )
        .event(
            "where",
            async |context: EventContext| -> switchboard::Result<Value> {
                let mut rooms: Vec<String> = context
                    .socket
                    .rooms()
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                rooms.sort();
                Ok(json!({ "rooms": rooms }))
            },
        );
    let server = Server::start_with(builder).await;
    let token = |grants: &str| {
        let mut claims = TokenClaims::for_user(UserId::parse("alice").unwrap());
        claims.rooms = Some(Grants::parse(grants).unwrap());
        issue(SECRET, &claims, Timestamp::now()).unwrap()
    };
    let mut alice = Raw::open(&server).await;
    alice
        .send(&format!("40{}", json!({ "token": token("*=join") })))
        .await;
    let session = alice.event("session").await;
    for room in ["kept", "lost"] {
        alice.call("join", json!(room)).await;
    }
    alice.call("enter", json!("of the application")).await;
    let narrower = token("kept=join");
    alice.call("refresh", json!({ "token": narrower })).await;
    let answer = alice.call("where", json!(null)).await;
    // A socket is in the rooms of its own id and of its user, too.
    let mut rooms = answer["rooms"].as_array().unwrap().clone();
    rooms.retain(|room| *room != session[1]["connection"]);
    let expected = json!(["kept", "of the application", "user:alice"]);
    assert_eq!(json!(rooms), expected);
    server.stop().await;
}
