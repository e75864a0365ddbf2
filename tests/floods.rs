//! Much of what costs a client nothing to send: others have their turn meanwhile, and it is read no faster than it may come.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use support::{DEADLINE, Raw, Server, config};
use switchboard::config::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Builder,
};
use tokio_tungstenite::tungstenite::Message;

/// The longest turn of a task, in a debug build. A turn without bound would take seconds here.
const LONGEST_TURN: Duration = Duration::from_millis(30);

/// Does the same several times, unless no turn was long at once: the machine has others to serve, too. The server has one
/// thread, and its client another one.
fn no_turn_is_long(what: &str, mut work: impl AsyncFnMut(&Server)) {
    let mut threads = Builder::new_multi_thread();
    let servers = threads.worker_threads(1).enable_all().build().unwrap();
    let clients = Builder::new_current_thread().enable_all().build().unwrap();
    let mut longest = Duration::MAX;
    for _ in 0..5 {
        let server = servers.block_on(Server::start(unpaced()));
        let done = Arc::new(AtomicBool::new(false));
        let turns = servers.spawn(longest_turn(done.clone()));
        clients.block_on(work(&server));
        done.store(true, Ordering::Relaxed);
        longest = longest.min(servers.block_on(turns).unwrap());
        if longest < LONGEST_TURN {
            return;
        }
    }
    panic!("{what}: others waited for {longest:?}");
}

/// The longest that a task has to wait for its turn until `done`, by the time that others of its thread take.
async fn longest_turn(done: Arc<AtomicBool>) -> Duration {
    let mut longest = Duration::ZERO;
    while !done.load(Ordering::Relaxed) {
        let before = time_of_thread();
        tokio::task::yield_now().await;
        longest = longest.max(time_of_thread() - before);
    }
    longest
}

/// How long this thread has had the processor.
fn time_of_thread() -> Duration {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let run = times.split_once(' ').unwrap().0;
    Duration::from_nanos(run.parse().unwrap())
}

fn unpaced() -> Config {
    let mut config = config();
    config.limits.packets_per_second = 0;
    config.limits.inbox = 1 << 20;
    config
}

/// Begins a session by polling; the address of its requests.
async fn polling(server: &Server, protocol: u8) -> String {
    let path = format!("/socket.io/?EIO={protocol}&transport=polling");
    let opened = http(server, "GET", &path, b"").await;
    let sid = opened.split_once("\"sid\":\"").unwrap().1;
    format!("{path}&sid={}", sid.split_once('"').unwrap().0)
}

/// One request on a connection of its own; the whole answer.
async fn http(server: &Server, method: &str, path: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        server.address,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_payload_of_many_packets_leaves_others_their_turn() {
    for (protocol, packet, separator) in [(4, "3", "\u{1e}"), (3, "1:2", ""), (4, "6", "\u{1e}")] {
        let body = vec![packet; 60_000].join(separator);
        no_turn_is_long(packet, async |server| {
            let path = polling(server, protocol).await;
            let answer = http(server, "POST", &path, body.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        });
    }
}

#[tokio::test]
async fn more_packets_than_a_payload_may_have_end_the_session_with_an_error() {
    let server = Server::start(unpaced()).await;
    for (protocol, packet, separator) in [(4, "6", "\u{1e}"), (3, "1:6", "")] {
        let path = polling(&server, protocol).await;
        let body = vec![packet; 70_000].join(separator);
        let answer = http(&server, "POST", &path, body.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("too many packets"), "{answer}");
        let answer = http(&server, "POST", &path, b"3").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}

#[test]
fn a_flood_of_rubbish_on_a_plain_websocket_leaves_others_their_turn() {
    no_turn_is_long("/ws", async |server| {
        let url = format!("ws://{}/ws", server.address);
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        for _ in 0..20_000 {
            socket.feed(Message::text("{}")).await.unwrap();
        }
        socket.flush().await.unwrap();
        let mut answers = 0;
        while answers < 20_000 {
            let text = socket.next().await.unwrap().unwrap().into_text().unwrap();
            answers += u32::from(text.contains("\"error\""));
        }
    });
}

#[test]
fn an_inbox_full_of_cheap_events_leaves_others_their_turn() {
    no_turn_is_long("inbox", async |server| {
        let mut client = Raw::connect(server, "alice").await;
        client.send_together(&["42[\"typing\",1]"; 20_000]).await;
        let last = client.call("nothing", ().into()).await;
        assert_eq!(last["ok"], false);
    });
}

fn paced() -> Config {
    let mut config = config();
    config.limits.packets_per_second = 1_000;
    config.limits.packets_burst = 1_000;
    config
}

/// Two seconds over the burst, of which a part may be read in one go with what is behind it.
const MANY: usize = 3_000;

#[tokio::test]
async fn pings_on_a_plain_websocket_are_read_at_their_rate_and_later_messages_are_handled() {
    let server = Server::start(paced()).await;
    let url = format!("ws://{}/ws/lobby", server.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let begin = Instant::now();
    for _ in 0..MANY {
        socket.feed(Message::Ping(b"x"[..].into())).await.unwrap();
    }
    let message = r#"{"type":"text","id":"m","data":1}"#;
    socket.send(Message::text(message)).await.unwrap();
    let acknowledged = async {
        while !socket
            .next()
            .await
            .unwrap()
            .unwrap()
            .into_text()
            .is_ok_and(|text| text.contains("\"ack\""))
        {}
    };
    tokio::time::timeout(DEADLINE, acknowledged).await.unwrap();
    assert!(
        begin.elapsed() > Duration::from_secs(1),
        "{:?}",
        begin.elapsed()
    );
    assert!(server.metric("switchboard_held_back_seconds_count") > 0.0);
}

#[tokio::test]
async fn packets_without_an_event_are_read_at_their_rate_over_socketio() {
    let server = Server::start(paced()).await;
    for packet in ["3", "6", "43999[]", "42/nowhere,[\"a\"]"] {
        let mut client = Raw::connect(&server, "alice").await;
        let begin = Instant::now();
        client.send_together(&vec![packet; MANY]).await;
        assert_eq!(client.call("join", "lobby".into()).await["ok"], true);
        assert!(
            begin.elapsed() > Duration::from_secs(1),
            "{packet}: {:?}",
            begin.elapsed()
        );
    }
    let path = polling(&server, 4).await;
    let begin = Instant::now();
    let body = vec!["3"; MANY].join("\u{1e}");
    let answer = http(&server, "POST", &path, body.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(begin.elapsed() > Duration::from_secs(1));
}
