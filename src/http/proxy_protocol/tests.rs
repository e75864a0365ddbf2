//! Headers of both versions, in one piece and dripped, and what a client sends behind them.

use proptest::prelude::*;
use proxy_header::{ProxiedAddress, SslInfo, Tlv};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;

const CLIENT: &str = "198.51.100.7:40000";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

fn header(source: &str, destination: &str) -> ProxyHeader<'static> {
    let stream = ProxiedAddress::stream(source.parse().unwrap(), destination.parse().unwrap());
    ProxyHeader::with_address(stream)
}

fn line(header: &ProxyHeader<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode_v1(&mut bytes).unwrap();
    bytes
}

fn binary(header: &ProxyHeader<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode_v2(&mut bytes).unwrap();
    bytes
}

/// What is read from a peer that sends these pieces, and what is left in the socket. The peer has closed then.
async fn received(pieces: &[&[u8]]) -> (io::Result<Option<ProxiedClient>>, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sender = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    sender.set_nodelay(true).unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let reading = async {
        let read = read(&mut stream, Duration::from_secs(10)).await;
        let mut rest = Vec::new();
        // A peer that was refused may have reset the connection.
        let _ = stream.read_to_end(&mut rest).await;
        (read, rest)
    };
    let sending = async {
        for piece in pieces {
            sender.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        drop(sender);
    };
    tokio::join!(reading, sending).0
}

async fn is_refused(bytes: &[u8]) -> String {
    received(&[bytes]).await.0.unwrap_err().to_string()
}

#[tokio::test]
async fn a_header_of_either_version_names_the_client_and_leaves_its_request() {
    for (client, server) in [
        (CLIENT, "192.0.2.1:443"),
        ("[2001:db8::7]:40000", "[2001:db8::1]:443"),
    ] {
        let expected = ProxiedClient {
            address: client.parse().unwrap(),
            tls: false,
        };
        for bytes in [
            line(&header(client, server)),
            binary(&header(client, server)),
        ] {
            let whole = [&bytes, REQUEST].concat();
            let (read, rest) = received(&[&whole]).await;
            assert_eq!((read.unwrap(), &*rest), (Some(expected), REQUEST));
            // Byte by byte.
            let (read, rest) = received(&whole.chunks(1).collect::<Vec<_>>()).await;
            assert_eq!((read.unwrap(), &*rest), (Some(expected), REQUEST));
        }
    }
}

#[tokio::test]
async fn a_proxy_says_whether_its_client_came_over_tls() {
    let mut over_tls = header(CLIENT, "192.0.2.1:443");
    over_tls.append_tlv(Tlv::Authority("chat.example".into()));
    over_tls.append_tlv(Tlv::Ssl(SslInfo::new(true, false, false, 0)));
    let (read, _) = received(&[&binary(&over_tls)]).await;
    assert!(read.unwrap().unwrap().tls);
}

#[tokio::test]
async fn a_request_of_the_proxys_own_names_nobody() {
    for bytes in [
        &LOCAL[..],
        &binary(&ProxyHeader::with_local()),
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff:f::1 ffff:f::1 65535 65535\r\n",
    ] {
        let (read, rest) = received(&[bytes, REQUEST]).await;
        assert_eq!((read.unwrap(), &*rest), (None, REQUEST));
    }
}

#[tokio::test]
async fn what_is_no_header_is_refused() {
    let missing = "the header is missing or malformed";
    assert_eq!(is_refused(REQUEST).await, missing);
    assert_eq!(is_refused(&[0x16; 200]).await, missing);
    assert_eq!(
        is_refused(b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n").await,
        missing
    );
    assert_eq!(
        is_refused(b"PROXY TCP4 ::1 ::1 1 2\r\n       ").await,
        missing
    );
    let too_long = [&b"PROXY UNKNOWN "[..], &[b' '; 200]].concat();
    assert_eq!(is_refused(&too_long).await, "the header has too many bytes");
    let mut too_long = binary(&header(CLIENT, "192.0.2.1:443"));
    too_long[PREFIX - 2] = 0xff;
    assert_eq!(is_refused(&too_long).await, "the header has too many bytes");
    let datagram = ProxiedAddress::datagram(CLIENT.parse().unwrap(), CLIENT.parse().unwrap());
    let datagram = binary(&ProxyHeader::with_address(datagram));
    assert_eq!(is_refused(&datagram).await, "the header is not for TCP");
    // A header that is cut off.
    let whole = binary(&header(CLIENT, "192.0.2.1:443"));
    assert_eq!(is_refused(&whole[..20]).await, "early eof");
    assert_eq!(
        is_refused(b"PROXY TCP4 1.2.3.4").await,
        "unexpected end of file"
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_nothing_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _silent = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let read = read(&mut stream, Duration::from_secs(10)).await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

proptest! {
    #[test]
    fn no_bytes_are_more_than_malformed(
        start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"PROXY TCP6 ", &LOCAL[..12], b"\r\n\r\n\0\r\nQUIT\n\x21\x11"]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = parse(&[start, &bytes].concat());
    }
}
