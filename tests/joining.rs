//! Joining: what was missed and what comes live meet without hole or repeat.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::{Value, json};
use support::{
    Raw, Server, config,
    rest::{ApiClient, KEY},
};
use switchboard::config::Secret;

const ROUNDS: u64 = 300;

/// A server where a user may join 5 rooms at once, and then 1 a second.
async fn slow_server() -> Server {
    let mut config = config();
    (config.limits.joins_per_second, config.limits.joins_burst) = (1, 5);
    config.limits.backpressure = std::time::Duration::ZERO;
    config.auth.api_keys = vec![Secret::new(KEY)];
    Server::start(config).await
}

/// One at which a user over all its connections, and not each of them, may join little.
async fn server_of_slow_users() -> Server {
    let mut config = config();
    (
        config.limits.user_joins_per_second,
        config.limits.user_joins_burst,
    ) = (1, 5);
    config.limits.backpressure = std::time::Duration::ZERO;
    Server::start(config).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_a_room_costs_what_joining_it_would_by_every_transport() {
    let server = slow_server().await;
    let (anybody, back_end) = (
        ApiClient::new(&server, None),
        ApiClient::new(&server, Some(KEY)),
    );
    let paths: [fn(usize) -> String; 5] = [
        |nth| format!("/v1/rooms/r{nth}"),
        |nth| format!("/v1/rooms/r{nth}/messages"),
        |nth| format!("/v1/rooms/r{nth}/presence"),
        |nth| format!("/poll/r{nth}?wait=0"),
        |nth| format!("/poll/r{nth}?wait=0&since=made:0"),
    ];
    for (which, path) in paths.iter().enumerate() {
        let user = |path: &str| match path.contains('?') {
            true => format!("{path}&user=reader-{which}"),
            false => format!("{path}?user=reader-{which}"),
        };
        for nth in 0..5 {
            anybody.get(&user(&path(nth))).await.is(200);
        }
        let mut answer = anybody.get(&user(&path(5))).await;
        if path(5).contains("since") {
            // A place that is none of the room's is found out, and charged, once it is looked for.
            answer = anybody.get(&user(&path(6))).await;
        }
        let refused = answer.is(429);
        assert_eq!(refused["code"], "rate_limited");
        assert!(
            refused["message"]
                .as_str()
                .unwrap()
                .contains("joins_per_second"),
            "{refused}"
        );
    }
    for nth in 0..20 {
        back_end.get(&format!("/v1/rooms/r{nth}")).await.is(200);
    }
    let mut raw = Raw::connect(&server, "connected").await;
    for nth in 0..5 {
        let read = raw.call("history", json!({ "room": format!("r{nth}") }));
        assert_eq!(read.await["ok"], true);
    }
    let refused = raw.call("join", json!("another")).await;
    assert_eq!(refused["error"]["code"], "rate_limited", "{refused}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_pays_for_each_of_its_rooms_and_one_of_as_many_as_a_burst_begins_at_once() {
    let server = server_of_slow_users().await;
    let rooms = |count: usize| {
        let rooms: Vec<_> = (0..count).map(|nth| format!("room=r{nth}")).collect();
        rooms.join("&")
    };
    let begin = async |user: &str, count: usize| {
        let url = server.url(&format!("/events?user={user}&{}", rooms(count)));
        reqwest::get(url).await.unwrap()
    };
    let first = begin("alice", 5).await;
    assert_eq!(first.status(), 200);
    assert_eq!(
        begin("alice", 1).await.status(),
        429,
        "while the first one lasts"
    );
    drop(first);
    assert_eq!(begin("alice", 1).await.status(), 429, "and when it is over");
    assert_eq!(begin("bob", 50).await.status(), 200, "more than a burst");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconnecting_does_not_reset_the_join_rate() {
    let server = server_of_slow_users().await;
    for round in 0..2 {
        let mut raw = Raw::connect(&server, "alice").await;
        for nth in 0..3 {
            let joined = raw.call("join", json!(format!("r{nth}"))).await;
            assert_eq!(joined["ok"], round == 0 || nth < 2, "{joined}");
        }
    }
    server.stop().await;
}

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
