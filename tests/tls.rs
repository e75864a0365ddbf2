//! TLS in this process, with real handshakes: what is spoken, what is told to whom, and certificates that change under clients.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use futures_util::{SinkExt, StreamExt};
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Signal, getpid, kill_process};
use rustls::pki_types::{CertificateDer, ServerName};
use support::{
    DEADLINE, Server,
    certificates::{Certificates, certificate, client_config},
    eventually,
};
use switchboard::config::Config;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::tungstenite::Message;

/// What a client speaks TLS with that trusts this certificate alone.
fn connector(trusted: &Path, alpn: &[&[u8]]) -> TlsConnector {
    Arc::new(client_config(trusted, alpn)).into()
}

async fn connect(
    address: SocketAddr,
    connector: &TlsConnector,
    host: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(host).unwrap();
    connector.connect(name, stream).await
}

/// Has the server of this process look at its files at once.
fn look_again() {
    kill_process(getpid(), Signal::HUP).unwrap();
}

/// The certificate that a connection was shown.
fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    chain[0].clone().into_owned()
}

async fn text(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut text = String::new();
    let read = timeout(DEADLINE, stream.read_to_string(&mut text)).await;
    read.unwrap().unwrap();
    text
}

#[tokio::test]
async fn http_1_and_2_are_served_over_tls_as_the_client_chooses() {
    let certificates = Certificates::new();
    certificates.make("localhost");
    let server = Server::start(certificates.config(&["localhost"])).await;
    let trusted = certificates.file("localhost.pem");

    let connector_1 = connector(&trusted, &[]);
    let mut stream = connect(server.address, &connector_1, "localhost")
        .await
        .unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    // That it ends without an error says that the server has ended it as TLS wants.
    let response = text(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");

    let connector_2 = connector(&trusted, &[b"h2", b"http/1.1"]);
    let stream = connect(server.address, &connector_2, "localhost")
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get("https://localhost/healthz")
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.version()),
        (200, Version::HTTP_2)
    );
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        r#"{"ok":true}"#
    );
    driver.abort();
    server.stop().await;
}

#[tokio::test]
async fn a_request_without_tls_is_told_to_use_it() {
    let certificates = Certificates::new();
    certificates.make("localhost");
    let server = Server::start(certificates.config(&["localhost"])).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = b"GET /ws HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let response = text(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 400"), "{response}");
    assert!(response.contains("write https:// or wss://"), "{response}");
    server.stop().await;
}

#[tokio::test]
async fn a_handshake_that_does_not_come_to_its_end_is_given_up() {
    let certificates = Certificates::new();
    certificates.make("localhost");
    let mut config = certificates.config(&["localhost"]);
    config.http.header_timeout = std::time::Duration::from_millis(300);
    let server = Server::start(config).await;
    // Nothing, the beginning of a record, and a record that is no handshake.
    for begin in [
        &b""[..],
        b"\x16\x03\x01\x02\x00\x01",
        b"\x16\x03\x01\x00\x02hi",
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(begin).await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{begin:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn of_several_certificates_a_client_is_shown_that_of_its_host() {
    let certificates = Certificates::new();
    for host in ["one.example", "two.example"] {
        certificates.make(host);
    }
    let server = Server::start(certificates.config(&["one.example", "two.example"])).await;
    for host in ["one.example", "two.example"] {
        let trusted = certificates.file(&format!("{host}.pem"));
        let stream = connect(server.address, &connector(&trusted, &[]), host)
            .await
            .unwrap();
        assert_eq!(shown(&stream), certificate(&trusted));
    }
    server.stop().await;
}

#[tokio::test]
async fn new_certificates_are_for_new_connections_and_open_ones_go_on() {
    let certificates = Certificates::new();
    certificates.make("localhost");
    let server = Server::start(certificates.config(&["localhost"])).await;
    let trusted = certificates.file("localhost.pem");
    let (first, before) = (connector(&trusted, &[]), certificate(&trusted));

    let stream = connect(server.address, &first, "localhost").await.unwrap();
    assert_eq!(shown(&stream), before);
    let url = format!(
        "wss://localhost:{}/ws/lobby?user=ann",
        server.address.port()
    );
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();

    // A key that is not that of the certificate changes nothing.
    let key = certificates.file("localhost.key");
    let good = fs::read(&key).unwrap();
    certificates.make("other");
    fs::copy(certificates.file("other.key"), &key).unwrap();
    let refused = || server.metric("switchboard_tls_certificates_refused");
    look_again();
    eventually("the bad key is seen", async || refused() > 0.0).await;
    let stream = connect(server.address, &first, "localhost").await.unwrap();
    assert_eq!(shown(&stream), before);
    fs::write(&key, good).unwrap();
    look_again();
    eventually("the good key is seen", async || refused() < 1.0).await;

    certificates.make("localhost");
    look_again();
    let second = connector(&trusted, &[]);
    eventually("the new certificate is in force", async || {
        connect(server.address, &second, "localhost").await.is_ok()
    })
    .await;
    // Not even a client that could resume its session goes on with the certificate of before.
    let refused = connect(server.address, &first, "localhost").await;
    assert!(refused.is_err());

    let event = r#"{"type":"text","data":"still here"}"#;
    socket.send(Message::text(event)).await.unwrap();
    loop {
        let received = timeout(DEADLINE, socket.next()).await.unwrap().unwrap();
        if received.unwrap().to_text().unwrap().contains("still here") {
            break;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_configuration_whose_certificates_cannot_be_used_says_why() {
    let certificates = Certificates::new();
    for host in ["one", "two"] {
        certificates.make(host);
    }
    let problem = |config: &Config| config.check().unwrap_err().to_string();
    let start = async |config: Config| {
        let built = switchboard::App::builder(config).build().await;
        built.err().map(|error| error.to_string()).unwrap()
    };
    let good = certificates.config(&["one", "two"]);
    good.check().unwrap();

    let mut config = good.clone();
    config.tls.key.pop();
    assert!(problem(&config).contains("2 certificates and 1 keys are given"));
    let mut config = good.clone();
    config.tls.key.reverse();
    // Whoever only asks a server does not need its files.
    config.check().unwrap();
    let said = start(config).await;
    assert!(said.contains("one.pem"), "{said}");
    let mut config = good.clone();
    config.tls.cert[1] = certificates.file("nowhere.pem");
    let said = start(config).await;
    assert!(said.contains("cannot read"), "{said}");
    let mut config = good.clone();
    config.tls.self_signed = true;
    assert!(problem(&config).contains("remove one of them"));
    let mut config = support::config();
    config.webtransport = true;
    assert!(problem(&config).contains("WebTransport needs TLS"));
    let mut config = support::config();
    config.redis.tls_cert = Some(certificates.file("one.pem"));
    let said = problem(&config);
    assert!(
        said.contains("set both") && said.contains("rediss://"),
        "{said}"
    );
}
