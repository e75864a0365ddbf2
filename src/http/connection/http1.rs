//! HTTP/1.1: one request at a time, upgrades, and a close that does not lose the last response.

use std::{io, pin::Pin, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{io::AsyncWriteExt, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{BUFFER_BYTES, RequestHandler, Stream, keep_until_sent};
use crate::http::{ConnectionAbort, response_memory::OutOfMemory};

/// Headers that a request may have: proxies and monitoring in front add dozens.
const MAX_HEADERS: usize = 256;

pub(super) async fn serve(
    stream: impl Stream,
    handler: RequestHandler,
    header_timeout: Duration,
    end: CancellationToken,
) -> hyper::Result<()> {
    let abort = CancellationToken::new();
    let request_abort = abort.clone();
    let activity = handler.activity().clone();
    let service = service_fn(move |request| {
        let response = handler.handle(request, ConnectionAbort::of(request_abort.clone()));
        async move {
            let (response, open) = response.await?;
            Ok::<_, OutOfMemory>(keep_until_sent(response, open))
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(BUFFER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut running = Pin::new(&mut connection);
    let result = tokio::select! {
        result = running.as_mut() => Some(result),
        () = abort.cancelled() => None,
        () = activity.closed() => return Ok(()),
        () = end.cancelled() => {
            running.as_mut().graceful_shutdown();
            tokio::select! {
                result = running.as_mut() => Some(result),
                () = abort.cancelled() => None,
            }
        }
    };
    let stream = connection.into_parts().map(|parts| parts.io.into_inner());
    match (result, stream) {
        (Some(Err(error)), _) if error.is_timeout() => Err(error),
        (Some(result), Some(stream)) => {
            tokio::select! {
                _ = timeout(header_timeout, read_to_end(stream)) => {}
                () = activity.closed() => {}
                () = end.cancelled() => {}
            }
            result
        }
        (None, Some(stream)) => {
            // Otherwise the system would keep the unsent data, and retry for minutes to deliver it.
            let _ = stream.tcp().set_zero_linger();
            Ok(())
        }
        (result, None) => result.unwrap_or(Ok(())), // upgraded: the stream has another owner
    }
}

/// Reads and discards what the peer still sends, above all the body of a refused request: closed with unread data, the
/// connection would be reset, and the peer would lose its response.
async fn read_to_end(mut stream: impl Stream) -> io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}
