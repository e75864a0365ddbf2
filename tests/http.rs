//! The HTTP side: who may come in, from which pages, and what operators see.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use http::StatusCode;
use serde_json::{Value, json};
use support::{Raw, Server, config, eventually};
use switchboard::{
    auth::{TokenClaims, issue},
    config::Secret,
    model::{Timestamp, UserId},
};
use tokio_tungstenite::tungstenite::{self, client::IntoClientRequest};

const SECRET: &str = "a secret for tests, of 32 bytes or more";
const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

/// What an upgrade with these headers is answered: `101`, or why not.
async fn upgrade(server: &Server, query: &str, headers: &[(&str, &str)]) -> StatusCode {
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket{query}",
        server.address
    );
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((_, response)) => response.status(),
        Err(tungstenite::Error::Http(response)) => response.status(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_list_of_origins_rules_polling_upgrades_and_cors() {
    let mut config = config();
    config.http.origins = vec!["https://app.example".parse().unwrap()];
    let server = Server::start(config).await;
    let client = reqwest::Client::new();
    let own = server.url("");
    for (origin, allowed) in [
        ("https://app.example", true),
        ("https://evil.example", false),
        (own.as_str(), true),
    ] {
        let answer = client
            .get(server.url(HANDSHAKE))
            .header("origin", origin)
            .send()
            .await
            .unwrap();
        let (status, cors) = (
            answer.status(),
            answer.headers().get("access-control-allow-origin").cloned(),
        );
        assert_eq!(status.is_success(), allowed, "{origin}");
        assert_eq!(cors.is_some_and(|cors| cors == origin), allowed, "{origin}");
        if allowed {
            assert_eq!(
                upgrade(&server, "", &[("origin", origin)]).await,
                101,
                "{origin}"
            );
        } else {
            let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
            assert_eq!(body["code"], "forbidden");
            assert_eq!(
                upgrade(&server, "", &[("origin", origin)]).await,
                403,
                "{origin}"
            );
        }
    }
    let rebound = [
        ("host", "rebound.example"),
        ("origin", "http://rebound.example"),
    ];
    assert_eq!(
        upgrade(&server, "", &rebound).await,
        403,
        "an open server behind a foreign name"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_token_gets_401_before_anything_is_opened() {
    let mut config = config();
    config.auth.hmac_secret = Some(Secret::new(SECRET));
    let server = Server::start(config).await;
    let client = reqwest::Client::new();
    let bad = client
        .get(server.url(HANDSHAKE))
        .bearer_auth("no.good.token")
        .send()
        .await
        .unwrap();
    assert_eq!(bad.status(), 401);
    assert_eq!(bad.headers()["www-authenticate"], "Bearer");
    let body: Value = serde_json::from_str(&bad.text().await.unwrap()).unwrap();
    assert_eq!(body["code"], "unauthorized");
    assert_eq!(upgrade(&server, "&token=no.good.token", &[]).await, 401);
    assert_eq!(server.metric("switchboard_sessions"), 0.0);

    let claims = TokenClaims::for_user(UserId::parse("alice").unwrap());
    let good = issue(SECRET, &claims, Timestamp::now()).unwrap();
    let bearer = format!("Bearer {good}");
    assert_eq!(
        upgrade(&server, "", &[("authorization", &bearer)]).await,
        101
    );
    assert_eq!(upgrade(&server, &format!("&token={good}"), &[]).await, 101);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_life_readiness_and_numbers() {
    let server = Server::start(config()).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            reqwest::get(server.url(path)).await.unwrap().status(),
            200,
            "{path}"
        );
    }
    let mut alice = Raw::connect(&server, "alice").await;
    alice.call("join", json!("lobby")).await;
    alice
        .call("message", json!({ "room": "lobby", "data": 1 }))
        .await;
    alice
        .call(
            "message",
            json!({ "room": "lobby", "data": "x".repeat(70_000) }),
        )
        .await;
    let page = reqwest::get(server.url("/metrics"))
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for line in [
        "switchboard_sessions 1",
        "switchboard_connections 1",
        "switchboard_rooms 2",
        "switchboard_messages_total 1",
        "switchboard_deliveries_total 1",
        "switchboard_limited_total{limit=\"message_bytes\"} 1",
        "switchboard_errors_total{code=\"too_large\"} 1",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "{line} is missing in\n{page}"
        );
    }
    drop(alice);
    eventually("nothing is left", async || {
        ["sessions", "connections", "rooms", "members"]
            .iter()
            .all(|name| server.metric(&format!("switchboard_{name}")) == 0.0)
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draining_node_says_so_refuses_new_clients_and_closes_the_others() {
    let mut config = config();
    config.drain.over = Some(std::time::Duration::from_secs(2));
    let server = Server::start(config).await;
    let mut clients = Vec::new();
    for number in 0..60 {
        clients.push(Raw::connect(&server, &format!("client-{number}")).await);
    }
    let (handshake, ready) = (server.url(HANDSHAKE), server.url("/readyz"));
    let stopping = tokio::spawn(server.stop());
    for client in &mut clients {
        let draining = client.event("draining").await;
        assert!(draining[1]["reconnect_in_ms"].as_u64().unwrap() <= 3_000);
    }
    let refused = reqwest::get(handshake).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(reqwest::get(ready).await.unwrap().status(), 503);
    for client in &mut clients {
        while client.text().await.is_some() {}
    }
    stopping.await.unwrap();
}
