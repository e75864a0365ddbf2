//! Joining: what was missed and what comes live meet without hole or repeat.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::{Raw, Server, config};

const ROUNDS: u64 = 300;

/// Two parts of a front end that both join the same room are a common thing: a second join takes nothing away from
/// the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_joins_again_in_the_middle_of_traffic_misses_nothing() {
    let server = Server::start(config()).await;
    let mut alice = Raw::connect(&server, "alice").await;
    alice.call("join", json!("lobby")).await;
    for round in 1..=ROUNDS {
        for _ in 0..5 {
            alice
                .ask("message", &json!({ "room": "lobby", "data": round }))
                .await;
        }
        let how = match round % 3 {
            0 => json!("lobby"),
            1 => json!({ "room": "lobby", "history": 1 }),
            _ => json!({ "room": "lobby", "history": 100 }),
        };
        let joined = alice.call("join", how).await;
        assert_eq!(joined["ok"], true, "{joined}");
        // Whatever came before the answer or is in it; live events begin after its `seq`.
        let seq = joined["seq"].as_u64().unwrap();
        alice.events.push(vec![json!("joined"), joined]);
        assert!(seq <= round * 5);
    }
    let last = ROUNDS * 5;
    while reached(&alice.events) < last {
        let text = alice.text().await.expect("the connection holds");
        if let Some(event) = text.strip_prefix("42") {
            alice.events.push(serde_json::from_str(event).unwrap());
        }
    }
    let mut seen = 0;
    for event in &alice.events {
        if event[0] == "joined" {
            let messages = event[1]["messages"].as_array().unwrap();
            if let Some(first) = messages.first() {
                let first = first["seq"].as_u64().unwrap();
                assert!(first <= seen + 1, "a hole before {first} after {seen}");
            }
            let head = event[1]["seq"].as_u64().unwrap();
            let given = messages
                .last()
                .map_or(seen, |last| last["seq"].as_u64().unwrap());
            assert_eq!(given.max(seen), head, "the answer says what was given");
            seen = head;
        } else if event[0] == "message" {
            let seq = event[1]["seq"].as_u64().unwrap();
            assert_eq!(seq, seen + 1, "neither hole nor repeat");
            seen = seq;
        }
    }
    server.stop().await;
}

/// The last number among events and answers.
fn reached(events: &[Vec<Value>]) -> u64 {
    events
        .iter()
        .filter_map(|event| event[1]["seq"].as_u64())
        .max()
        .unwrap_or(0)
}
