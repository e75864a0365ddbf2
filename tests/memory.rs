//! What clients can make a node hold: a thousand connections at their limits, of each kind (fewer where each asks for
//! much), cost less than is said here, and
//! a client beside them waits for no ack longer than a second, as seen on a machine that has nothing else to do.
//!
//! The server has a budget of 32 MiB, of which one address or one user gets half. A bound says what that comes to in memory of
//! the process, with what a thousand connections and requests cost by themselves.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use support::{
    DEADLINE,
    attack::{self, Bystander, Contention, Http, KEY, Watch, token},
    eventually,
    process::ServerProcess,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// Connections of each trial.
const CONNECTIONS: usize = 1000;

/// What bodies may cost: the budget, and what a thousand connections and sessions have read beside that.
const BODIES: usize = 128;

/// What answers may cost that nobody takes: the budget, what hyper writes ahead, and what a thousand connections are.
const ANSWERS: usize = 144;

/// What may be read of the past for those who do not take it: the half of the budget, and a little.
const PAST: usize = 48;

/// What messages may cost that have come in part, and events that wait.
const FRAMES: usize = 144;

/// What a thousand answers may cost that take nothing of the budget to speak of.
const FOR_NOTHING: usize = 24;

const MIB: usize = 1 << 20;

/// Acks take no longer than this.
const MAX_ACK_TIME: Duration = Duration::from_secs(1);

async fn server() -> ServerProcess {
    server_with(&[]).await
}

async fn server_with(more: &[(&str, &str)]) -> ServerProcess {
    let environment = [
        ("SWITCHBOARD_LIMITS_USER_JOINS_PER_SECOND", "0"),
        ("SWITCHBOARD_LIMITS_MEMORY", "32 MiB"),
        ("SWITCHBOARD_LIMITS_CONNECTS_BURST", "0"),
        ("SWITCHBOARD_LIMITS_CONNECTS_PER_SECOND", "0"),
        ("SWITCHBOARD_LIMITS_CONNECTIONS_PER_USER", "0"),
    ];
    attack::start(&[&environment, more].concat())
}

/// Runs an attack beside a client that is not to notice it; the memory may grow by so many MiB.
async fn costs_less_than(bound: usize, child: &ServerProcess, attack: impl Future<Output = ()>) {
    let bystander = Bystander::begin(child).await;
    let (watch, machine) = (Watch::begin(child), Contention::begin());
    attack.await;
    let (longest, slower) = (bystander.end().await, machine.end());
    let grown = watch.end();
    assert!(grown < bound * MIB, "{} MiB", grown / MIB);
    assert!(
        longest < MAX_ACK_TIME.mul_f64(slower),
        "an ack took {longest:?} on a machine {slower:.1} times slower"
    );
}

/// One attempt a connection, at the same time.
async fn each<F: Future>(attempt: impl Fn(usize) -> F) -> Vec<F::Output> {
    each_of(CONNECTIONS, attempt).await
}

async fn each_of<F: Future>(count: usize, attempt: impl Fn(usize) -> F) -> Vec<F::Output> {
    let mut done = Vec::with_capacity(count);
    // Some at a time: how many connections a second a server takes is not what is tried here.
    for begin in (0..count).step_by(25) {
        done.extend(join_all((begin..begin + 25).map(&attempt)).await);
    }
    done
}

async fn some_are_refused(child: &ServerProcess) {
    eventually("some are refused", async || {
        child
            .metric("switchboard_limited_total{limit=\"memory\"}")
            .await
            > 0.0
    })
    .await;
}

/// A body of which the last byte never comes.
const WITHHELD: usize = 192 << 10;

fn withheld(begin: &str) -> Vec<u8> {
    let mut body = begin.as_bytes().to_vec();
    body.resize(WITHHELD - 1, b'x');
    body
}

async fn session(http: &mut Http, protocol: u8) -> String {
    let path = format!("/socket.io/?EIO={protocol}&transport=polling");
    http.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes())
        .await;
    let (status, body) = http.answer().await;
    assert_eq!(status, 200, "{body}");
    let (_, rest) = body.split_once("\"sid\":\"").unwrap();
    let sid = rest.split('"').next().unwrap();
    format!("{path}&sid={sid}")
}

fn post(path: &str, headers: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {WITHHELD}\r\n\r\n")
        .into_bytes()
}

async fn posted_packets_withheld(protocol: u8) {
    let child = server().await;
    costs_less_than(BODIES, &child, async {
        let body = withheld("4");
        let _held = each(async |_| {
            let mut http = child.dial().await;
            let path = session(&mut http, protocol).await;
            http.send(&post(&path, "Content-Type: text/plain\r\n"))
                .await;
            http.send(&body).await;
            http
        })
        .await;
        eventually("some are refused", async || {
            child
                .metric("switchboard_limited_total{limit=\"memory\"}")
                .await
                > 0.0
        })
        .await;
        assert!(child.metric("switchboard_memory_held_bytes").await <= 32.0 * MIB as f64);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_engine_io_4_that_are_posted_and_never_end() {
    posted_packets_withheld(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_engine_io_3_that_are_posted_and_never_end() {
    posted_packets_withheld(3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_has_one_post_at_a_time_and_ends_with_a_second() {
    let child = server().await;
    costs_less_than(32, &child, async {
        let path = session(&mut child.dial().await, 4).await;
        let (head, body) = (post(&path, "Content-Type: text/plain\r\n"), withheld("4"));
        let answers = each(async |_| {
            let mut http = child.dial().await;
            http.send(&head).await;
            http.send(&body).await;
            http.answer().await.0
        })
        .await;
        assert!(answers.iter().all(|status| *status == 400), "{answers:?}");
        assert_eq!(child.metric("switchboard_memory_held_bytes").await, 0.0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_api_requests_that_never_end() {
    for bearer in [token("mallory", "x").as_str(), KEY, "nobody"] {
        let child = server().await;
        costs_less_than(BODIES, &child, async {
            let headers =
                format!("Content-Type: application/json\r\nAuthorization: Bearer {bearer}\r\n");
            let (head, body) = (
                post("/v1/rooms/x/messages", &headers),
                withheld("{\"data\":\""),
            );
            let mut held = each(async |_| {
                let mut http = child.dial().await;
                http.send(&head).await;
                http.send(&body).await;
                http
            })
            .await;
            if bearer == "nobody" {
                let (status, said) = held.last_mut().unwrap().answer().await;
                assert!([401, 429].contains(&status), "{status} {said}");
            } else {
                some_are_refused(&child).await;
            }
        })
        .await;
    }
}

/// Streams of each connection of HTTP/2, and connections.
const STREAMS: [usize; 2] = [100, 10];

/// A connection of HTTP/2 whose answers, or bodies, may have so many bytes for now.
async fn h2(child: &ServerProcess, window: u32) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(child.address).await.unwrap();
    let begun = h2::client::Builder::new()
        .initial_window_size(window)
        .initial_max_send_streams(STREAMS[0])
        .handshake(stream)
        .await;
    let (send, connection) = begun.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    send
}

/// Asks as often as `STREAMS` says on each of so many connections, and takes nothing of the answers but their statuses.
async fn ask_and_take_nothing(
    child: &ServerProcess,
    connections: usize,
    window: u32,
    (path, bearer): (&str, &str),
) -> Vec<u16> {
    let mut held = Vec::new();
    for _ in 0..connections {
        let mut send = h2(child, window).await;
        let mut answers = Vec::new();
        for _ in 0..STREAMS[0] {
            let request = http::Request::get(format!("http://a{path}"))
                .header("authorization", format!("Bearer {bearer}"))
                .body(())
                .unwrap();
            send = send.ready().await.unwrap();
            answers.push(send.send_request(request, true).unwrap().0);
        }
        held.push((send, join_all(answers).await));
    }
    let answers = held.iter().flat_map(|(_, answers)| answers);
    let statuses = answers.map(|answer| answer.as_ref().map_or(0, |it| it.status().as_u16()));
    statuses.collect()
}

/// Connections that ask for large pages: what the system itself takes of an answer is less than one.
const READERS: usize = 100;

/// A server whose pages are large, and whose rates are not what keeps anybody from asking for them.
async fn library() -> ServerProcess {
    let child = server_with(&[
        ("SWITCHBOARD_HISTORY_PAGE_BYTES", "4 MiB"),
        ("SWITCHBOARD_LIMITS_OUTBOX_BYTES", "8 MiB"),
        ("SWITCHBOARD_LIMITS_MESSAGES_PER_SECOND", "0"),
        ("SWITCHBOARD_LIMITS_MESSAGES_BURST", "0"),
        ("SWITCHBOARD_LIMITS_USER_MESSAGES_PER_SECOND", "0"),
        ("SWITCHBOARD_LIMITS_USER_MESSAGES_BURST", "0"),
    ])
    .await;
    full_room(&child).await;
    child
}

/// A room of which a page has four mebibytes.
async fn full_room(child: &ServerProcess) {
    let data = "x".repeat(60_000);
    let body = format!("{{\"data\":\"{data}\"}}");
    for _ in 0..70 {
        let head =
            "POST /v1/rooms/full/messages HTTP/1.1\r\nHost: a\r\nContent-Type: application/json";
        let mut http = child.dial().await;
        let length = body.len();
        http.send(
            format!(
                "{head}\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )
        .await;
        assert_eq!(http.answer().await.0, 201);
    }
}

const PAGE: &str = "/v1/rooms/full/messages?limit=1000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_pages_over_http_2() {
    let child = library().await;
    costs_less_than(ANSWERS, &child, async {
        for (window, user) in [(0, "mallory"), (1, "mary")] {
            let bearer = token(user, "full");
            let statuses = ask_and_take_nothing(&child, 1, window, (PAGE, &bearer)).await;
            assert!(
                statuses.contains(&200) && statuses.contains(&503),
                "{statuses:?}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_unread_api_page_over_http_2() {
    let child = server().await;
    for file in ["swagger-ui-bundle.js", "swagger-ui.css"] {
        child.ask(&format!("GET /v1/docs/{file} HTTP/1.1")).await;
    }
    costs_less_than(FOR_NOTHING, &child, async {
        for path in [
            "/v1/docs/swagger-ui-bundle.js",
            "/v1/openapi.json",
            "/v1/docs",
        ] {
            let statuses = ask_and_take_nothing(&child, STREAMS[1], 0, (path, "")).await;
            assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_unread_pages_over_http_1() {
    let child = library().await;
    costs_less_than(ANSWERS, &child, async {
        let asked: Vec<_> = (0..5)
            .map(|user| {
                let bearer = token(&format!("mallory-{user}"), "full");
                format!("GET {PAGE} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n\r\n")
                    .repeat(2)
            })
            .collect();
        let _held = each_of(READERS, async |number| {
            let mut stream = dial_and_read_nothing(&child).await;
            stream
                .write_all(asked[number % 5].as_bytes())
                .await
                .unwrap();
            stream
        })
        .await;
        eventually("all are answered", async || {
            let answered = async |status| {
                let route = "route=\"/v1/rooms/{room}/messages\"";
                let name = format!("switchboard_api_requests_total{{{route},status=\"{status}\"}}");
                child.metric(&name).await
            };
            answered("2xx").await + answered("5xx").await >= (70 + READERS) as f64
        })
        .await;
    })
    .await;
}

/// Bodies over HTTP/2 in frames of so many bytes, of which the last byte is withheld.
async fn bodies_withheld_over_http_2(
    child: &ServerProcess,
    path: impl AsyncFn() -> String,
    frame: usize,
    bytes: usize,
) {
    let mut held = Vec::new();
    for _ in 0..STREAMS[1] {
        let mut send = h2(child, 1 << 20).await;
        for _ in 0..STREAMS[0] {
            let path = path().await;
            let request = http::Request::post(format!("http://a{path}"))
                .header("content-type", "application/json")
                .header("authorization", format!("Bearer {KEY}"))
                .body(())
                .unwrap();
            send = send.ready().await.unwrap();
            let (answer, mut body) = send.send_request(request, false).unwrap();
            for _ in 0..bytes / frame {
                if body
                    .send_data(Bytes::from(vec![b' '; frame]), false)
                    .is_err()
                {
                    break;
                }
            }
            held.push((answer, body, send.clone()));
        }
    }
    some_are_refused(child).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_over_http_2_that_never_end() {
    let child = server().await;
    costs_less_than(BODIES, &child, async {
        let api = async || "/v1/rooms/x/messages".to_owned();
        bodies_withheld_over_http_2(&child, api, 8 << 10, WITHHELD).await;
        let one = session(&mut child.dial().await, 4).await;
        bodies_withheld_over_http_2(&child, async || one.clone(), 8 << 10, WITHHELD).await;
        let each = async || session(&mut child.dial().await, 4).await;
        bodies_withheld_over_http_2(&child, each, 8 << 10, WITHHELD).await;
    })
    .await;
}

/// The head of a frame of a client's, masked with zeros.
fn head(first: u8, bytes: usize) -> Vec<u8> {
    let mut head = vec![first, 0x80 | 127];
    head.extend((bytes as u64).to_be_bytes());
    head.extend([0; 4]);
    head
}

const TEXT: u8 = 0x81;
const TEXT_BEGUN: u8 = 0x01;
const BINARY: u8 = 0x82;

/// A WebSocket at a path, every byte of it by hand.
async fn websocket(child: &ServerProcess, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(child.address).await.unwrap();
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket";
    let asked = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{upgrade}\r\n{key}\r\n\r\n");
    stream.write_all(asked.as_bytes()).await.unwrap();
    seen(&mut stream, "\r\n\r\n").await;
    stream
}

/// Reads until something was said.
async fn seen(stream: &mut TcpStream, what: &str) {
    let mut said = Vec::new();
    while !said.windows(what.len()).any(|part| part == what.as_bytes()) {
        let read = timeout(DEADLINE, stream.read_buf(&mut said)).await;
        assert!(
            read.unwrap().unwrap() > 0,
            "{}",
            String::from_utf8_lossy(&said)
        );
    }
}

/// A client of Socket.IO that is connected as a user.
async fn connected(child: &ServerProcess, user: &str, rooms: &str) -> TcpStream {
    let mut stream = websocket(child, "/socket.io/?EIO=4&transport=websocket").await;
    let connect = format!("40{{\"token\":\"{}\"}}", token(user, rooms));
    stream
        .write_all(&[head(TEXT, connect.len()), connect.into_bytes()].concat())
        .await
        .unwrap();
    seen(&mut stream, "\"session\"").await;
    stream
}

/// Sends as much as the server, or the system, takes in a moment.
async fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = timeout(Duration::from_millis(200), stream.write_all(bytes)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_websockets_that_never_end() {
    let path = format!("/ws?token={}", token("mallory", "x"));
    for path in ["/socket.io/?EIO=4&transport=websocket", &path] {
        for (first, bytes) in [(TEXT, WITHHELD - 1), (TEXT_BEGUN, WITHHELD)] {
            let child = server().await;
            costs_less_than(FRAMES, &child, async {
                let part = [head(first, WITHHELD), vec![b'x'; bytes]].concat();
                let _held = each(async |_| {
                    let mut stream = websocket(&child, path).await;
                    send(&mut stream, &part).await;
                    stream
                })
                .await;
                some_are_refused(&child).await;
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_which_the_last_attachment_never_comes() {
    let child = server().await;
    costs_less_than(FRAMES, &child, async {
        let event = r#"452-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
        let part = [
            head(TEXT, event.len()),
            event.into(),
            head(BINARY, WITHHELD),
            vec![b'x'; WITHHELD],
        ]
        .concat();
        let _held = each(async |_| {
            let mut stream = connected(&child, "mallory", "x").await;
            send(&mut stream, &part).await;
            stream
        })
        .await;
        some_are_refused(&child).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_come_faster_than_their_rate() {
    // What is stored is not what is tried here.
    let rates = [
        ("SWITCHBOARD_LIMITS_USER_MESSAGES_PER_SECOND", "40"),
        ("SWITCHBOARD_LIMITS_USER_MESSAGES_BURST", "40"),
    ];
    let child = server_with(&rates).await;
    costs_less_than(FRAMES, &child, async {
        let data = "x".repeat(30 << 10);
        let event = format!("42[\"message\",{{\"room\":\"x\",\"data\":\"{data}\"}}]");
        let flood = [head(TEXT, event.len()), event.into_bytes()]
            .concat()
            .repeat(10);
        let _held = each(async |_| {
            let mut stream = connected(&child, "mallory", "x").await;
            send(&mut stream, &flood).await;
            stream
        })
        .await;
        assert!(child.metric("switchboard_memory_held_bytes").await > 0.0);
    })
    .await;
}

/// A connection whose client takes next to nothing.
async fn dial_and_read_nothing(child: &ServerProcess) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(child.address).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_replayed_events() {
    let child = library().await;
    costs_less_than(PAST, &child, async {
        let bearers: Vec<_> = (0..5)
            .map(|user| token(&format!("mallory-{user}"), "full"))
            .collect();
        let _held = each_of(3 * READERS, async |number| {
            let mut stream = dial_and_read_nothing(&child).await;
            let bearer = &bearers[number % 5];
            let asked =
                format!("GET /events/full?history=100&token={bearer} HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(asked.as_bytes()).await.unwrap();
            stream
        })
        .await;
        some_are_refused(&child).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_replies_on_websockets() {
    let child = library().await;
    costs_less_than(ANSWERS, &child, async {
        let ask = "421[\"history\",{\"room\":\"full\",\"limit\":1000}]";
        let ask = [head(TEXT, ask.len()), ask.into()].concat();
        let _held = each_of(READERS, async |number| {
            let mut stream = connected(&child, &format!("mallory-{}", number % 5), "full").await;
            send(&mut stream, &ask).await;
            stream
        })
        .await;
        some_are_refused(&child).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polls_that_wait_with_large_heads() {
    let child = server().await;
    costs_less_than(FRAMES, &child, async {
        let bearer = token("mallory", "x");
        let cookie = "x".repeat(30 << 10);
        let poll = |query: &str| {
            format!(
                "GET /poll/x?{query} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {bearer}\r\n\
                 Cookie: {cookie}\r\n\r\n"
            )
        };
        let mut http = child.dial().await;
        http.send(poll("wait=0").as_bytes()).await;
        let (status, said) = http.answer().await;
        assert_eq!(status, 200, "{said}");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let poll = poll(&format!("since={}", said["cursor"].as_str().unwrap()));
        let _held = each(async |_| {
            let mut http = child.dial().await;
            http.send(poll.as_bytes()).await;
            http
        })
        .await;
        some_are_refused(&child).await;
    })
    .await;
}
