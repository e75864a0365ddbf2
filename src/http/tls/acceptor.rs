//! The handshake of a connection, with the certificates that are in force when it begins.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustls::{ServerConfig, crypto::aws_lc_rs::Ticketer, server::NoServerSessionStorage};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::server::TlsStream;

use super::{
    CertificateError,
    certificate::{Certificate, provider},
    certificates::Certificates,
};
use crate::{model::Timestamp, sync::lock, telemetry::Metrics};

/// A connection after its handshake.
pub(in crate::http) type TlsConnection = TlsStream<TcpStream>;

/// What a client may speak over TLS (ALPN), the best first.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// How a TLS connection begins: a record with a handshake. No request of HTTP begins so.
const HANDSHAKE_RECORD: u8 = 0x16;

/// Bytes of a request without TLS that are read and dropped, so that the client gets to read what is wrong.
const MAX_PLAIN_REQUEST: u64 = 64 << 10;

/// Accepts TLS. Cheap to clone; all clones have the same certificates.
#[derive(Clone)]
pub(crate) struct TlsAcceptor(Arc<AcceptorState>);

struct AcceptorState {
    // A std mutex: it is held to copy a pointer, and never across an await.
    current: Mutex<Current>,
    metrics: Arc<Metrics>,
    /// HTTP/3 is served, too.
    serves_quic: AtomicBool,
}

/// The certificates in force, and what accepts connections with them.
struct Current {
    acceptor: tokio_rustls::TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl TlsAcceptor {
    pub(super) fn new(
        certificates: Vec<Certificate>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, CertificateError> {
        observe(&certificates, metrics);
        Ok(Self(Arc::new(AcceptorState {
            current: Mutex::new(Current::new(certificates)?),
            metrics: metrics.clone(),
            serves_quic: AtomicBool::new(false),
        })))
    }

    /// Does the handshake.
    ///
    /// # Errors
    /// The client does not speak TLS, has nothing in common with this server, or does not trust it; it has been told. Or it takes longer than
    /// `within`.
    pub(in crate::http) async fn accept(
        &self,
        stream: TcpStream,
        within: Duration,
    ) -> io::Result<TlsConnection> {
        let done = timeout(within, self.handshake(stream)).await;
        done.unwrap_or_else(|elapsed| {
            self.0.metrics.tls_failed("timeout");
            Err(elapsed.into())
        })
    }

    async fn handshake(&self, stream: TcpStream) -> io::Result<TlsConnection> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first != [HANDSHAKE_RECORD] {
            self.0.metrics.tls_failed("not_tls");
            refuse_plain_http(stream).await?;
            return Err(io::Error::other("the client does not speak TLS"));
        }
        let acceptor = lock(&self.0.current).acceptor.clone();
        let accepted = acceptor.accept(stream).await;
        match &accepted {
            Ok(_) => _ = self.0.metrics.tls_handshakes.inc(),
            Err(_) => self.0.metrics.tls_failed("handshake"),
        }
        accepted
    }

    /// The certificates in force.
    pub(super) fn certificates(&self) -> Arc<Certificates> {
        lock(&self.0.current).certificates.clone()
    }

    /// Notes that HTTP/3 is served, with these certificates.
    #[cfg(feature = "webtransport")]
    pub(in crate::http) fn set_serves_quic(&self) {
        self.0.serves_quic.store(true, Ordering::Relaxed);
    }

    /// Whether HTTP/3 is served, with a certificate that has not expired.
    pub(crate) fn serves_quic(&self) -> bool {
        let now = Timestamp::now();
        self.0.serves_quic.load(Ordering::Relaxed)
            && self.certificates().0.iter().any(|it| it.not_after > now)
    }

    /// Has new connections see these certificates. What clients have to resume a session with is of no use any more, as they would
    /// not see them. Open connections go on as they are.
    pub(super) fn replace(&self, certificates: Vec<Certificate>) -> Result<(), CertificateError> {
        let replaced = Current::new(certificates)?;
        observe(&replaced.certificates.0, &self.0.metrics);
        *lock(&self.0.current) = replaced;
        Ok(())
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsAcceptor")
    }
}

/// Whether a client has chosen HTTP/2.
pub(in crate::http) fn is_http2(connection: &TlsConnection) -> bool {
    connection.get_ref().1.alpn_protocol() == Some(HTTP2)
}

impl Current {
    /// Clients that come back resume their session by a ticket that the server does not keep.
    fn new(certificates: Vec<Certificate>) -> Result<Self, CertificateError> {
        let certificates = Arc::new(Certificates(certificates));
        let builder = ServerConfig::builder_with_provider(provider());
        let mut config = builder
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates.clone());
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        config.ticketer = Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Self {
            acceptor: Arc::new(config).into(),
            certificates,
        })
    }
}

/// Exports when each certificate expires.
fn observe(certificates: &[Certificate], metrics: &Metrics) {
    let ends = certificates.iter();
    let ends = ends.map(|it| (it.label.clone(), it.not_after.0 / 1000));
    metrics.set_tls_certificates(ends);
}

/// Answers a request that came without TLS, for the person who has left an `s` out.
async fn refuse_plain_http(mut stream: TcpStream) -> io::Result<()> {
    const BODY: &str = "This port speaks HTTPS: write https:// or wss:// in the URL.\n";
    let response = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{BODY}",
        BODY.len()
    );
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await?;
    // Closed with unread data, the connection would be reset, and the response lost.
    tokio::io::copy(&mut stream.take(MAX_PLAIN_REQUEST), &mut tokio::io::sink()).await?;
    Ok(())
}
