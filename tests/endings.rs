//! However a session ends, nothing of it stays behind.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use serde_json::json;
use support::{Raw, Server, config, eventually};
use switchboard::App;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_of_the_application_that_panics_leaves_no_connection_behind() {
    let builder = App::builder(config()).event(
        "explode",
        async |_, _: serde_json::Value| -> switchboard::Result<()> { panic!("as a handler might") },
    );
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
