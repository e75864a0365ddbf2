//! `switchboard load` against servers that keep their promises, and against one that does not.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{
    io::{Read, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt, future::join_all};
use serde_json::{Value, json};
use support::{DEADLINE, Server, config, port::ClaimedPort, process::ServerProcess};
use switchboard::config::{ByteSize, Config};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// How a load ended.
struct Ended {
    code: Option<i32>,
    report: Value,
    stdout: String,
    stderr: String,
}

impl Ended {
    /// A number of the report.
    fn number(&self, pointer: &str) -> f64 {
        let value = self.report.pointer(pointer);
        value
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("no {pointer} in {}", self.stdout))
    }

    /// It has said this while it ran.
    #[track_caller]
    fn warns(&self, text: &str) {
        assert!(self.stderr.contains(text), "no {text} in {}", self.stderr);
    }

    /// The load has found no fault, and something was delivered.
    #[track_caller]
    fn is_faultless(&self) {
        let faults = ["lost", "repeated", "disordered"]
            .map(|fault| self.number(&format!("/deliveries/{fault}")));
        assert_eq!(faults, [0.0; 3], "{}{}", self.stdout, self.stderr);
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        assert!(self.number("/deliveries/received") > 0.0);
    }
}

/// The command for a short load.
fn load_command(address: SocketAddr, options: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_switchboard"));
    command
        .args(["load", &format!("http://{address}"), "--json"])
        .args(["--warm-up", "100ms", "--duration", "400ms"])
        .args(options.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a load beside the server in this process.
async fn load(address: SocketAddr, options: &str) -> Ended {
    let mut command = load_command(address, options);
    tokio::task::spawn_blocking(move || ended(command.spawn().unwrap()))
        .await
        .unwrap()
}

/// Runs the same load over all transports at the same time.
async fn load_on_every_transport(address: SocketAddr, options: &str) -> Vec<(&'static str, Ended)> {
    let loads = ["socket.io", "polling", "ws", "sse"].map(async |transport| {
        let options = format!("--transport {transport} {options}");
        (transport, load(address, &options).await)
    });
    join_all(loads).await
}

fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    Ended {
        code: output.status.code(),
        report: serde_json::from_str(&stdout).unwrap_or_default(),
        stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A configuration that a load does not run into.
fn unlimited() -> Config {
    let mut config = config();
    config.limits.connects_per_second = 0;
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_delivers_every_message_once_in_a_closed_loop() {
    let server = Server::start(unlimited()).await;
    let options = "--connections 12 --rooms 3 --senders 6 --in-flight 4";
    for (transport, ended) in load_on_every_transport(server.address, options).await {
        ended.is_faultless();
        let receivers = ended.number("/deliveries/received") / ended.number("/messages/sent");
        assert_eq!(
            receivers, 4.0,
            "{transport}: all members of a room receive all of its messages"
        );
        assert!(
            ended.number("/messages/ack_ms/p50") > 0.0,
            "{}",
            ended.stdout
        );
        assert!(
            ended.number("/deliveries/latency_ms/p99") > 0.0,
            "{}",
            ended.stdout
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_is_kept_on_every_transport() {
    let server = Server::start(unlimited()).await;
    let options = "--connections 8 --members 4 --rate 400 --size 64-300";
    for (transport, ended) in load_on_every_transport(server.address, options).await {
        ended.is_faultless();
        // Half a second in all, its begin and its end included.
        let sent = ended.number("/messages/sent");
        assert!((150.0..=400.0).contains(&sent), "{transport}: {sent}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_in_flight_until_all_members_have_them_and_senders_need_no_echo() {
    let server = Server::start(unlimited()).await;
    let ended = load(
        server.address,
        "--connections 20 --until delivered --in-flight 2 --no-echo --threads 2",
    )
    .await;
    ended.is_faultless();
    let receivers = ended.number("/deliveries/received") / ended.number("/messages/sent");
    assert_eq!(receivers, 19.0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_cut_come_back_without_a_loss() {
    let server = Server::start(unlimited()).await;
    let options = "--connections 20 --rooms 4 --rate 300 --cuts 40 --reconnect-after 50ms";
    for (transport, ended) in load_on_every_transport(server.address, options).await {
        ended.is_faultless();
        assert!(
            ended.number("/faults/cut") > 3.0,
            "{transport}: {}",
            ended.stdout
        );
        let back = ended.number("/faults/recovered") + ended.number("/faults/started_anew");
        assert!(
            back >= ended.number("/faults/cut"),
            "{transport}: {}",
            ended.stdout
        );
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_back_after_a_storm() {
    let server = Server::start(unlimited()).await;
    let ended = load(
        server.address,
        "--connections 100 --rooms 10 --rate 200 --storm 200ms",
    )
    .await;
    ended.is_faultless();
    assert!(ended.number("/faults/cut") >= 100.0, "{}", ended.stdout);
    assert!(
        ended.number("/faults/storms_ms/0") > 0.0,
        "{}",
        ended.stdout
    );
    server.stop().await;
}

/// A server with its log on disk that can be killed and started again on its port.
struct Restarted {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
    _port: ClaimedPort,
}

impl Restarted {
    fn start() -> Self {
        let port = ClaimedPort::claim();
        let address = SocketAddr::from(([127, 0, 0, 1], port.number));
        let folder = TempDir::new().unwrap();
        let child = Self::spawn(&folder, address);
        Self {
            child,
            folder,
            address,
            _port: port,
        }
    }

    fn spawn(folder: &TempDir, address: SocketAddr) -> Child {
        let child = Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .args(["--listen", &address.to_string(), "--store", "sqlite"])
            .args(["--limits-messages-per-second", "0"])
            .args(["--limits-user-messages-per-second", "0"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < DEADLINE, "the server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills it as `kill -9` does, and starts it again.
    fn restart(&mut self) {
        self.kill();
        self.child = Self::spawn(&self.folder, self.address);
    }
}

impl Drop for Restarted {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The messages that a server has stored, by its metrics.
fn messages_stored(address: SocketAddr) -> f64 {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix("switchboard_messages_total "));
    value.map_or(0.0, |value| value.parse().unwrap())
}

#[test]
fn nothing_is_lost_when_the_server_is_killed_and_started_again() {
    let mut server = Restarted::start();
    let mut command = load_command(
        server.address,
        "--connections 20 --rooms 5 --rate 200 --duration 1500ms --reconnect-after 100ms",
    );
    let load = command.spawn().unwrap();
    let began = Instant::now();
    while messages_stored(server.address) < 50.0 {
        assert!(began.elapsed() < DEADLINE, "nobody sends");
        std::thread::sleep(Duration::from_millis(5));
    }
    server.restart();
    let ended = ended(load);
    ended.is_faultless();
    assert!(ended.number("/faults/dropped") >= 20.0, "{}", ended.stdout);
    assert!(
        ended.number("/faults/recovered") >= 20.0,
        "{}",
        ended.stdout
    );
}

#[test]
fn the_cost_of_the_server_and_of_idle_connections_is_reported() {
    let server = ServerProcess::start(&[], &["--store", "memory"]);
    let ended = ended(
        load_command(server.address, "--connections 100 --idle")
            .spawn()
            .unwrap(),
    );
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.number("/server/pid"), f64::from(server.id()));
    let each = ended.number("/server/memory_per_connection_bytes");
    assert!((1e3..1e6).contains(&each), "{each}");
    assert!(ended.number("/connect/per_second") > 0.0);
    assert!(ended.number("/client/memory_bytes") > 0.0);
}

#[test]
fn the_table_says_the_same_for_people() {
    let server = ServerProcess::start(&[], &["--store", "memory"]);
    let output = Command::new(env!("CARGO_BIN_EXE_switchboard"))
        .args([
            "load",
            &format!("http://{}", server.address),
            "--connections",
            "5",
        ])
        .args(["--rate", "20", "--warm-up", "0", "--duration", "300ms"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "connects    5 joined in",
        "0 lost, 0 repeated, 0 out of order",
        "send until received",
        "µs a delivery",
        "ok: every message arrived once and in order",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert_eq!(output.stderr, b"", "nobody looks, and it was short");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_connections_is_said_at_once_with_the_option_that_raises_it() {
    let mut config = unlimited();
    config.limits.connections = 5;
    let server = Server::start(config).await;
    let options = "--connections 8 --rate 50 --connect-timeout 300ms";
    let ended = load(server.address, options).await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    ended.warns("raise limits.connections of the server");
    assert_eq!(ended.number("/connect/missing"), 3.0);
    assert_eq!(ended.report["refusals"][0]["code"], "limit_reached");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_the_server_does_not_take_is_said_to_be_the_limit() {
    let mut config = unlimited();
    config.limits.messages_per_second = 100;
    let server = Server::start(config).await;
    let (open, closed) = tokio::join!(
        load(server.address, "--connections 2 --rate 150"),
        load(
            server.address,
            "--connections 2 --in-flight 64 --duration 1s"
        ),
    );
    open.is_faultless();
    open.warns("limits.messages_per_second of the server (100");
    closed.is_faultless();
    closed.warns("senders reach limits.messages_per_second");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_whose_messages_are_all_refused_fails_and_says_why() {
    let mut config = unlimited();
    config.limits.message_bytes = ByteSize::new(50);
    let server = Server::start(config).await;
    let ended = load(server.address, "--connections 2 --rate 50").await;
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    ended.warns("raise limits.message_bytes");
    assert!(ended.number("/messages/refused") > 0.0, "{}", ended.stdout);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_wants_tokens_is_given_them() {
    const SECRET: &str = "a secret that is long enough for HS256";
    let server = ServerProcess::start(&[], &["--store", "memory", "--auth-hmac-secret", SECRET]);
    let refused = load(server.address, "--connections 2").await;
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("nobody could connect") && refused.stderr.contains("--token"),
        "{}",
        refused.stderr
    );

    let tokens: Vec<String> = ["ann", "bob"]
        .iter()
        .map(|user| {
            let output = Command::new(env!("CARGO_BIN_EXE_switchboard"))
                .args(["token", "--sub", user, "--auth-hmac-secret", SECRET])
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        })
        .collect();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tokens");
    std::fs::write(&file, tokens.join("\n")).unwrap();
    let path = file.to_str().unwrap();
    for who in [
        format!("--token-file {path}"),
        format!("--token {}", tokens[0]),
    ] {
        let options = format!("--connections 2 --rate 40 {who}");
        let ended = load_on_every_transport(server.address, &options).await;
        ended.iter().for_each(|(_, ended)| ended.is_faultless());
    }
}

#[test]
fn wrong_options_are_refused_with_what_to_do() {
    for (options, what) in [
        ("https://example.com", "TLS is not supported"),
        ("--rooms 200", "a room has at least one member"),
        ("--senders 200", "ask for more connections"),
        ("--size 8", "at least 38 bytes"),
        ("--rate 0", "so many a second"),
        (
            "--target socket.io --transport ws",
            "--transport socket.io or polling",
        ),
        ("--target socket.io", "add --acks"),
        ("--target socket.io --send-args 1", "{data}"),
        ("--token-file /nowhere", "cannot be read"),
        ("--room a/b", "letters, digits"),
        ("--connections 9000000", "raise the limit (ulimit -n"),
        ("--rate 5 --in-flight 3", "cannot be used with"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_switchboard"))
            .arg("load")
            .args(options.split_whitespace())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{options:?}: {text}");
        assert!(text.contains(what), "{options:?}: {text}");
    }
}

/// What a server does wrong with the message of this number.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Loses(usize),
    Repeats(usize),
    /// Delivers it behind the next one.
    Delays(usize),
}

/// Serves one client with the contract's events and a fault.
async fn serve_one(stream: TcpStream, fault: Fault) {
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    send(
        &mut socket,
        r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":20000}"#,
    )
    .await;
    let (mut number, mut seq, mut delayed) = (0, 0, None);
    while let Some(Ok(Message::Text(packet))) = socket.next().await {
        if packet.starts_with("40") {
            send(&mut socket, r#"40{"sid":"b"}"#).await;
            send(&mut socket, r#"42["session",{"user":"load-1"}]"#).await;
        }
        let Some((ack, event)) = packet
            .strip_prefix("42")
            .and_then(|rest| rest.split_at_checked(rest.find('[')?))
        else {
            continue;
        };
        let event: Value = serde_json::from_str(event).unwrap();
        let (name, body) = (event[0].as_str().unwrap(), &event[1]);
        if name == "join" {
            send(
                &mut socket,
                &format!(r#"43{ack}[{{"ok":true,"epoch":"e","seq":0}}]"#),
            )
            .await;
            continue;
        }
        send(&mut socket, &format!(r#"43{ack}[{{"ok":true}}]"#)).await;
        let times = match fault {
            Fault::Loses(lost) if lost == number => 0,
            Fault::Repeats(repeated) if repeated == number => 2,
            _ => 1,
        };
        let mut due = vec![body["data"].clone(); times];
        match fault {
            Fault::Delays(late) if late == number => delayed = due.pop(),
            _ => due.extend(delayed.take()),
        }
        for data in due {
            seq += 1;
            let text = data.as_str().unwrap();
            // The order of fields is the contract's, which serde_json's maps do not keep.
            send(
                &mut socket,
                &format!(
                    r#"42["message",{{"seq":{seq},"event":"message","data":"{text}"}},"{seq}~"]"#
                ),
            )
            .await;
        }
        number += 1;
    }
}

async fn send(socket: &mut WebSocketStream<TcpStream>, text: &str) {
    // A client that is done is gone.
    let _ = socket.send(Message::text(text)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_loses_repeats_or_reorders_a_message_is_found_out() {
    let checks = [
        (Fault::None, json!([0, 0, 0])),
        (Fault::Loses(3), json!([1, 0, 0])),
        (Fault::Repeats(3), json!([0, 1, 0])),
        (Fault::Delays(3), json!([0, 0, 1])),
    ];
    join_all(checks.map(|(fault, found)| is_found_out(fault, found))).await;
}

/// Loads a server with this fault, and finds so many messages lost, repeated and out of order.
async fn is_found_out(fault: Fault, found: Value) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_one(stream, fault));
        }
    });
    let ended = load(address, "--connections 1 --rate 50 --drain 200ms").await;
    let faults = ["lost", "repeated", "disordered"];
    let counts = faults.map(|fault| &ended.report["deliveries"][fault]);
    assert_eq!(
        json!(counts),
        found,
        "{fault:?}: {}{}",
        ended.stdout,
        ended.stderr
    );
    let expected = i32::from(!matches!(fault, Fault::None));
    assert_eq!(ended.code, Some(expected), "{fault:?}");
    serving.abort();
}
