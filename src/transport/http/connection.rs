//! One TCP connection: which HTTP it speaks, and how long it may keep us waiting.
//!
//! HTTP/2 comes without TLS, and so by prior knowledge: proxies and back ends begin with its preface. Everything that one
//! connection may make the server keep is bounded here.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use ipnet::IpNet;
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    Accepting, ClientAddress, Cut,
    arriving::arriving,
    idle::{Activity, OpenRequest},
    offered::{NoAnswer, Offers, Way},
    refusal,
};
use crate::{
    error::{Error, Result},
    hub::memory_exhausted,
    limits::{Holder, Pool, Reservation},
    telemetry::Metrics,
    transport::web_address::HostPort,
};

/// What HTTP/1.1 may hold of a connection either way: the largest head, and what is written of a body whose peer does not
/// read.
const BUFFER: usize = 64 << 10;

/// Requests of one HTTP/2 connection that may be open together.
const STREAMS: u32 = 256;

/// Lines of a request's head: proxies and monitors in front add dozens.
const LINES: usize = 256;

/// Largest list of headers of an HTTP/2 request, as HTTP/2 counts it: 32 bytes a line beside what is in it.
const HEADERS: u32 = 32 << 10;

/// What may come of one request's body, and of all bodies of one HTTP/2 connection, before it is read.
const WINDOWS: (u32, u32) = (64 << 10, 1 << 20);

/// How often an HTTP/2 peer is asked whether it lives, and how long its answer may take: a stream that says nothing may
/// be a long one.
const PING: Duration = Duration::from_secs(20);

/// Serves a connection until its peer, its silence or `end` ends it.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    accepting: Accepting,
    (activity, offers): (Arc<Activity>, Offers),
    end: CancellationToken,
) {
    // Small frames are the rule here; waiting to fill a segment would only add latency.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(accepting.silence));
    let patience = accepting.header_timeout;
    let begun = tokio::select! {
        begun = timeout(patience, is_http2(&stream)) => begun,
        () = activity.closed() => return,
        () = end.cancelled() => return,
    };
    let Ok(Ok(http2)) = begun else {
        return; // it went away again, or said nothing
    };
    let entrance = Entrance {
        router,
        peer: peer.ip(),
        proxies: accepting.trusted_proxies,
        activity,
        memory: accepting.memory,
        metrics: accepting.metrics,
        offers,
    };
    let result = match http2 {
        // The larger of the two, in memory that the many connections of HTTP/1.1 do not carry along.
        true => Box::pin(serve_http2(stream, entrance, patience, end)).await,
        false => serve_http1(stream, entrance, patience, end).await,
    };
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}

/// How HTTP/2 begins; no method of HTTP/1.1 is spelt so.
const PREFACE: &[u8] = b"PRI * HTTP/2";

/// Whether the peer begins with HTTP/2's preface. Looks at its first bytes and leaves them: an HTTP/1.1 connection that is
/// upgraded has to be the TCP stream itself, with nothing around it that has read ahead.
async fn is_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut start = [0; PREFACE.len()];
    let mut pause = Duration::from_millis(1);
    loop {
        let seen = match stream.peek(&mut start).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            seen => &start[..seen],
        };
        if seen == PREFACE || !PREFACE.starts_with(seen) {
            return Ok(seen == PREFACE);
        }
        // What is left there keeps the stream readable, so nothing would tell of more. A preface almost never comes in
        // pieces; for whoever drips one, each look costs twice the wait.
        sleep(pause).await;
        pause *= 2;
    }
}

/// Where the requests of a connection come from and go to.
#[derive(Clone)]
struct Entrance {
    router: Router,
    peer: IpAddr,
    proxies: Arc<[IpNet]>,
    activity: Arc<Activity>,
    memory: Arc<Pool>,
    metrics: Arc<Metrics>,
    offers: Offers,
}

impl Entrance {
    /// The router's answer to a request, which learns here what only its connection knows. The request is open until the last
    /// of the answer's body is gone.
    fn answer(
        &self,
        request: Request<Incoming>,
        cut: Cut,
    ) -> impl Future<Output = Result<(Response, OpenRequest), NoAnswer>> + use<> {
        let open = self.activity.request();
        let http2 = request.version() == Version::HTTP_2;
        let address = ClientAddress::of(self.peer, request.headers(), &self.proxies);
        let mut way = Way {
            holder: Holder::address(address.ip),
            cut: cut.clone(),
            http2,
        };
        let let_in = self.let_in(request, address, cut, &way.holder);
        let (router, offers, metrics) = (
            self.router.clone(),
            self.offers.clone(),
            self.metrics.clone(),
        );
        async move {
            let mut response = match let_in {
                Ok((request, _head)) => {
                    let Ok(response) = router.oneshot(request).await;
                    response
                }
                Err(error) => {
                    metrics.error(&error);
                    let mut response = refusal(&error);
                    if !http2 {
                        // Where this request ends and the next begins is not to be trusted, or not to be waited for.
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(header::CONNECTION, close);
                    }
                    response
                }
            };
            secure(&mut response);
            if let Some(known) = response.extensions().get::<Holder>() {
                way.holder = known.clone();
            }
            Ok((offers.offer(response, way).await?, open))
        }
    }

    /// A request that may be answered, and what is reserved for its head.
    fn let_in(
        &self,
        request: Request<Incoming>,
        address: ClientAddress,
        cut: Cut,
        holder: &Holder,
    ) -> Result<(Request<Body>, Option<Reservation>)> {
        let (mut request, head) =
            arriving(request, WINDOWS.0, holder, &self.memory).map_err(memory_exhausted)?;
        settle_host(&mut request)?;
        let extensions = request.extensions_mut();
        extensions.insert(address);
        extensions.insert(cut);
        Ok((request, head))
    }
}

/// Has a browser take an answer for what it says it is, and tell no other site where its reader came from.
fn secure(response: &mut Response) {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let headers = response.headers_mut();
    headers
        .entry(header::X_CONTENT_TYPE_OPTIONS)
        .or_insert(HeaderValue::from_static("nosniff"));
    headers
        .entry(header::REFERRER_POLICY)
        .or_insert(HeaderValue::from_static("no-referrer"));
}

/// An answer that takes something along until the last of its body is gone.
fn with<T>(
    response: Response,
    kept: T,
) -> Response<impl HttpBody<Data = Bytes, Error = axum::Error>> {
    response.map(|body| {
        body.map_frame(move |frame| {
            let _ = &kept;
            frame
        })
    })
}

/// A request has one host, and everything behind here finds it where HTTP/1.1 has it: HTTP/2 has it in the request's address.
///
/// # Errors
/// There is none (HTTP/1.0 alone may go without), or more than one, or it is malformed: who passes such a request on may take
/// it for one to another site than we do.
fn settle_host(request: &mut Request<Body>) -> Result<()> {
    if request.version() == Version::HTTP_2
        && let Some(authority) = request.uri().authority()
    {
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.map_err(|_| Error::bad_request("the :authority is no host"))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = host.to_str().ok().and_then(HostPort::parse);
            host.map(|_| ())
                .ok_or_else(|| Error::bad_request("the header host is no host"))
        }
        (None, _) if request.version() < Version::HTTP_11 => Ok(()),
        (None, _) => Err(Error::bad_request("the header host is missing")),
        (Some(_), Some(_)) => Err(Error::bad_request("there is more than one header host")),
    }
}

async fn serve_http1(
    stream: TcpStream,
    entrance: Entrance,
    patience: Duration,
    end: CancellationToken,
) -> hyper::Result<()> {
    let cut = CancellationToken::new();
    let cuts = cut.clone();
    let activity = entrance.activity.clone();
    let service = service_fn(move |request| {
        let answer = entrance.answer(request, Cut::of(cuts.clone()));
        async move {
            let (response, open) = answer.await?;
            Ok::<_, NoAnswer>(with(response, open))
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .max_buf_size(BUFFER)
        .max_headers(LINES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut running = Pin::new(&mut connection);
    let result = tokio::select! {
        result = running.as_mut() => Some(result),
        () = cut.cancelled() => None,
        () = activity.closed() => return Ok(()),
        () = end.cancelled() => {
            running.as_mut().graceful_shutdown();
            tokio::select! {
                result = running.as_mut() => Some(result),
                () = cut.cancelled() => None,
            }
        }
    };
    let stream = connection.into_parts().map(|parts| parts.io.into_inner());
    match (result, stream) {
        (Some(Err(error)), _) if error.is_timeout() => Err(error),
        (Some(result), Some(stream)) => {
            tokio::select! {
                _ = timeout(patience, listen_out(stream)) => {}
                () = activity.closed() => {}
                () = end.cancelled() => {}
            }
            result
        }
        (None, Some(stream)) => {
            // Otherwise the system would keep what it has for this peer, and try for minutes to be rid of it.
            let _ = stream.set_zero_linger();
            Ok(())
        }
        (result, None) => result.unwrap_or(Ok(())), // upgraded: it has another owner
    }
}

/// Lets a peer finish that is still sending, a body that was refused above all: closed with something unread, the
/// connection would be reset, and the peer find that instead of its answer.
async fn listen_out(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}

/// Floods of streams that are opened and reset are ended by what hyper and h2 allow of them by default.
async fn serve_http2(
    stream: TcpStream,
    entrance: Entrance,
    patience: Duration,
    end: CancellationToken,
) -> hyper::Result<()> {
    let (open, mut requests) = watch::channel(0);
    let activity = entrance.activity.clone();
    let service = service_fn(move |request| {
        let counted = Counted::new(&open);
        let answer = entrance.answer(request, Cut::shared());
        async move {
            let (response, open) = answer.await?;
            Ok::<_, NoAnswer>(with(response, (open, counted)))
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADERS)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .max_send_buf_size(BUFFER)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = &mut connection => return result,
        () = activity.closed() => return Ok(()),
        () = idle(&mut requests, patience) => {}
        () = end.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    // A peer that takes no notice of the goodbye is not waited for.
    tokio::select! {
        result = &mut connection => result,
        () = idle(&mut requests, patience) => Ok(()),
    }
}

/// Ready once no request has been open for `patience`.
async fn idle(requests: &mut watch::Receiver<usize>, patience: Duration) {
    loop {
        let none = *requests.borrow_and_update() == 0;
        tokio::select! {
            changed = requests.changed() => if changed.is_err() { return },
            () = sleep(patience), if none => return,
        }
    }
}

/// Counts as a request while it lives.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
