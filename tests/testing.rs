//! The server and the client that applications test with.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use support::eventually;
use switchboard::{
    AckSender, App, Data, EventContext, Result,
    app::AppBuilder,
    config::{Config, Secret},
    testing::{TestClient, TestClientError, TestServer},
};

fn application() -> AppBuilder {
    let mut config = Config::default();
    config.limits.messages_per_second = 1;
    config.limits.messages_burst = 1;
    App::builder(config)
        .event(
            "several",
            async |Data((number, text)): Data<(u32, String)>, ack: AckSender| -> Result<()> {
                ack.send(&(text, number))
            },
        )
        .event("size", async |Data(bytes): Data<Bytes>| {
            Ok::<_, switchboard::Error>(bytes.len())
        })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_emits_several_arguments_and_gets_all_values_of_the_ack() {
    let server = TestServer::start(application()).await.unwrap();
    let mut alice = TestClient::connect(&server, json!({ "user": "alice" }))
        .await
        .unwrap();
    for number in 0..20 {
        let values = alice
            .emit_with_ack("several", &(number, "text"))
            .await
            .unwrap();
        assert_eq!(values, [json!("text"), json!(number)]);
    }
    let bytes = Bytes::from_static(b"12345");
    assert_eq!(alice.emit_with_ack("size", &bytes).await.unwrap(), [5]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_answers_what_the_server_asks_while_it_waits() {
    let ask = async |context: EventContext, Data(number): Data<u32>| {
        let limit = Duration::from_secs(10);
        let (doubled, text) = context
            .emit_with_ack::<_, (u32, String)>("double", &number, limit)
            .await?;
        Ok::<_, switchboard::Error>(format!("{doubled} {text}"))
    };
    let server = TestServer::start(application().event("ask", ask)).await;
    let server = server.unwrap();
    let mut alice = TestClient::connect(&server, json!({ "user": "alice" }))
        .await
        .unwrap();
    alice.answer("double", |arguments| {
        (arguments[0].as_u64().unwrap() * 2, "doubled")
    });
    let asked = alice.emit_with_ack("ask", &21).await.unwrap();
    assert_eq!(asked, ["42 doubled"]);
    assert_eq!(alice.next("double").await.unwrap(), [21]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_is_given_up() {
    // The system accepts the connection, and nobody reads from it.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/socket.io", silent.local_addr().unwrap());
    let error = TestClient::connect_at(&url, "/", json!({})).await.err();
    let error = error.unwrap().to_string();
    assert!(error.contains("did not come within 10 s"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_kept_until_they_are_asked_for() {
    let server = TestServer::start(application()).await.unwrap();
    let mut alice = TestClient::connect(&server, json!({ "user": "alice" }))
        .await
        .unwrap();
    alice.emit_with_ack("join", "lobby").await.unwrap();
    for text in ["one", "two"] {
        let message = json!({ "room": "lobby", "data": text });
        alice.emit("message", &message).await.unwrap();
    }
    for text in ["one", "two"] {
        let message = alice.next("message").await.unwrap();
        assert_eq!(message[0]["data"], text);
    }
    let session = alice.next("session").await.unwrap();
    assert_eq!(session[0]["user"], "alice", "{session:?}");
    assert!(!alice.id().is_empty());
    alice.disconnect().await.unwrap();
    eventually("the server has closed it, too", async || {
        server.hub().connections().is_empty()
    })
    .await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_says_what_came_instead() {
    let server = TestServer::start(application()).await.unwrap();
    let mut alice = TestClient::connect(&server, json!({ "user": "alice" }))
        .await
        .unwrap();
    alice.emit_with_ack("join", "lobby").await.unwrap();
    let waiting = tokio::spawn(async move { alice.next("never").await });
    server.stop().await;
    let error = waiting.await.unwrap().unwrap_err();
    let text = format!("{error:?}");
    assert!(
        text.starts_with(r#"the connection ended before an event "never" came; instead came:"#),
        "{text}"
    );
    assert!(text.contains("session["), "{text}");
    assert!(text.contains("draining["), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_client_is_told_why() {
    let mut config = Config::default();
    config.auth.hmac_secret = Some(Secret::new("a secret for tests, of 32 bytes or more"));
    let server = TestServer::start(App::builder(config)).await.unwrap();
    let refused = TestClient::connect(&server, json!({})).await;
    let Err(TestClientError::Refused(reason)) = refused else {
        panic!("the client was let in");
    };
    assert!(reason["message"].is_string(), "{reason}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_connects_to_a_namespace_at_another_path() {
    let mut config = Config::default();
    config.socketio.namespaces = vec!["/".parse().unwrap(), "/chat".parse().unwrap()];
    config.socketio.path = "/realtime/".to_owned();
    let server = TestServer::start(App::builder(config)).await.unwrap();
    let auth = json!({ "user": "alice" });
    let mut alice = TestClient::connect_to(&server, "/chat", auth)
        .await
        .unwrap();
    let joined = alice.emit_with_ack("join", "lobby").await.unwrap();
    assert_eq!(joined[0]["ok"], true, "{joined:?}");
    alice.disconnect().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_dropped_ends() {
    let server = TestServer::start(application()).await.unwrap();
    let mut alice = TestClient::connect(&server, json!({ "user": "alice" }))
        .await
        .unwrap();
    drop(server);
    let error = alice.next("never").await.unwrap_err();
    assert!(matches!(error, TestClientError::Ended { .. }), "{error}");
}
