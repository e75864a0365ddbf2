//! Whatever a client sends, the server answers others: mutated packets, wrong order, half handshakes.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use futures_util::{SinkExt, StreamExt};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config as Cases, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::json;
use support::{Raw, Server, config, eventually};
use switchboard::{
    config::{Secret, Store},
    transport::Transport,
};
use tokio_tungstenite::tungstenite::Message;

/// Packets that a real client sends; the mutations start from these.
const REAL: [&str; 14] = [
    "40",
    "40{\"user\":\"mallory\"}",
    "40/chat,{\"token\":\"x\"}",
    "41",
    "3",
    "5",
    "421[\"join\",{\"room\":\"lobby\",\"since\":\"abc:1\",\"history\":10}]",
    "422[\"message\",{\"room\":\"lobby\",\"data\":{\"a\":[1,2,3.0]},\"id\":\"m-1\",\"echo\":false}]",
    "423[\"publish\",{\"room\":\"lobby\",\"event\":\"price\",\"data\":1.50,\"ephemeral\":true}]",
    "424[\"history\",{\"room\":\"lobby\",\"before\":5,\"limit\":10}]",
    "42[\"leave\",\"lobby\"]",
    "425[\"refresh\",{\"token\":\"a.b.c\"}]",
    "451-[\"draw\",{\"_placeholder\":true,\"num\":0}]",
    "431[{\"ok\":true}]",
];

/// A real packet with a few bytes changed, doubled, cut or put in.
fn mutated() -> impl Strategy<Value = Message> {
    let edit = (any::<prop::sample::Index>(), 0..4u8, any::<u8>());
    (
        prop::sample::select(&REAL[..]),
        prop::collection::vec(edit, 0..6),
        any::<u8>(),
    )
        .prop_map(|(packet, edits, kind)| {
            let mut bytes = packet.as_bytes().to_vec();
            for (at, what, byte) in edits {
                let at = at.index(bytes.len().max(1));
                match what {
                    0 if at < bytes.len() => bytes[at] = byte,
                    1 => bytes.insert(at.min(bytes.len()), byte),
                    2 => bytes.truncate(at),
                    _ => {
                        let tail = bytes[at.min(bytes.len())..].to_vec();
                        bytes.extend(tail);
                    }
                }
            }
            if kind % 16 == 0 {
                Message::binary(bytes)
            } else {
                Message::text(String::from_utf8_lossy(&bytes).into_owned())
            }
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_mutated_packets_leave_the_server_responsive() {
    let mut config = config();
    config.socketio.relay = vec!["draw".parse().unwrap()];
    let server = Server::start(config).await;
    let mut witness = Raw::connect(&server, "witness").await;
    witness.call("join", json!("lobby")).await;
    let cases = Cases::default();
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(cases, seed);
    let packets = mutated();
    let mut mallory = Raw::connect(&server, "mallory").await;
    for _ in 0..1_000 {
        let packet = packets.new_tree(&mut runner).unwrap().current();
        if !mallory.try_send(packet).await {
            mallory = Raw::connect(&server, "mallory").await;
        }
    }
    let answer = witness
        .call("message", json!({ "room": "lobby", "data": "still here" }))
        .await;
    assert_eq!(answer["ok"], true, "{answer}");
    drop(mallory);
    eventually("only the witness is left", async || {
        server.metric("switchboard_sessions") <= 1.0
    })
    .await;
    assert_eq!(
        server.metric("switchboard_errors_total{code=\"internal\"}"),
        0.0
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_never_connect_or_are_aborted_leave_nothing_behind() {
    let mut config = config();
    config.socketio.connect_timeout = std::time::Duration::from_millis(200);
    let server = Server::start(config).await;
    let client = reqwest::Client::new();
    for _ in 0..20 {
        let _websocket = Raw::open(&server).await;
        let polling = server.url("/socket.io/?EIO=4&transport=polling");
        assert!(
            client
                .get(polling)
                .send()
                .await
                .unwrap()
                .status()
                .is_success()
        );
    }
    eventually("every session is gone", async || {
        server.metric("switchboard_sessions") == 0.0
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_breaks_off_leaves_its_session_alone() {
    let server = Server::start(config()).await;
    let open = reqwest::get(server.url("/socket.io/?EIO=4&transport=polling"))
        .await
        .unwrap();
    let open: serde_json::Value = serde_json::from_str(&open.text().await.unwrap()[1..]).unwrap();
    let sid = open["sid"].as_str().unwrap();
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket&sid={sid}",
        server.address
    );
    let (probing, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    drop(probing);
    // It polls as before, and may try again.
    let session = server.url(&format!("/socket.io/?EIO=4&transport=polling&sid={sid}"));
    let client = reqwest::Client::new();
    let posted = client.post(&session).body("40").send().await.unwrap();
    assert!(posted.status().is_success());
    eventually("its CONNECT is answered", async || {
        let polled = client.get(&session).send().await.unwrap();
        polled.text().await.unwrap().contains("40{")
    })
    .await;
    let (mut again, _) = tokio_tungstenite::connect_async(&url).await.unwrap();
    again.send(Message::text("2probe")).await.unwrap();
    let answer = again.next().await.unwrap().unwrap();
    assert_eq!(answer, Message::text("3probe"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_get_the_error_codes_that_stock_clients_know() {
    let server = Server::start(config()).await;
    for (query, status) in [
        ("", 400),
        ("EIO=9&transport=polling", 400),
        ("EIO=4&transport=pigeon", 400),
        ("EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA", 400),
        ("EIO=4&transport=polling&sid=short", 400),
        ("EIO=4&transport=websocket", 400),
        ("EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA", 400),
    ] {
        let answer = reqwest::get(server.url(&format!("/socket.io/?{query}")))
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{query}");
    }
    assert_eq!(
        reqwest::get(server.url("/nowhere")).await.unwrap().status(),
        404
    );
    server.stop().await;
}

/// Queries that only engineioxide understood would open sessions that nobody admitted, counted or can end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_handshake_gets_past_the_limit_of_connections() {
    let mut config = config();
    config.limits.connections = 1;
    let server = Server::start(config).await;
    let _only = Raw::connect(&server, "alice").await;
    for query in [
        "EIO=4&transport=polling",
        "%45IO=%34&transport=%70olling",
        "EIO=9&transport=pigeon&EIO=4&transport=polling",
        "EIO=3&transport=polling&b64=1&sid=",
        "EIO=4&transport=polling&sid",
        "EIO=4&transport=polling&xsid=AAAAAAAAAAAAAAAA",
        "sid=AAAAAAAAAAAAAAAA&EIO=4&transport=polling&sid=",
    ] {
        let answer = reqwest::get(server.url(&format!("/socket.io/?{query}")))
            .await
            .unwrap();
        assert_eq!(answer.status(), 503, "{query}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transport_that_is_not_configured_is_refused_before_any_upgrade() {
    for (only, refused) in [
        (Transport::Polling, "websocket"),
        (Transport::WebSocket, "polling"),
    ] {
        let mut config = config();
        config.socketio.transports = [only].into_iter().collect();
        let server = Server::start(config).await;
        let answer = reqwest::Client::new()
            .get(server.url(&format!("/socket.io/?EIO=4&transport={refused}")))
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 400, "{refused}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_number_there_is_asks_for_nothing_and_breaks_nothing() {
    for store in [Store::Memory, Store::Sqlite].map(Some) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config();
        config.store = store;
        config.data = folder.path().to_owned();
        let server = Server::start(config).await;
        let mut alice = Raw::connect(&server, "alice").await;
        alice
            .call("message", json!({ "room": "lobby", "data": 1 }))
            .await;
        for most in [u64::MAX, u64::MAX - 1, 1 << 63, i64::MAX as u64] {
            let page = alice
                .call("history", json!({ "room": "lobby", "after": most }))
                .await;
            assert_eq!(page["messages"], json!([]), "after {most}: {page}");
            let page = alice
                .call("history", json!({ "room": "lobby", "before": most }))
                .await;
            assert_eq!(page["messages"][0]["seq"], 1, "before {most}: {page}");
            let since = json!({ "epoch": page["epoch"], "seq": most });
            let joined = alice
                .call("join", json!({ "room": "lobby", "since": since }))
                .await;
            assert_eq!(joined["recovered"], false, "{joined}");
        }
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_client_that_is_refused_does_not_hold_its_session() {
    let mut config = config();
    config.auth.hmac_secret = Some(Secret::new("a secret of thirty-two bytes, or more"));
    config.socketio.connect_timeout = std::time::Duration::from_millis(200);
    let server = Server::start(config).await;
    let url = format!(
        "ws://{}/socket.io/?EIO=3&transport=websocket",
        server.address
    );
    let (mut refused, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let ended = tokio::time::timeout(support::DEADLINE, async {
        // Its pings would keep it for ever.
        while refused.send(Message::text("2")).await.is_ok() {
            if !matches!(refused.next().await, Some(Ok(_))) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    assert!(ended.await.is_ok(), "the session is held");
    server.stop().await;
}
