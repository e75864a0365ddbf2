//! Memory of responses whose peer may not read them: flow control lets a client request a lot and read nothing, for ever.
//!
//! Responses reserve from the node's memory budget until they are sent. A response of which nothing is read for a while is
//! dropped; when the budget is exhausted, stalled responses are dropped sooner, to make room for others.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    response::Response,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep};

use super::{ConnectionAbort, error_response};
use crate::{
    limits::{Exhausted, Holder, Pool, Reservation},
    sync::lock,
    telemetry::Metrics,
};

/// Bytes of a body that hyper gets at once: it takes a whole chunk even if its peer's window is a single byte.
const CHUNK_BYTES: usize = 16 << 10;

/// What a response over HTTP/2 costs beside its body.
const HTTP2_OVERHEAD: usize = 2 << 10;

/// Bytes of an HTTP/1.1 response that are not charged: there are one or two per connection, and operators must be able to see
/// what is going on while memory is exhausted.
const UNCHARGED_BYTES: usize = 32 << 10;

/// How long a peer may read nothing of a response before it is dropped.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// The same while others need the memory.
const STALL_TIMEOUT_UNDER_PRESSURE: Duration = Duration::from_secs(2);

/// How often stalled responses are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The shortest time between two searches for memory under pressure.
const PRESSURE_SWEEP_INTERVAL: Duration = Duration::from_millis(100);

/// Marks a response whose bytes exist once for all requests: holding it costs no memory.
#[derive(Clone, Copy, Debug)]
pub struct StaticBody;

/// Where a response goes.
pub(super) struct ResponseContext {
    /// Who it is charged to.
    pub(super) holder: Holder,
    /// Aborts its connection, unless others share it.
    pub(super) abort: ConnectionAbort,
    pub(super) http2: bool,
}

/// The responses of a node that have not been sent completely.
#[derive(Clone)]
pub(super) struct PendingResponses(Arc<Shared>);

struct Shared {
    memory: Arc<Pool>,
    metrics: Arc<Metrics>,
    open: Mutex<HashMap<u64, Weak<PendingResponse>>>,
    next: AtomicU64,
    last_sweeps: Mutex<LastSweeps>,
}

/// When stalled responses were last looked for under pressure. Holders that have used up their share are looked for apart: one
/// that retries all the time must not keep the others from being looked for.
#[derive(Default)]
struct LastSweeps {
    pool: Option<Instant>,
    share: Option<Instant>,
}

/// A response that is held until its peer has read it, or stalls.
struct PendingResponse {
    number: u64,
    holder: Holder,
    abort: ConnectionAbort,
    /// `None` once it was dropped for stalling.
    unsent: Mutex<Option<Unsent>>,
    shared: Arc<Shared>,
}

struct Unsent {
    bytes: Bytes,
    /// The bytes stay in memory whatever happens to the response.
    is_static: bool,
    reservation: Option<Reservation>,
    last_read: Instant,
}

/// There is no memory for any response: the stream is reset.
#[derive(Debug, thiserror::Error)]
#[error("no memory for a response")]
pub(super) struct OutOfMemory;

impl PendingResponses {
    pub(super) fn new(memory: Arc<Pool>, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Shared {
            memory,
            metrics,
            open: Mutex::default(),
            next: AtomicU64::new(0),
            last_sweeps: Mutex::default(),
        }))
    }

    /// Holds a response of known size within the budget, for no longer than its peer keeps reading it. A streamed response is
    /// bounded by its producer.
    ///
    /// # Errors
    /// There is not even memory for an error response.
    pub(super) async fn hold(
        &self,
        response: Response,
        context: ResponseContext,
    ) -> Result<Response, OutOfMemory> {
        let Some(bytes) = response.body().size_hint().exact() else {
            return Ok(response);
        };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let is_static = response.extensions().get::<StaticBody>().is_some();
        if bytes == 0 || (!context.http2 && (is_static || bytes <= UNCHARGED_BYTES)) {
            return Ok(response);
        }
        let overhead = if context.http2 { HTTP2_OVERHEAD } else { 0 };
        let cost = if is_static { 0 } else { bytes };
        match self.reserve(&context.holder, overhead + cost) {
            Ok(reservation) => {
                self.track(response, context, is_static, Some(reservation))
                    .await
            }
            Err(reason) => {
                let error = reason.into_memory_error();
                self.0.metrics.error(&error);
                let reservation = match overhead {
                    0 => None,
                    overhead => {
                        let reserved = self.reserve(&context.holder, overhead);
                        Some(reserved.map_err(|_| OutOfMemory)?)
                    }
                };
                self.track(error_response(&error), context, false, reservation)
                    .await
            }
        }
    }

    /// Reserves memory; if there is none, drops responses that have stalled for a moment.
    fn reserve(&self, holder: &Holder, bytes: usize) -> Result<Reservation, Exhausted> {
        let reserved = self.0.memory.take(holder.clone(), bytes);
        let Err(reason) = reserved else {
            return reserved;
        };
        if !lock(&self.0.last_sweeps).may_sweep(reason) {
            return Err(reason);
        }
        let mut stalled = self.stalled(STALL_TIMEOUT_UNDER_PRESSURE);
        if reason == Exhausted::Share {
            stalled.retain(|(_, response)| response.holder == *holder);
        }
        stalled.sort_by_key(|(last_read, _)| *last_read);
        let mut freed = 0;
        for (_, response) in stalled {
            if freed >= bytes {
                break;
            }
            freed += response.drop_unsent();
        }
        self.0.memory.take(holder.clone(), bytes)
    }

    /// Responses of which nothing has been read for `timeout`, with the time of the last read.
    fn stalled(&self, timeout: Duration) -> Vec<(Instant, Arc<PendingResponse>)> {
        let open: Vec<_> = lock(&self.0.open)
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        let last_read = |response: &PendingResponse| {
            let unsent = lock(&response.unsent);
            unsent.as_ref().map(|unsent| unsent.last_read)
        };
        open.into_iter()
            .filter_map(|response| Some((last_read(&response)?, response)))
            .filter(|(last_read, _)| last_read.elapsed() >= timeout)
            .collect()
    }

    async fn track(
        &self,
        response: Response,
        context: ResponseContext,
        is_static: bool,
        reservation: Option<Reservation>,
    ) -> Result<Response, OutOfMemory> {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.map_err(|_| OutOfMemory)?.to_bytes();
        let pending = Arc::new(PendingResponse {
            number: self.0.next.fetch_add(1, Ordering::Relaxed),
            holder: context.holder,
            abort: context.abort,
            unsent: Mutex::new(Some(Unsent {
                bytes,
                is_static,
                reservation,
                last_read: Instant::now(),
            })),
            shared: self.0.clone(),
        });
        lock(&self.0.open).insert(pending.number, Arc::downgrade(&pending));
        Ok(Response::from_parts(head, Body::new(TrackedBody(pending))))
    }

    /// Drops stalled responses; runs until dropped. A response cannot notice by itself: nothing polls it while its peer does not
    /// read.
    pub(super) async fn drop_stalled_periodically(self) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            for (_, response) in self.stalled(STALL_TIMEOUT) {
                response.drop_unsent();
            }
        }
    }
}

impl LastSweeps {
    /// Whether enough time has passed since the last sweep for this reason; if so, this one is noted.
    fn may_sweep(&mut self, reason: Exhausted) -> bool {
        let last = match reason {
            Exhausted::Pool => &mut self.pool,
            Exhausted::Share => &mut self.share,
        };
        let may = last.is_none_or(|last| last.elapsed() >= PRESSURE_SWEEP_INTERVAL);
        if may {
            *last = Some(Instant::now());
        }
        may
    }
}

impl PendingResponse {
    /// Drops what is unsent; returns how much of the budget that frees.
    fn drop_unsent(&self) -> usize {
        let unsent = lock(&self.unsent).take();
        // hyper does not poll a body whose peer does not read, so it would not notice.
        self.abort.abort();
        let reservation = unsent.and_then(|unsent| unsent.reservation);
        reservation.as_ref().map_or(0, Reservation::units)
    }
}

impl Drop for PendingResponse {
    fn drop(&mut self) {
        lock(&self.shared.open).remove(&self.number);
    }
}

/// The body of a pending response.
struct TrackedBody(Arc<PendingResponse>);

impl Unsent {
    /// The next chunk, with its part of the reservation until hyper drops it.
    fn next_chunk(&mut self) -> Bytes {
        let chunk = self.bytes.split_to(self.bytes.len().min(CHUNK_BYTES));
        // A slice would keep the whole allocation alive.
        let chunk = match self.is_static || self.bytes.is_empty() {
            true => chunk,
            false => Bytes::copy_from_slice(&chunk),
        };
        let reservation = match self.bytes.is_empty() {
            true => self.reservation.take(),
            false => self
                .reservation
                .as_mut()
                .map(|reservation| reservation.split(chunk.len())),
        };
        self.last_read = Instant::now();
        match reservation {
            None => chunk,
            Some(reservation) => reservation.attach_to(chunk),
        }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut unsent = lock(&self.0.unsent);
        let Some(unsent) = unsent.as_mut() else {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        };
        if unsent.bytes.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(unsent.next_chunk()))))
    }

    fn is_end_stream(&self) -> bool {
        let unsent = lock(&self.0.unsent);
        unsent
            .as_ref()
            .is_some_and(|unsent| unsent.bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let unsent = lock(&self.0.unsent);
        SizeHint::with_exact(unsent.as_ref().map_or(0, |unsent| unsent.bytes.len()) as u64)
    }
}

#[cfg(test)]
mod tests;
