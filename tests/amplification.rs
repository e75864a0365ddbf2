//! What a client sends does not grow on its way, whoever answers it and however it names what it sent.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::{Raw, Server, config, eventually};
use switchboard::config::{ByteSize, Config};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

const ANSWER: usize = 60_000;

/// Connections of a user that answer every signal with so many bytes.
async fn answering(server: &Server, user: &str, connections: usize) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let mut client = Raw::connect(server, user).await;
        let answer = format!("[\"{}\"]", "x".repeat(ANSWER - 2));
        tasks.push(tokio::spawn(async move {
            while let Some(text) = client.text().await {
                if let Some((head, _)) = text.split_once("[\"signal\"") {
                    let id = head.strip_prefix("42").unwrap();
                    client.send(&format!("43{id}{answer}")).await;
                }
            }
        }));
    }
    tasks
}

fn signal() -> Value {
    json!({ "to": { "user": "alice" }, "event": "e", "data": 1, "timeout_ms": 20_000 })
}

fn bounded() -> Config {
    let mut config = config();
    config.limits.signal_bytes = ByteSize::new(150_000);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_beyond_the_byte_limit_count_as_missing() {
    let server = Server::start(bounded()).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let others = answering(&server, "alice", 5).await;
    for round in 1..=3 {
        let answered = alice.call("signal", signal()).await;
        assert_eq!(
            answered["replies"].as_array().unwrap().len(),
            2,
            "{answered}"
        );
        assert_eq!(answered["missing"], 3);
        let limited = server.metric("switchboard_limited_total{limit=\"signal_bytes\"}");
        assert_eq!(limited, f64::from(3 * round));
    }
    others.iter().for_each(JoinHandle::abort);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_reads_slowly_is_not_closed_for_replies_of_others() {
    let mut config = bounded();
    config.limits.outbox_bytes = ByteSize::new(300_000);
    let server = Server::start(config).await;
    let mut alice = Raw::connect(&server, "alice").await;
    let others = answering(&server, "alice", 5).await;
    let mut missing = 0;
    // In rounds: a client that takes nothing for five seconds is closed, and a busy machine needs that long for all of them.
    for round in 1..=3 {
        for _ in 0..30 {
            alice.ask("signal", &signal()).await;
        }
        eventually("nearly all have answered", async || {
            server.metric("switchboard_limited_total{limit=\"signal_bytes\"}")
                > 80.0 * f64::from(round)
        })
        .await;
        let mut answered = 0;
        while answered < 30 {
            let text = alice.text().await.expect("the connection holds");
            let Some((_, ack)) = text.strip_prefix("43").and_then(|ack| ack.split_once('[')) else {
                continue;
            };
            let answer: Value = serde_json::from_str(ack.strip_suffix(']').unwrap()).unwrap();
            assert_eq!(answer["ok"], true, "{answer}");
            answered += 1;
            missing += answer["missing"].as_u64().unwrap();
        }
    }
    assert!(missing > 250, "{missing}");
    assert_eq!(server.metric("switchboard_signals_waiting"), 0.0);
    assert_eq!(alice.call("join", json!("lobby")).await["ok"], true);
    others.iter().for_each(JoinHandle::abort);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relayed_event_names_each_of_its_attachments_once_or_is_refused() {
    let mut config = config();
    config.socketio.relay = vec!["draw".parse().unwrap()];
    let server = Server::start(config).await;
    let mut mallory = Raw::connect(&server, "mallory").await;
    let mut bob = Raw::connect(&server, "bob").await;
    for client in [&mut mallory, &mut bob] {
        client.call("join", json!("lobby")).await;
    }
    let attachment = Message::binary(vec![1; 1_000]);
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    for arguments in [
        vec![placeholder; 1_000].join(","),
        r#"{"_placeholder":true,"num":1}"#.to_owned(),
        r#"{"_placeholder":true,"num":0,"more":1},{"_placeholder":true}"#.to_owned(),
    ] {
        mallory.send(&format!("451-[\"draw\",{arguments}]")).await;
        mallory.try_send(attachment.clone()).await;
        let error = mallory.event("error").await;
        assert_eq!(error[1]["code"], "bad_request", "{error:?}");
    }
    mallory
        .send(&format!("451-[\"draw\",{placeholder},2]"))
        .await;
    mallory.try_send(attachment).await;
    let relayed = bob.text().await.unwrap();
    assert_eq!(relayed, format!("451-[\"draw\",{placeholder},2]"));
    server.stop().await;
}
