//! Requests as the API reads them: bodies within size and time, ids, and methods, refused in the shape of every error.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::{Duration, Instant};

use axum::{Json, Router, routing::post};
use http::StatusCode;
use serde_json::{Value, json};
use support::{DEADLINE, Server, config};
use switchboard::{
    App,
    config::ByteSize,
    http::{body::JsonBody, traced},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const LARGEST: usize = 64 << 10;

/// A server whose `/v1/echo` answers with the JSON it is given.
async fn echoing(body_timeout: Duration) -> Server {
    let mut config = config();
    config.http.body_bytes = ByteSize::new(LARGEST as u64);
    config.http.body_timeout = body_timeout;
    let echo = post(async |JsonBody(body): JsonBody<Value>| Json(body));
    let routes = traced(Router::new().route("/v1/echo", echo));
    Server::start_with(App::builder(config).routes(move |_, _| routes)).await
}

/// What is answered to these bytes: the status, the headers and the body.
async fn answer(server: &Server, request: &[u8]) -> (String, Value) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut answer))
        .await
        .expect("an answer, and the connection's end")
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), serde_json::from_str(body).unwrap())
}

fn head(rest: &str) -> String {
    format!("POST /v1/echo HTTP/1.1\r\nhost: localhost\r\n{rest}\r\n\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_of_json_is_taken_up_to_its_limit() {
    let server = echoing(DEADLINE).await;
    let client = reqwest::Client::new();
    let text = "x".repeat(LARGEST - 2);
    for (text, status) in [(text.clone(), 200), (text + "x", 413)] {
        let answer = client
            .post(server.url("/v1/echo"))
            .json(&text)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_too_large_is_refused_before_it_has_come() {
    let server = echoing(DEADLINE).await;
    let (head_, body) = answer(&server, head("content-length: 65537").as_bytes()).await;
    assert!(head_.starts_with("HTTP/1.1 413"), "{head_}");
    // Otherwise its client might send the next request on a connection that is about to be closed.
    assert!(head_.contains("connection: close"), "{head_}");
    assert_eq!(body["code"], "too_large");

    let chunk = format!("4001\r\n{}\r\n", "x".repeat(0x4001));
    let chunked = head("transfer-encoding: chunked") + &chunk.repeat(4);
    let (head_, body) = answer(&server, chunked.as_bytes()).await;
    assert!(head_.starts_with("HTTP/1.1 413"), "{head_}");
    assert_eq!(body["code"], "too_large");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_keeps_sending_a_body_that_is_too_large_reads_the_error() {
    let server = echoing(DEADLINE).await;
    let client = reqwest::Client::new();
    for size in [LARGEST * 2, 8 << 20] {
        let answer = client
            .post(server.url("/v1/echo"))
            .body("x".repeat(size))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 413, "{size}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_body_gets_408_in_time() {
    let server = echoing(Duration::from_millis(300)).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let begin = Instant::now();
    let dripping = tokio::spawn(async move {
        let head = head("content-length: 1000");
        let mut left = head.as_bytes().to_vec();
        while writer.write_all(&left).await.is_ok() {
            left = vec![b' '];
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("}") {
        let read = tokio::time::timeout(DEADLINE, reader.read_buf(&mut answer)).await;
        assert_ne!(read.expect("an answer in time").unwrap(), 0);
    }
    assert!(begin.elapsed() < DEADLINE / 2);
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains(r#"{"code":"bad_request""#), "{answer}");
    dripping.abort();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invalid_json_is_refused() {
    let server = echoing(DEADLINE).await;
    let client = reqwest::Client::new();
    for (kind, body, status) in [
        ("application/json", "{\"a\":1}", 200),
        ("application/json", "{\"a\":", 400),
        ("text/plain", "{\"a\":1}", 415),
        ("application/x-www-form-urlencoded", "{\"a\":1}", 415),
    ] {
        let answer = client
            .post(server.url("/v1/echo"))
            .header("content-type", kind)
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{kind} {body}");
        assert!(answer.headers().contains_key("x-request-id"));
        let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        if status != 200 {
            assert_eq!(answer["code"], "bad_request");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_keeps_its_id_or_is_given_one() {
    let server = echoing(DEADLINE).await;
    let client = reqwest::Client::new();
    for (id, kept) in [("order-7", true), ("order 7", false)] {
        let answer = client
            .post(server.url("/v1/echo"))
            .header("x-request-id", id)
            .json(&json!({}))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.headers()["x-request-id"] == id, kept, "{id}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsupported_method_gets_allow() {
    let server = Server::start(config()).await;
    for (path, allowed) in [("/v1/batch", "POST"), ("/healthz", "GET,HEAD")] {
        let client = reqwest::Client::new();
        let answer = client.delete(server.url(path)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], allowed);
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(body["code"], "bad_request");
    }
    server.stop().await;
}
