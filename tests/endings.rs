//! However a session ends, nothing of it stays behind.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Raw, Server, config, eventually};
use switchboard::{App, EventContext, config::Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Clients that leave in the middle of a join.
const HASTY: u64 = 600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_handler_leaves_no_connection_behind() {
    let builder = App::builder(config()).event("explode", async || -> switchboard::Result<()> {
        panic!("as a handler might")
    });
    let server = Server::start_with(builder).await;
    let mut alice = Raw::connect(&server, "alice").await;
    alice.call("join", json!("lobby")).await;
    alice.send("42[\"explode\",1]").await;
    drop(alice);
    eventually("the connection has left", async || {
        server.metric("switchboard_connections") == 0.0
            && server.metric("switchboard_rooms") == 0.0
            && server.metric("switchboard_sessions") == 0.0
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_is_reset_while_it_opens_leaves_no_session_behind() {
    let server = Server::start(config()).await;
    for round in 0..300u64 {
        let mut peer = TcpStream::connect(server.address).await.unwrap();
        let request = format!(
            "GET /socket.io/?EIO=3&transport=websocket HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            server.address
        );
        peer.write_all(request.as_bytes()).await.unwrap();
        if round % 2 == 0 {
            let _ = peer.read(&mut [0; 1]).await;
        } else {
            tokio::time::sleep(Duration::from_micros(round * 5)).await;
        }
        // With unread bytes, or with lingering off, the peer gets a reset.
        peer.set_zero_linger().unwrap();
        drop(peer);
    }
    eventually("every session is gone", async || {
        server.metric("switchboard_sessions") == 0.0
            && server.metric("switchboard_connections") == 0.0
    })
    .await;
    server.stop().await;
}

/// Stock clients send both packets at once when an application calls `disconnect()` and `connect()`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_a_namespace_and_connects_again_at_once_is_connected() {
    let server = Server::start(config()).await;
    let mut alice = Raw::connect(&server, "alice").await;
    for _ in 0..100 {
        alice.call("join", json!("lobby")).await;
        alice.send_together(&["41", "40{\"user\":\"alice\"}"]).await;
        alice.event("session").await;
        let history = alice.call("history", json!("lobby")).await;
        assert_eq!(history["ok"], true, "{history}");
        eventually("only the new connection is there", async || {
            server.metric("switchboard_connections") == 1.0
        })
        .await;
    }
    server.stop().await;
}

/// socketioxide's rooms mirror the hub's, and a socket that is put into one when it has gone stays there for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_ends_after_its_socket_leaves_no_mirrored_room_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.store = Some(Store::Sqlite);
    config.data = folder.path().to_owned();
    let builder = App::builder(config).event(
        "rooms",
        async |context: EventContext| -> switchboard::Result<Value> {
            // Asked for by name: a list of all rooms is made from the sockets that are there.
            let names: Vec<_> = (0..HASTY).map(|number| format!("room-{number}")).collect();
            let everybody = context.socket.within(names);
            Ok(json!({ "rooms": everybody.rooms().await.unwrap().len() }))
        },
    );
    let server = Server::start_with(builder).await;
    let mut witness = Raw::connect(&server, "witness").await;
    for round in 0..HASTY {
        let mut hasty = Raw::connect(&server, "hasty").await;
        let join = format!("42[\"join\",\"room-{round}\"]");
        hasty.send(&join).await;
        // The end is to fall into the time that the join takes, wherever that is.
        tokio::time::sleep(Duration::from_micros(round % 30 * 20)).await;
        hasty.send("41").await;
        drop(hasty);
    }
    eventually("only the witness is left", async || {
        server.metric("switchboard_connections") == 1.0
    })
    .await;
    let answer = witness.call("rooms", json!(null)).await;
    assert_eq!(answer["rooms"], 0, "{answer}");
    server.stop().await;
}

/// Asks for a WebSocket that `sid` is to upgrade to; answers the response's status line.
async fn upgrade_of(server: &Server, sid: &str) -> (TcpStream, String) {
    let mut peer = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket&sid={sid} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    peer.write_all(request.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    peer.read_exact(&mut head).await.unwrap();
    (peer, String::from_utf8(head.to_vec()).unwrap())
}

/// They are not counted as connections, and each could be kept open for as long as an upgrade may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_by_polling_is_given_one_websocket_to_upgrade_to() {
    let server = Server::start(config()).await;
    let open = reqwest::get(server.url("/socket.io/?EIO=4&transport=polling"));
    let open = open.await.unwrap().text().await.unwrap();
    let open: Value = serde_json::from_str(open.trim_start_matches('0')).unwrap();
    let sid = open["sid"].as_str().unwrap();
    let (_first, head) = upgrade_of(&server, sid).await;
    assert_eq!(head, "HTTP/1.1 101");
    // Clients know this answer to a second one: opened, and closed at once.
    let (mut second, head) = upgrade_of(&server, sid).await;
    assert_eq!(head, "HTTP/1.1 101");
    let mut rest = Vec::new();
    second.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"\x88\x00"), "{rest:?}");
    server.stop().await;
}
