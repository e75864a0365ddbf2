//! What every request has to say and every answer says, whoever asks: hosts, headers for browsers, and what is for operators
//! alone.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::net::SocketAddr;

use http::{HeaderMap, StatusCode};
use support::{DEADLINE, Server, config};
use switchboard::{App, config::Secret};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const KEY: &str = "the-key-that-metrics-ask-for";

/// What a request that is written so is answered, until the connection ends.
async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(DEADLINE, read).await.unwrap().unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_one_host_and_a_good_one() {
    let server = Server::start(config()).await;
    let mut refused = 0;
    for (version, hosts, status) in [
        ("1.1", "Host: localhost\r\n", 200),
        ("1.1", "host: [::1]:3000\r\n", 200),
        ("1.1", "", 400),
        ("1.1", "Host: localhost\r\nHost: localhost\r\n", 400),
        ("1.1", "Host: localhost\r\nHost: other\r\n", 400),
        ("1.1", "Host:\r\n", 400),
        ("1.1", "Host: a b\r\n", 400),
        ("1.1", "Host: a/b\r\n", 400),
        ("1.1", "Host: me@localhost\r\n", 400),
        ("1.1", "Host: localhost:port\r\n", 400),
        ("1.1", "Host: \u{e4}.example\r\n", 400),
        ("1.0", "", 200),
        ("1.0", "Host: localhost\r\n", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
    ] {
        let request = format!("GET /healthz HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let answer = raw(server.address, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/{version} {status}")),
            "{hosts:?}: {answer}"
        );
        if status == 400 {
            refused += 1;
            assert!(
                answer.contains(r#"{"code":"bad_request","message":""#),
                "{answer}"
            );
        }
    }
    // What comes behind such a request is not read as another one.
    let answer = raw(
        server.address,
        "GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .await;
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    refused += 1;
    assert_eq!(
        server.metric("switchboard_errors_total{code=\"bad_request\"}"),
        f64::from(refused)
    );
    server.stop().await;
}

fn is_safe(path: &str, headers: &HeaderMap) {
    assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
    assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
    let is_page = headers
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    if is_page {
        let policy = headers["content-security-policy"].to_str().unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'"] {
            let same = part.replace("none", "self");
            assert!(
                policy.contains(part) || policy.contains(&same),
                "{path}: {policy}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_has_nosniff_and_a_referrer_policy() {
    let mut config = config();
    config.auth.hmac_secret = Some(Secret::new("a secret for tests, of 32 bytes or more"));
    let server = Server::start(config).await;
    let client = reqwest::Client::new();
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/nowhere",
        "/v1/docs",
        "/v1/docs/index.css",
        "/v1/openapi.json",
        "/v1/rooms",
        "/v1/nowhere",
        "/ws",
        "/events/lobby",
        "/poll/lobby",
        "/socket.io/",
        "/socket.io/socket.io.js",
        "/socket.io/?EIO=4&transport=polling",
        "/socket.io/?EIO=4&transport=polling&sid=unknown",
    ] {
        for method in ["GET", "POST", "OPTIONS", "HEAD"] {
            let request = client.request(method.parse().unwrap(), server.url(path));
            let answer = request.send().await.unwrap();
            is_safe(&format!("{method} {path}"), answer.headers());
        }
    }
    let evil = client
        .get(server.url("/v1/rooms"))
        .header("origin", "https://evil.example");
    is_safe("a foreign page", evil.send().await.unwrap().headers());
    let answer = raw(
        server.address,
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        answer.contains("x-content-type-options: nosniff"),
        "{answer}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_require_their_key() {
    let mut config = config();
    config.http.metrics_key = Some(Secret::new(KEY));
    let server = Server::start(config).await;
    let client = reqwest::Client::new();
    for (key, status) in [
        (None, 401),
        (Some("a-key-of-twenty-characters"), 401),
        (Some(KEY), 200),
    ] {
        for path in ["/metrics", "/metrics/"] {
            let mut request = client.get(server.url(path));
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{key:?}");
            let page = answer.text().await.unwrap();
            assert_eq!(page.contains("switchboard_sessions"), status == 200);
        }
    }
    assert_eq!(
        reqwest::get(server.url("/healthz")).await.unwrap().status(),
        200
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_for_operators_has_the_metrics_and_both_have_the_probes() {
    let mut config = config();
    config.http.internal_listen = Some("127.0.0.1:0".parse().unwrap());
    let app = App::builder(config).build().await.unwrap();
    let internal = app.internal_address().unwrap();
    let server = Server::run(app).await;
    let status = async |address: SocketAddr, path: &str| {
        let answer = reqwest::get(format!("http://{address}{path}"))
            .await
            .unwrap();
        is_safe(path, answer.headers());
        answer.status()
    };
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(server.address, path).await, StatusCode::OK);
        assert_eq!(status(internal, path).await, StatusCode::OK);
    }
    assert_eq!(
        status(server.address, "/metrics").await,
        StatusCode::NOT_FOUND
    );
    assert_eq!(status(internal, "/metrics").await, StatusCode::OK);
    for path in [
        "/",
        "/v1/rooms",
        "/socket.io/?EIO=4&transport=polling",
        "/events/lobby",
    ] {
        assert_eq!(
            status(internal, path).await,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    server.stop().await;
    assert!(
        TcpStream::connect(internal).await.is_err(),
        "it has ended, too"
    );
}
