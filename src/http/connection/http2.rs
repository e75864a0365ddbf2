//! HTTP/2: many requests at once, within bounds, closed once none has been open for a while.

use std::time::Duration;

use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{BODY_WINDOW, BUFFER_BYTES, RequestHandler, Stream, keep_until_sent};
use crate::http::{ConnectionAbort, response_memory::OutOfMemory};

/// Requests that may be open at once on one connection.
const MAX_STREAMS: u32 = 256;

/// Largest header list of a request, as HTTP/2 counts it: 32 bytes for each header beside its name and value.
const MAX_HEADER_LIST_BYTES: u32 = 32 << 10;

/// Bytes of all bodies together that may arrive before they are read.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// How often a peer is pinged, and how long its reply may take: a silent stream may be a long-lived one.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves a connection. Floods of streams that are opened and reset are stopped by the default limits of hyper and h2.
pub(super) async fn serve(
    stream: impl Stream,
    handler: RequestHandler,
    idle_timeout: Duration,
    end: CancellationToken,
) -> hyper::Result<()> {
    let (open, mut requests) = watch::channel(0);
    let activity = handler.activity().clone();
    let service = service_fn(move |request| {
        let counted = RequestCount::new(&open);
        let response = handler.handle(request, ConnectionAbort::shared());
        async move {
            let (response, open) = response.await?;
            Ok::<_, OutOfMemory>(keep_until_sent(response, (open, counted)))
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST_BYTES)
        .initial_stream_window_size(BODY_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER_BYTES)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_INTERVAL)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = &mut connection => return result,
        () = activity.closed() => return Ok(()),
        () = wait_until_idle(&mut requests, idle_timeout) => {}
        () = end.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    // A peer that ignores GOAWAY is not waited for.
    tokio::select! {
        result = &mut connection => result,
        () = wait_until_idle(&mut requests, idle_timeout) => Ok(()),
    }
}

/// Returns once no request has been open for `idle_timeout`.
async fn wait_until_idle(requests: &mut watch::Receiver<usize>, idle_timeout: Duration) {
    loop {
        let none = *requests.borrow_and_update() == 0;
        tokio::select! {
            changed = requests.changed() => if changed.is_err() { return },
            () = sleep(idle_timeout), if none => return,
        }
    }
}

/// Counts a request as open until dropped.
struct RequestCount(watch::Sender<usize>);

impl RequestCount {
    fn new(open: &watch::Sender<usize>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(open.clone())
    }
}

impl Drop for RequestCount {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
