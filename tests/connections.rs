//! The connections beneath every transport: HTTP/1.1 and HTTP/2 on one port, and peers that say nothing or do not read.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Extension, Router, body::Body, routing::get};
use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{DEADLINE, Raw, Server, config, eventually};
use switchboard::{App, http::ConnectionAbort};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
};

/// A client of HTTP/2 over this stream, and what is ready when its connection has ended.
async fn http2<S>(stream: S) -> (SendRequest<Empty<Bytes>>, oneshot::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(stream);
    let (client, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    let (end, ended) = oneshot::channel();
    tokio::spawn(async move {
        let _ = connection.await;
        let _ = end.send(());
    });
    (client, ended)
}

async fn ask(
    client: &mut SendRequest<Empty<Bytes>>,
    server: &Server,
    path: &str,
    origin: Option<&str>,
) -> Response<Incoming> {
    let mut request = Request::get(server.url(path));
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    let request = request.body(Empty::new()).unwrap();
    tokio::time::timeout(DEADLINE, client.send_request(request))
        .await
        .unwrap()
        .unwrap()
}

/// What `/endless` does: the `ConnectionAbort`s of its requests, and how often hyper has asked for more to write.
#[derive(Clone, Default)]
struct Endless {
    cuts: Arc<Mutex<Vec<ConnectionAbort>>>,
    asked: Arc<AtomicUsize>,
}

/// A server with `/endless`, whose answer never ends.
async fn endless(header_timeout: Duration) -> (Server, Endless) {
    let seen = Endless::default();
    let kept = seen.clone();
    let endless = get(async move |Extension(cut): Extension<ConnectionAbort>| {
        kept.cuts.lock().unwrap().push(cut);
        let asked = kept.asked.clone();
        let chunk = Bytes::from(vec![b'.'; 16 << 10]);
        Body::from_stream(stream::repeat_with(move || {
            asked.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(chunk.clone())
        }))
    });
    let mut config = config();
    config.http.header_timeout = header_timeout;
    let builder = App::builder(config).routes(|_, _| Router::new().route("/endless", endless));
    (Server::start_with(builder).await, seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_port_speaks_both_versions_of_http_and_websocket() {
    let server = Server::start(config()).await;
    let old = reqwest::get(server.url("/healthz")).await.unwrap();
    assert_eq!(
        (old.status().as_u16(), old.version()),
        (200, Version::HTTP_11)
    );

    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, _) = http2(stream).await;
    let new = ask(&mut client, &server, "/healthz", None).await;
    assert_eq!(
        (new.status().as_u16(), new.version()),
        (200, Version::HTTP_2)
    );
    assert_eq!(new.headers()["content-length"], "11");
    let body = new.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, r#"{"ok":true}"#);

    let handshake = "/socket.io/?EIO=4&transport=polling";
    let own = server.url("");
    let page = ask(&mut client, &server, handshake, Some(&own)).await;
    assert_eq!(page.status(), 200, "a page of the server's own host");
    let page = ask(
        &mut client,
        &server,
        handshake,
        Some("https://evil.example"),
    )
    .await;
    assert_eq!(page.status(), 403);

    let mut alice = Raw::connect(&server, "alice").await;
    let joined = alice.call("join", "lobby".into()).await;
    assert_eq!(joined["ok"], true);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preface_that_comes_byte_by_byte_is_understood() {
    let server = Server::start(config()).await;
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    tokio::spawn(async move {
        for _ in 0..24 {
            let byte = far.read_u8().await?;
            stream.write_u8(byte).await?;
            // So that each byte is a segment of its own.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::io::copy_bidirectional(&mut far, &mut stream).await
    });
    let (mut client, _) = http2(near).await;
    let answer = ask(&mut client, &server, "/healthz", None).await;
    assert_eq!(answer.version(), Version::HTTP_2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_method_that_begins_like_the_preface_is_one_of_http_1() {
    let server = Server::start(config()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"P").await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let rest = b"RINT /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(rest).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_keeps_its_request_to_itself_is_closed_in_time() {
    let mut config = config();
    config.http.header_timeout = Duration::from_millis(300);
    let server = Server::start(config).await;
    let begin = Instant::now();
    let beginnings: [&[u8]; 5] = [b"", b"P", b"PRI * HTTP/2", b"GET / HT", PREFACE];
    for said in beginnings {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{said:?}");
    }
    assert!(begin.elapsed() < DEADLINE / 2);
    server.stop().await;
}

/// All that a client has to say to begin: the preface and its empty settings.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_2_connection_ends_when_it_has_no_request_and_not_before() {
    let (server, _) = endless(Duration::from_millis(200)).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, mut ended) = http2(stream).await;
    let mut answer = ask(&mut client, &server, "/endless", None).await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(800) {
        answer.frame().await.unwrap().unwrap();
    }
    assert!(ended.try_recv().is_err(), "closed under an open request");
    drop(answer);
    tokio::time::timeout(DEADLINE, ended)
        .await
        .unwrap()
        .unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_does_not_read_is_cut_off() {
    let (server, seen) = endless(Duration::from_secs(10)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut before = 0;
    eventually("hyper asks for no more", async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = seen.asked.load(Ordering::Relaxed);
        std::mem::replace(&mut before, asked) == asked && asked > 0
    })
    .await;
    let cut = seen.cuts.lock().unwrap().pop().unwrap();
    drop(cut.clone());
    cut.abort();
    // The peer may find what had arrived before, and then the reset.
    let mut rest = Vec::new();
    let end = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
    let end = end.expect("the connection ends").unwrap_err();
    assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cutting_a_request_of_http_2_leaves_the_others_alone() {
    let (server, seen) = endless(Duration::from_secs(10)).await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut client, _) = http2(stream).await;
    let mut answer = ask(&mut client, &server, "/endless", None).await;
    seen.cuts.lock().unwrap()[0].abort();
    for _ in 0..100 {
        answer.frame().await.unwrap().unwrap();
    }
    let other = ask(&mut client, &server, "/healthz", None).await;
    assert_eq!(other.status(), 200);
    drop(answer);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaving_and_rejoining_a_namespace_does_not_reset_its_rates() {
    let mut config = config();
    config.limits.messages_per_second = 5;
    config.limits.messages_burst = 5;
    let server = Server::start(config).await;
    let mut mallory = Raw::connect(&server, "mallory").await;
    let begin = std::time::Instant::now();
    for _ in 0..3 {
        for _ in 0..4 {
            mallory
                .send("42[\"message\",{\"room\":\"lobby\",\"data\":1}]")
                .await;
        }
        mallory.send("41").await;
        mallory.send("40{\"user\":\"mallory\"}").await;
        while !mallory.text().await.unwrap().starts_with("40{") {}
    }
    // Of 15 permits the burst is there at once, and the last messages' may be taken after the last CONNECT's.
    let took = begin.elapsed();
    assert!(took > std::time::Duration::from_millis(1_000), "{took:?}");
    server.stop().await;
}
