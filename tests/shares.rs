//! One client cannot take what a node has for all: whoever floods it slows itself down, and others do not notice.
//!
//! Clients are told apart by their addresses, so these come from several addresses of this machine.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use support::{DEADLINE, Server, config, eventually};
use switchboard::{
    auth::{TokenClaims, issue},
    config::{Config, Secret},
    model::{Timestamp, UserId},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

const SECRET: &str = "a secret for tests, of 32 bytes or more";
const KEY: &str = "the-key-of-the-tests-back-end";
const HANDSHAKE: &str = "/socket.io/?EIO=4&transport=polling";

/// A client at 127.0.0.`last`.
fn client_at(last: u8) -> reqwest::Client {
    let address = IpAddr::from([127, 0, 0, last]);
    let builder = reqwest::Client::builder().local_address(address);
    builder.build().unwrap()
}

/// A connection from 127.0.0.`last`.
async fn connect(last: u8, server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let address = IpAddr::from([127, 0, 0, last]);
    socket.bind(SocketAddr::new(address, 0)).unwrap();
    socket.connect(server).await.unwrap()
}

/// A configuration that asks for tokens and knows an API key.
fn keyed() -> Config {
    let mut config = config();
    config.auth.hmac_secret = Some(Secret::new(SECRET));
    config.auth.api_keys = vec![Secret::new(KEY)];
    config
}

fn token(user: &str) -> String {
    let claims = TokenClaims::for_user(UserId::parse(user).unwrap());
    issue(SECRET, &claims, Timestamp::now()).unwrap()
}

async fn status(client: &reqwest::Client, url: String, bearer: Option<&str>) -> u16 {
    let mut request = client.get(url);
    if let Some(bearer) = bearer {
        request = request.bearer_auth(bearer);
    }
    request.send().await.unwrap().status().as_u16()
}

/// The statuses of `count` requests, one after another.
async fn statuses(
    client: &reqwest::Client,
    url: &str,
    bearer: Option<&str>,
    count: usize,
) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(status(client, url.to_owned(), bearer).await);
    }
    statuses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_without_tokens_does_not_slow_clients_with_tokens() {
    let mut config = keyed();
    config.limits.connects_per_second = 10;
    config.limits.connects_burst = 20;
    config.limits.connects_wait = Duration::from_millis(100);
    config.limits.auth_failures_per_second = 1;
    config.limits.auth_failures_burst = 30;
    let server = Server::start(config).await;
    let client = client_at(1);
    let flood = statuses(&client, &server.url("/events/lobby"), None, 200).await;
    assert!(flood[..30].iter().all(|status| *status == 401), "{flood:?}");
    assert!(flood[40..].iter().all(|status| *status == 429), "{flood:?}");
    let limited = "switchboard_limited_total{limit=\"auth_failures_per_second\"}";
    assert!(server.metric(limited) >= 150.0);

    // Others at the same address, each with a token of its own, have all that the node allows.
    for number in 0..10 {
        let token = token(&format!("user{number}"));
        let answer = client.get(server.url("/events/lobby")).bearer_auth(token);
        assert_eq!(answer.send().await.unwrap().status(), 200, "{number}");
    }
    assert_eq!(
        server.metric("switchboard_limited_total{limit=\"connects_per_second\"}"),
        0.0
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_of_one_address_leave_others_their_turn() {
    let mut config = config();
    config.limits.connects_per_second = 20;
    config.limits.connects_burst = 40;
    config.limits.connects_wait = Duration::from_secs(60);
    let server = Server::start(config).await;
    let greedy = client_at(1);
    let flood: Vec<_> = (0..400)
        .map(|_| tokio::spawn(greedy.get(server.url(HANDSHAKE)).send()))
        .collect();
    eventually("the flood waits", async || {
        server.metric("switchboard_handshakes") >= 300.0
    })
    .await;
    let other = client_at(2);
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(status(&other, server.url(HANDSHAKE), None).await, 200);
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    }
    flood.iter().for_each(tokio::task::JoinHandle::abort);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_join_no_namespace_leave_places_to_other_addresses() {
    let mut config = config();
    config.limits.handshakes = 32;
    let server = Server::start(config).await;
    let greedy = client_at(1);
    let flood = statuses(&greedy, &server.url(HANDSHAKE), None, 20).await;
    assert_eq!(flood, [vec![200; 16], vec![503; 4]].concat());
    assert_eq!(server.metric("switchboard_handshakes"), 16.0);
    assert_eq!(
        server.metric("switchboard_limited_total{limit=\"handshakes\"}"),
        4.0
    );

    // One that joins a namespace makes room.
    let other = client_at(2);
    let open = other.get(server.url(HANDSHAKE)).send().await.unwrap();
    let open = open.text().await.unwrap();
    let open: Value = serde_json::from_str(&open[1..]).unwrap();
    let session = server.url(&format!(
        "{HANDSHAKE}&sid={}",
        open["sid"].as_str().unwrap()
    ));
    assert_eq!(server.metric("switchboard_handshakes"), 17.0);
    other.post(&session).body("40").send().await.unwrap();
    eventually("it is connected", async || {
        server.metric("switchboard_handshakes") == 16.0
    })
    .await;
    assert_eq!(status(&greedy, server.url(HANDSHAKE), None).await, 503);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_opens_connections_and_says_nothing_closes_its_own() {
    let mut config = config();
    config.limits.idle_connections = 50;
    let server = Server::start(config).await;
    let mut patient = connect(2, server.address).await;
    patient
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: loc")
        .await
        .unwrap();
    let mut greedy = Vec::new();
    for _ in 0..200 {
        let mut stream = connect(1, server.address).await;
        stream.write_all(b"GET /healthz HT").await.unwrap();
        greedy.push(stream);
    }
    let closed = "switchboard_limited_total{limit=\"idle_connections\"}";
    eventually("it has closed the others", async || {
        server.metric(closed) >= 151.0
    })
    .await;
    assert_eq!(server.metric("switchboard_idle_connections"), 50.0);
    // The oldest have gone, the newest are there, and so is the other address.
    let mut rest = Vec::new();
    let closed = greedy[0].read_to_end(&mut rest);
    let _ = tokio::time::timeout(DEADLINE, closed)
        .await
        .expect("it is closed");
    for (stream, rest) in [
        (&mut patient, "alhost\r\nConnection: close\r\n\r\n"),
        (
            greedy.last_mut().unwrap(),
            "TP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ),
    ] {
        stream.write_all(rest.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_with_a_request_are_not_closed_for_others() {
    let mut config = config();
    config.limits.idle_connections = 10;
    let server = Server::start(config).await;
    let mut stream = connect(1, server.address).await;
    let request = b"GET /events/lobby HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
    let mut greedy = Vec::new();
    for _ in 0..50 {
        greedy.push(connect(1, server.address).await);
    }
    eventually("the node keeps as many as it may", async || {
        server.metric("switchboard_limited_total{limit=\"idle_connections\"}") >= 40.0
    })
    .await;
    assert_eq!(server.metric("switchboard_event_streams"), 1.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_of_one_user_leave_others_their_share() {
    let mut config = keyed();
    config.poll.waiters = 32;
    let server = Server::start(config).await;
    let client = client_at(1);
    let start = client.get(server.url("/poll/lobby?wait=0"));
    let start = start.bearer_auth(token("other")).send().await.unwrap();
    let start: Value = serde_json::from_str(&start.text().await.unwrap()).unwrap();
    let since = start["cursor"].as_str().unwrap();
    let poll = |user: &str| {
        let request = client
            .get(server.url(&format!("/poll/lobby?wait=30&since={since}")))
            .bearer_auth(token(user));
        tokio::spawn(request.send())
    };
    let mut waiting: Vec<_> = (0..16).map(|_| poll("greedy")).collect();
    eventually("they wait", async || {
        server.metric("switchboard_polls_waiting") == 16.0
    })
    .await;
    let refused = poll("greedy").await.unwrap().unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    let refused: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(refused["code"], "limit_reached");
    waiting.push(poll("other"));
    eventually("the other waits", async || {
        server.metric("switchboard_polls_waiting") == 17.0
    })
    .await;
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_guessed_are_slowed_by_address_and_the_right_one_passes() {
    let mut config = keyed();
    config.limits.auth_failures_per_second = 1;
    config.limits.auth_failures_burst = 10;
    let server = Server::start(config).await;
    let url = server.url("/v1/rooms");
    let (guesser, other) = (client_at(1), client_at(2));
    let wrong = "a-key-that-somebody-has-guessed";
    let guesses = statuses(&guesser, &url, Some(wrong), 40).await;
    assert!(
        guesses[..10].iter().all(|status| *status == 401),
        "{guesses:?}"
    );
    assert!(
        guesses[20..].iter().all(|status| *status == 429),
        "{guesses:?}"
    );
    let slowed = guesser.get(&url).bearer_auth(wrong).send().await.unwrap();
    assert!(slowed.headers().contains_key("retry-after"));
    let slowed: Value = serde_json::from_str(&slowed.text().await.unwrap()).unwrap();
    assert_eq!(slowed["code"], "rate_limited");
    assert_eq!(status(&other, url.clone(), Some(wrong)).await, 401);
    for client in [&guesser, &other] {
        assert_eq!(status(client, url.clone(), Some(KEY)).await, 200);
        assert_eq!(
            status(client, url.clone(), Some(&token("alice"))).await,
            200
        );
    }
    server.stop().await;
}

/// Keys that tokens are signed with, whose verification is dear, and their public half as PEM.
fn signer() -> (Ed25519KeyPair, String) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let prefix = [
        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
    ];
    let der = [&prefix[..], pair.public_key().as_ref()].concat();
    let pem = BASE64_STANDARD.encode(der);
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----\n");
    (pair, pem)
}

fn signed(pair: &Ed25519KeyPair, user: &str) -> String {
    let part = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let message = format!(
        "{}.{}",
        part(json!({ "alg": "EdDSA" })),
        part(json!({ "sub": user }))
    );
    let signature = BASE64_URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expensive_signatures_are_not_verified_for_an_address_that_always_fails() {
    let (pair, pem) = signer();
    let (forger, _) = signer();
    let mut config = config();
    config.auth.public_key = Some(pem);
    config.limits.auth_failures_per_second = 1;
    config.limits.auth_failures_burst = 5;
    let server = Server::start(config).await;
    let url = server.url("/v1/rooms");
    let (bad, other) = (client_at(1), client_at(2));
    let forged = statuses(&bad, &url, Some(&signed(&forger, "admin")), 20).await;
    assert!(
        forged[..5].iter().all(|status| *status == 401),
        "{forged:?}"
    );
    assert!(
        forged[15..].iter().all(|status| *status == 429),
        "{forged:?}"
    );
    let good = signed(&pair, "alice");
    assert_eq!(status(&bad, url.clone(), Some(&good)).await, 429);
    assert_eq!(status(&other, url.clone(), Some(&good)).await, 200);
    eventually("it is let in again", async || {
        status(&bad, url.clone(), Some(&good)).await == 200
    })
    .await;

    // By CONNECT, too.
    let session = async |client: &reqwest::Client, token: &str| {
        let open = client.get(server.url(HANDSHAKE)).send().await.unwrap();
        let open: Value = serde_json::from_str(&open.text().await.unwrap()[1..]).unwrap();
        let session = server.url(&format!(
            "{HANDSHAKE}&sid={}",
            open["sid"].as_str().unwrap()
        ));
        let connect = format!("40{}", json!({ "token": token }));
        client.post(&session).body(connect).send().await.unwrap();
        client
            .get(&session)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    for _ in 0..6 {
        session(&bad, &signed(&forger, "admin")).await;
    }
    assert!(session(&other, &good).await.starts_with("40{"));
    let held = session(&bad, &good).await;
    assert!(
        held.contains("rate_limited") || held.starts_with("40{"),
        "{held}"
    );
    server.stop().await;
}
