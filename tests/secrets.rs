//! What is secret stays so: no log, error or printed configuration shows it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::process::Command;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::{eventually, process::ServerProcess};
use switchboard::{
    auth::{TokenClaims, issue},
    model::{Timestamp, UserId},
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

/// What the server is configured with.
const SECRET: &str = "SIGNING-SECRET-of-32-bytes-or-more";
const KEY: &str = "BACKEND-KEY-of-20-characters";
const METRICS_KEY: &str = "METRICS-KEY-of-20-characters";
const JWKS: &str = "http://JWKS-USER:JWKS-PASSWORD@127.0.0.1:1/keys?JWKS-QUERY=1";

/// What clients send that is not good.
const WRONG: &str = "WRONG-TOKEN-or-key-that-is-none";
/// What clients send to each other.
const DATA: &str = "DATA-of-a-message";

const FLAGS: [&str; 14] = [
    "--store",
    "memory",
    "--auth-cookie",
    "session",
    "--auth-hmac-secret",
    SECRET,
    "--auth-api-keys",
    KEY,
    "--http-metrics-key",
    METRICS_KEY,
    "--auth-jwks",
    JWKS,
    "--socketio-relay",
    "relayed",
];

fn token(user: &str) -> String {
    let claims = TokenClaims::for_user(UserId::parse(user).unwrap());
    issue(SECRET, &claims, Timestamp::now()).unwrap()
}

/// Sends `bearer` in every way that a token can come, good or not.
async fn send_by_every_way(server: &ServerProcess, bearer: &str) {
    let client = reqwest::Client::new();
    let base = format!("http://{}", server.address);
    let form = |path: &str| match path.contains('?') {
        true => format!("{base}{path}&token={bearer}"),
        false => format!("{base}{path}?token={bearer}"),
    };
    for path in [
        "/poll/lobby?wait=0",
        "/events/lobby",
        "/ws/lobby",
        "/v1/rooms",
        "/metrics",
        "/nowhere",
        "/socket.io/?EIO=4&transport=polling",
        "/socket.io/?EIO=3&transport=polling",
    ] {
        let url = format!("{base}{path}");
        let _ = client.get(&url).bearer_auth(bearer).send().await.unwrap();
        let cookie = format!("session={bearer}");
        let _ = client
            .get(&url)
            .header("cookie", cookie)
            .send()
            .await
            .unwrap();
        let _ = client.get(form(path)).send().await.unwrap();
    }
    let message = json!({ "data": DATA });
    let post = client
        .post(format!("{base}/v1/rooms/lobby/messages"))
        .bearer_auth(bearer);
    let _ = post
        .header("content-type", "application/json")
        .body(message.to_string())
        .send()
        .await
        .unwrap();

    // By CONNECT, over polling and over a WebSocket, and by `refresh`.
    let open = client
        .get(format!("{base}/socket.io/?EIO=4&transport=polling"))
        .send()
        .await
        .unwrap();
    let open: Value = serde_json::from_str(&open.text().await.unwrap()[1..]).unwrap();
    let session = format!(
        "{base}/socket.io/?EIO=4&transport=polling&sid={}",
        open["sid"].as_str().unwrap()
    );
    let connect = format!("40{}", json!({ "token": bearer, "password": DATA }));
    let _ = client
        .post(&session)
        .body(connect.clone())
        .send()
        .await
        .unwrap();
    let _ = client.get(&session).send().await.unwrap();
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        server.address
    );
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let message = json!({ "room": "lobby", "data": DATA });
    for packet in [
        connect,
        "420[\"join\",\"lobby\"]".to_owned(),
        format!("421{}", json!(["message", message])),
        format!("42{}", json!(["relayed", DATA])),
        format!("422{}", json!(["refresh", { "token": bearer }])),
        format!("423{}", json!([DATA, DATA])),
        format!("4{DATA}"),
    ] {
        let _ = socket.send(Message::text(packet)).await;
    }
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() {
            break;
        }
    }
    // Plain WebSocket, with the token as a subprotocol, too.
    let url = format!("ws://{}/ws/lobby?token={bearer}", server.address);
    let mut request = url.into_client_request().unwrap();
    let subprotocol = format!("bearer, {bearer}").parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-protocol", subprotocol);
    if let Ok((mut socket, _)) = tokio_tungstenite::connect_async(request).await {
        for frame in [
            json!({ "type": "text", "room": "lobby", "data": DATA }).to_string(),
            format!("{{{DATA}"),
        ] {
            socket.send(Message::text(frame)).await.unwrap();
        }
        let _ = socket.next().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_talkative_log_has_no_token_key_password_or_data() {
    let flags = [
        &FLAGS[..],
        &["--log-filter", "trace", "--socketio-connect-timeout", "2s"],
    ]
    .concat();
    let server = ServerProcess::start(&[], &flags);
    let good = token("alice");
    for bearer in [good.as_str(), WRONG, KEY, METRICS_KEY] {
        send_by_every_way(&server, bearer).await;
    }
    eventually("the log tells of it", async || {
        server.log().contains("CONNECT refused")
    })
    .await;
    let log = server.log();
    for secret in [
        SECRET,
        KEY,
        METRICS_KEY,
        WRONG,
        DATA,
        "JWKS-USER",
        "JWKS-PASSWORD",
        "JWKS-QUERY",
    ] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
    // A token's signature is what nobody else can make.
    let signature = good.rsplit('.').next().unwrap();
    assert!(!log.contains(signature));
    assert!(log.contains("DEBUG"), "{log}");
}

#[test]
fn the_printed_configuration_has_no_secret_and_says_where_a_url_leads() {
    let redis = "redis://REDIS-USER:REDIS-PASSWORD@redis.example:6379";
    let run = |command: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .args(command)
            .env_clear()
            .output()
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let flags = [&["config"], &FLAGS[2..]].concat();
    let printed = run(&[&flags[..], &["--redis-url", redis]].concat());
    for secret in [
        SECRET,
        KEY,
        "JWKS-USER",
        "JWKS-PASSWORD",
        "JWKS-QUERY",
        METRICS_KEY,
        "REDIS-USER",
        "REDIS-PASSWORD",
    ] {
        assert!(!printed.contains(secret), "{secret} in\n{printed}");
    }
    for line in [
        "# jwks = \"http://***@127.0.0.1:1/keys?***\"",
        "# url = \"redis://***@redis.example:6379\"",
        "# hmac_secret = \"(set)\"",
    ] {
        assert!(printed.contains(line), "{line} is missing in\n{printed}");
    }
    // What is wrong with a URL is said without what it holds of secrets.
    let wrong = run(&[
        "config",
        "--auth-jwks",
        "http://JWKS-USER:JWKS-PASSWORD@:x/?JWKS-QUERY",
    ]);
    assert!(wrong.contains("auth.jwks"), "{wrong}");
    assert!(!wrong.contains("JWKS-"), "{wrong}");
    let away = run(&[
        "--redis-url",
        "redis://REDIS-USER:REDIS-PASSWORD@127.0.0.1:1",
        "--log-filter",
        "trace",
        "--listen",
        "127.0.0.1:0",
    ]);
    assert!(away.contains("Redis cannot be used"), "{away}");
    assert!(!away.contains("REDIS-"), "{away}");
}
