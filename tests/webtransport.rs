//! WebTransport with a client that is no browser: what is refused, what is hostile, and who does not read.
#![cfg(feature = "webtransport")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{DEADLINE, Server, certificates::Certificates, eventually};
use switchboard::config::{ByteSize, Config, Secret};
use tokio::{io::AsyncReadExt, time::timeout};
use wtransport::{
    ClientConfig, Connection, Endpoint, RecvStream, SendStream,
    endpoint::{ConnectOptions, endpoint_side},
    error::{ConnectingError, ConnectionError},
};

const SECRET: &str = "a secret of thirty-two bytes, at least";

/// A server with WebTransport, and clients of it.
struct Setup {
    certificates: Certificates,
    server: Server,
}

impl Setup {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let certificates = Certificates::new();
        certificates.make("localhost");
        let mut config = certificates.config(&["localhost"]);
        config.webtransport = true;
        change(&mut config);
        let server = Server::start(config).await;
        Self {
            certificates,
            server,
        }
    }

    fn endpoint(&self) -> Endpoint<endpoint_side::Client> {
        let trusted = self.certificates.file("localhost.pem");
        let tls = support::certificates::client_config(&trusted, &[b"h3"]);
        let config = ClientConfig::builder().with_bind_address("127.0.0.1:0".parse().unwrap());
        Endpoint::client(config.with_custom_tls(tls).build()).unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.address.port())
    }

    /// Begins a session.
    async fn dial(&self) -> Result<Connection, ConnectingError> {
        self.endpoint().connect(self.url("/socket.io/")).await
    }

    /// Begins a session as a page does.
    async fn dial_from(&self, origin: &str) -> Result<Connection, ConnectingError> {
        let options = ConnectOptions::builder(self.url("/socket.io/"));
        let options = options.add_header("origin", origin).build();
        self.endpoint().connect(options).await
    }

    async fn client(&self, auth: &Value) -> Client {
        let mut client = Client::open(self.dial().await.unwrap()).await;
        client.send("0").await;
        assert!(client.text().await.starts_with("0{"));
        client.send(&format!("40{auth}")).await;
        assert!(client.text().await.starts_with("40{"));
        client
    }
}

/// A client that speaks Engine.IO's packets by hand.
struct Client {
    connection: Connection,
    writer: SendStream,
    reader: RecvStream,
}

impl Client {
    async fn open(connection: Connection) -> Self {
        let opening = connection.open_bi().await.unwrap();
        let (writer, reader) = opening.await.unwrap();
        Self {
            connection,
            writer,
            reader,
        }
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.writer.write_all(bytes).await;
    }

    async fn send(&mut self, text: &str) {
        let mut packet = match u8::try_from(text.len()) {
            Ok(length) if length < 126 => vec![length],
            _ => {
                let length = u16::try_from(text.len()).unwrap();
                [&[126][..], &length.to_be_bytes()].concat()
            }
        };
        packet.extend_from_slice(text.as_bytes());
        self.send_bytes(&packet).await;
    }

    async fn text(&mut self) -> String {
        let read = async {
            let length = match self.reader.read_u8().await? {
                126 => self.reader.read_u16().await?.into(),
                length => usize::from(length),
            };
            let mut packet = vec![0; length];
            AsyncReadExt::read_exact(&mut self.reader, &mut packet).await?;
            std::io::Result::Ok(packet)
        };
        let packet = timeout(DEADLINE, read).await.unwrap().unwrap();
        String::from_utf8(packet).unwrap()
    }

    /// Waits for a packet that has this in it.
    async fn until(&mut self, part: &str) -> String {
        loop {
            let text = self.text().await;
            if text == "2" {
                self.send("3").await;
            }
            if text.contains(part) {
                return text;
            }
        }
    }

    /// Code and reason of the close.
    async fn closed(&self) -> (u64, String) {
        let closed = timeout(DEADLINE, self.connection.closed()).await.unwrap();
        match closed {
            ConnectionError::ApplicationClosed(close) => (
                close.code().into_inner(),
                String::from_utf8_lossy(close.reason()).into_owned(),
            ),
            other => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_client_talks_with_those_of_other_transports() {
    let setup = Setup::new(|_| {}).await;
    let mut ann = setup.client(&json!({ "user": "ann" })).await;
    ann.send(r#"421["join","lobby"]"#).await;
    ann.until("431[").await;
    ann.send(r#"422["message",{"room":"lobby","data":"hello"}]"#)
        .await;
    ann.until("432[").await;
    assert_eq!(setup.server.hub.connections().len(), 1);
    ann.connection.close(0_u32.into(), b"");
    eventually("the client is gone", async || {
        setup.server.hub.connections().is_empty()
    })
    .await;
    setup.server.stop().await;
}

#[tokio::test]
async fn a_client_that_is_not_heard_any_more_is_gone_after_its_pings() {
    let setup = Setup::new(|config| {
        config.socketio.ping_interval = Duration::from_millis(300);
        config.socketio.ping_timeout = Duration::from_millis(300);
    })
    .await;
    let client = setup.client(&json!({ "user": "ann" })).await;
    // It answers no ping.
    eventually("the client is gone", async || {
        setup.server.hub.connections().is_empty()
    })
    .await;
    drop(client);
    setup.server.stop().await;
}

#[tokio::test]
async fn foreign_pages_other_paths_bad_tokens_and_too_many_connections_are_refused() {
    let setup = Setup::new(|config| {
        config.auth.hmac_secret = Some(Secret::new(SECRET));
        config.http.origins = vec!["https://app.example".parse().unwrap()];
    })
    .await;
    setup.dial_from("https://app.example").await.unwrap();
    let nowhere = setup.endpoint().connect(setup.url("/nowhere")).await;
    assert!(matches!(nowhere, Err(ConnectingError::SessionRejected)));

    let mut client = Client::open(setup.dial().await.unwrap()).await;
    client.send("0").await;
    assert!(client.text().await.starts_with("0{"));
    client.send(r#"40{"token":"not one"}"#).await;
    let refusal = client.text().await;
    assert!(refusal.starts_with("44"), "{refusal}");
    setup.server.stop().await;

    let setup = Setup::new(|_| {}).await;
    let refused = setup.dial_from("https://elsewhere.example").await;
    assert!(matches!(refused, Err(ConnectingError::SessionRejected)));
    setup.dial_from("http://localhost:5173").await.unwrap();
    setup.server.stop().await;

    let setup = Setup::new(|config| config.limits.connections = 1).await;
    let first = setup.client(&json!({ "user": "ann" })).await;
    let mut second = Client::open(setup.dial().await.unwrap()).await;
    second.send("0").await;
    let (code, reason) = second.closed().await;
    assert_eq!(code, 1011, "{reason}");
    assert!(!reason.is_empty());
    drop(first);
    setup.server.stop().await;
}

#[tokio::test]
async fn hostile_first_packets_and_streams_end_their_session_alone() {
    let setup = Setup::new(|config| {
        config.socketio.upgrade_timeout = Duration::from_millis(500);
        config.socketio.max_payload = ByteSize::new(1 << 20);
    })
    .await;
    let mut good = setup.client(&json!({ "user": "ann" })).await;
    let sid = r#"0{"sid":"AAAAAAAAAAAAAAHs"}"#;
    let unknown = [&[sid.len() as u8][..], sid.as_bytes()].concat();
    for first in [
        &b""[..],
        b"\x00",
        b"\x012",
        b"\x03000",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x7e\xff\xff",
        &unknown,
    ] {
        let mut client = Client::open(setup.dial().await.unwrap()).await;
        client.send_bytes(first).await;
        let closed = timeout(DEADLINE, client.connection.closed()).await;
        assert!(closed.is_ok(), "{first:?}");
    }
    // No stream at all.
    let silent = setup.dial().await.unwrap();
    timeout(DEADLINE, silent.closed()).await.unwrap();

    // Behind an open packet: a length beyond all bounds, one that is larger than a payload, and bytes that are no packet.
    for next in [
        &b"\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..],
        b"\x7f\x00\x00\x00\x00\x7f\xff\xff\xffxx",
        b"\x05zzzzz",
    ] {
        let mut client = Client::open(setup.dial().await.unwrap()).await;
        client.send("0").await;
        assert!(client.text().await.starts_with("0{"));
        client.send_bytes(next).await;
        let closed = timeout(DEADLINE, client.connection.closed()).await;
        assert!(closed.is_ok(), "{next:?}");
    }

    // Other streams and datagrams are nobody's: who sends them fills its own window.
    let greedy = setup.client(&json!({ "user": "greedy" })).await;
    let soon = Duration::from_millis(100);
    for _ in 0..3 {
        if let Ok(Ok(opening)) = timeout(soon, greedy.connection.open_uni()).await
            && let Ok(Ok(mut stream)) = timeout(soon, opening).await
        {
            let _ = timeout(soon, stream.write_all(&[0; 100_000])).await;
        }
        let _ = greedy.connection.send_datagram([7; 1000]);
    }
    good.send(r#"421["join","lobby"]"#).await;
    good.until("431[").await;
    setup.server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_as_slow() {
    let setup = Setup::new(|config| {
        config.limits.outbox_bytes = ByteSize::new(256 << 10);
        config.limits.stall = Duration::from_secs(1);
    })
    .await;
    let mut slow = setup.client(&json!({ "user": "slow" })).await;
    slow.send(r#"421["join","lobby"]"#).await;
    slow.until("431[").await;
    let publish = |n: usize| {
        let name = switchboard::model::RoomName::parse("lobby").unwrap();
        let data = format!("{n}{}", "x".repeat(30_000));
        switchboard::hub::Publish::new(name, "message", &data).unwrap()
    };
    let root = switchboard::model::Namespace::root();
    let mut sent = 0;
    eventually("the slow client is closed", async || {
        sent += 1;
        let outcome = setup
            .server
            .hub
            .publish_as(&root, publish(sent), None)
            .await;
        outcome.unwrap().settled().await.unwrap();
        setup.server.hub.connections().is_empty()
    })
    .await;
    // What is told to the client is behind what it has not read.
    let slow_ones = r#"switchboard_connections_closed_total{reason="slow"}"#;
    assert!(setup.server.metric(slow_ones) >= 1.0);
    setup.server.stop().await;
}

#[tokio::test]
async fn a_draining_server_closes_sessions_and_takes_no_new_ones() {
    let setup = Setup::new(|config| config.drain.over = Some(Duration::from_millis(100))).await;
    let mut client = setup.client(&json!({ "user": "ann" })).await;
    let address = setup.server.address;
    let stopping = tokio::spawn(setup.server.stop());
    client.until("draining").await;
    let (code, _) = client.closed().await;
    assert_eq!(code, 1001);
    stopping.await.unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn new_sessions_see_a_new_certificate() {
    let setup = Setup::new(|_| {}).await;
    let before = setup.endpoint();
    let mut client = setup.client(&json!({ "user": "ann" })).await;
    setup.certificates.make("localhost");
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    eventually("the new certificate is in force", async || {
        setup.dial().await.is_ok()
    })
    .await;
    assert!(before.connect(setup.url("/socket.io/")).await.is_err());
    client.send(r#"421["join","lobby"]"#).await;
    client.until("431[").await;
    setup.server.stop().await;
}
