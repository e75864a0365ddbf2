//! The PROXY protocol in front of real connections: whom they count for, and who has to send it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

mod support;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use proxy_header::{ProxiedAddress, ProxyHeader, SslInfo, Tlv};
use rustls::pki_types::ServerName;
use support::{
    DEADLINE, Server,
    certificates::{Certificates, client_config},
    config,
};
use switchboard::config::{Config, Secret};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Message;

/// A client on another machine: an open server refuses it, and says whom it refused.
const ANN: &str = "198.51.100.7";
const ADMIN_KEY: &str = "the-key-of-the-tests-operators";

/// Behind a proxy on this machine.
fn behind_proxy() -> Config {
    let mut config = config();
    config.http.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    config.http.proxy_protocol = true;
    config
}

fn header(client: &str) -> ProxyHeader<'static> {
    let client = SocketAddr::new(client.parse().unwrap(), 40_000);
    let address = ProxiedAddress::stream(client, "192.0.2.1:443".parse().unwrap());
    ProxyHeader::with_address(address)
}

fn line(client: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    header(client).encode_v1(&mut bytes).unwrap();
    bytes
}

fn binary(header: &ProxyHeader<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode_v2(&mut bytes).unwrap();
    bytes
}

/// A connection that begins with these bytes.
async fn connect(server: &Server, start: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(start).await.unwrap();
    stream
}

/// What is answered to a request on a connection that begins with these bytes, until it ends.
async fn answer(server: &Server, start: &[u8], request: &str) -> String {
    let mut stream = connect(server, start).await;
    // A peer that is refused may find its connection closed.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut text = String::new();
    let _ = timeout(DEADLINE, stream.read_to_string(&mut text))
        .await
        .unwrap();
    text
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn a_connection_is_its_clients() {
    let server = Server::start(behind_proxy()).await;
    let request = get("/v1/rooms", "");
    for start in [line(ANN), binary(&header(ANN))] {
        let refused = answer(&server, &start, &request).await;
        assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
        assert!(refused.contains(ANN), "{refused}");
        // Headers are the client's own words.
        let forged = get("/v1/rooms", "x-forwarded-for: 127.0.0.1\r\n");
        let refused = answer(&server, &start, &forged).await;
        assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    }
    let own = answer(&server, &binary(&ProxyHeader::with_local()), &request).await;
    assert!(own.starts_with("HTTP/1.1 200 "), "{own}");
    server.stop().await;
}

#[tokio::test]
async fn a_proxy_that_sends_no_header_is_not_served() {
    let server = Server::start(behind_proxy()).await;
    let refused = || server.metric("switchboard_proxy_headers_refused_total");
    // A check of a proxy that only connects.
    let mut check = connect(&server, b"").await;
    check.shutdown().await.unwrap();
    assert_eq!(check.read(&mut [0]).await.unwrap(), 0);
    assert!(refused() < 0.5);
    assert_eq!(answer(&server, b"", &get("/healthz", "")).await, "");
    assert!((refused() - 1.0).abs() < 0.5);
    assert_eq!(
        answer(&server, b"PROXY TCP5 \r\n", &get("/healthz", "")).await,
        ""
    );
    assert!((refused() - 2.0).abs() < 0.5);
    server.stop().await;
}

#[tokio::test]
async fn who_is_no_trusted_proxy_cannot_write_a_header() {
    let mut config = behind_proxy();
    config.http.trusted_proxies = vec!["127.0.0.9/32".parse().unwrap()];
    let server = Server::start(config).await;
    let request = get("/healthz", "");
    let served = answer(&server, b"", &request).await;
    assert!(served.starts_with("HTTP/1.1 200 "), "{served}");
    let refused = answer(&server, &line("127.0.0.1"), &request).await;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    server.stop().await;
}

#[tokio::test]
async fn a_websocket_comes_behind_the_header() {
    let server = Server::start(behind_proxy()).await;
    let stream = connect(&server, &line("127.0.0.1")).await;
    let url = format!("ws://{}/ws/lobby?user=ann", server.address);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let event = r#"{"type":"text","data":"through the proxy"}"#;
    socket.send(Message::text(event)).await.unwrap();
    loop {
        let received = timeout(DEADLINE, socket.next()).await.unwrap().unwrap();
        if received
            .unwrap()
            .to_text()
            .unwrap()
            .contains("through the proxy")
        {
            break;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn tls_comes_behind_the_header() {
    let certificates = Certificates::new();
    certificates.make("localhost");
    let mut config = behind_proxy();
    config.tls = certificates.config(&["localhost"]).tls;
    let server = Server::start(config).await;
    let trusted = client_config(&certificates.file("localhost.pem"), &[]);
    let stream = connect(&server, &binary(&header(ANN))).await;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(trusted));
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream
        .write_all(get("/v1/rooms", "").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    let _ = timeout(DEADLINE, stream.read_to_string(&mut text))
        .await
        .unwrap();
    assert!(
        text.starts_with("HTTP/1.1 403 ") && text.contains(ANN),
        "{text}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_session_of_a_browser_that_came_over_tls_to_the_proxy_is_sent_by_tls_alone() {
    let mut config = behind_proxy();
    config.auth.admin_key = Some(Secret::new(ADMIN_KEY));
    let server = Server::start(config).await;
    let mut over_tls = header("127.0.0.2");
    over_tls.append_tlv(Tlv::Ssl(SslInfo::new(true, false, false, 0)));
    let body = format!(r#"{{"key":"{ADMIN_KEY}"}}"#);
    let request = format!(
        "POST /admin/session HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let secure = answer(&server, &binary(&over_tls), &request).await;
    assert!(secure.contains("; Secure\r\n"), "{secure}");
    let plain = answer(&server, &binary(&header("127.0.0.2")), &request).await;
    assert!(
        plain.contains("set-cookie") && !plain.contains("; Secure"),
        "{plain}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_silent_connection_of_a_proxy_is_closed_in_time() {
    let mut config = behind_proxy();
    config.http.header_timeout = Duration::from_millis(200);
    let server = Server::start(config).await;
    assert_eq!(answer(&server, &line(ANN)[..10], "").await, "");
    server.stop().await;
}

#[test]
fn it_needs_proxies_that_are_trusted() {
    let mut config = behind_proxy();
    config.check().unwrap();
    config.http.trusted_proxies.clear();
    let problem = config.check().unwrap_err().to_string();
    assert!(
        problem.contains("name the addresses of your proxies"),
        "{problem}"
    );
}
