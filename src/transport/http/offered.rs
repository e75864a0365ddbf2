//! Answers whose peer may not take them: flow control lets it ask for a lot and take nothing, for ever.
//!
//! What is kept of answers is reserved of the node's budget. An answer of which nothing is taken for a while is let go of; where the
//! budget is used up, those that have not moved are let go of sooner, for others.

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

use super::{Cut, refusal};
use crate::{
    hub::memory_exhausted,
    limits::{Exhausted, Holder, Pool, Reservation},
    telemetry::Metrics,
    transport::lock,
};

/// What is given away of an answer at once: hyper takes as much for a single byte that its peer allows.
const PIECE: usize = 16 << 10;

/// What an answer of HTTP/2 costs beside its body.
const OVERHEAD: usize = 2 << 10;

/// Bytes of an answer of HTTP/1.1 that cost nothing: of those there is one, or two, a connection, and operators are to see
/// what is going on.
const FREE: usize = 32 << 10;

/// How long a peer may take nothing of an answer before that is let go of.
const PATIENCE: Duration = Duration::from_secs(30);

/// And where others need the memory.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// How often is looked for answers that are to be let go of.
const LOOK: Duration = Duration::from_secs(5);

/// And for others, at the most.
const LOOK_FOR_OTHERS: Duration = Duration::from_millis(100);

/// Marks an answer whose bytes are there once for all who ask: it costs nothing to keep.
#[derive(Clone, Copy, Debug)]
pub struct Shared;

/// How an answer goes.
pub(super) struct Way {
    /// Whom it is charged to.
    pub(super) holder: Holder,
    /// Ends its connection, where no others share that.
    pub(super) cut: Cut,
    pub(super) http2: bool,
}

/// The answers of a node that have not been taken.
#[derive(Clone)]
pub(super) struct Offers(Arc<Inner>);

struct Inner {
    memory: Arc<Pool>,
    metrics: Arc<Metrics>,
    open: Mutex<HashMap<u64, Weak<Offer>>>,
    next: AtomicU64,
    /// When it was last looked for what can be let go of: for others, and for a holder that has its share.
    looked: Mutex<(Option<Instant>, Option<Instant>)>,
}

/// An answer that is kept until its peer has taken it, or takes nothing of it.
struct Offer {
    number: u64,
    holder: Holder,
    cut: Cut,
    /// `None` once it was let go of.
    left: Mutex<Option<Left>>,
    offers: Arc<Inner>,
}

struct Left {
    bytes: Bytes,
    /// The bytes are kept all the same.
    shared: bool,
    held: Option<Reservation>,
    moved: Instant,
}

/// The stream is to be reset: there is no memory to answer at all.
#[derive(Debug, thiserror::Error)]
#[error("there is no memory for an answer")]
pub(super) struct NoAnswer;

impl Offers {
    pub(super) fn new(memory: Arc<Pool>, metrics: Arc<Metrics>) -> Self {
        Self(Arc::new(Inner {
            memory,
            metrics,
            open: Mutex::default(),
            next: AtomicU64::new(0),
            looked: Mutex::default(),
        }))
    }

    /// Has an answer of known size kept no longer than its peer goes on taking it, within the budget. A stream has a bound of
    /// its own.
    pub(super) async fn offer(&self, response: Response, way: Way) -> Result<Response, NoAnswer> {
        let Some(bytes) = response.body().size_hint().exact() else {
            return Ok(response);
        };
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let shared = response.extensions().get::<Shared>().is_some();
        if bytes == 0 || (!way.http2 && (shared || bytes <= FREE)) {
            return Ok(response);
        }
        let overhead = if way.http2 { OVERHEAD } else { 0 };
        let cost = if shared { 0 } else { bytes };
        match self.reserve(&way.holder, overhead + cost) {
            Ok(held) => self.keep(response, way, shared, Some(held)).await,
            Err(why) => {
                let error = memory_exhausted(why);
                self.0.metrics.error(&error);
                let held = match overhead {
                    0 => None,
                    overhead => Some(self.reserve(&way.holder, overhead).map_err(|_| NoAnswer)?),
                };
                self.keep(refusal(&error), way, false, held).await
            }
        }
    }

    /// Reserves memory, of answers that have not moved for a while if there is no other.
    fn reserve(&self, holder: &Holder, bytes: usize) -> Result<Reservation, Exhausted> {
        let taken = self.0.memory.take(holder.clone(), bytes);
        let Err(why) = taken else {
            return taken;
        };
        if !self.may_look(why) {
            return Err(why);
        }
        let mut stalled = self.stalled(SHORT_PATIENCE);
        if why == Exhausted::Share {
            stalled.retain(|(_, offer)| offer.holder == *holder);
        }
        stalled.sort_by_key(|(since, _)| *since);
        let mut freed = 0;
        for (_, offer) in stalled {
            if freed >= bytes {
                break;
            }
            freed += offer.let_go();
        }
        self.0.memory.take(holder.clone(), bytes)
    }

    /// Whether it is time to look for answers to let go of. Holders that have their share are looked for apart: one that tries again
    /// and again is not to keep the others from being looked for.
    fn may_look(&self, why: Exhausted) -> bool {
        let mut looked = lock(&self.0.looked);
        let last = match why {
            Exhausted::Pool => &mut looked.0,
            Exhausted::Share => &mut looked.1,
        };
        let may = last.is_none_or(|last| last.elapsed() >= LOOK_FOR_OTHERS);
        if may {
            *last = Some(Instant::now());
        }
        may
    }

    /// Answers of which nothing has been taken for so long, and since when.
    fn stalled(&self, patience: Duration) -> Vec<(Instant, Arc<Offer>)> {
        let open: Vec<_> = lock(&self.0.open)
            .values()
            .filter_map(Weak::upgrade)
            .collect();
        let since = |offer: &Offer| lock(&offer.left).as_ref().map(|left| left.moved);
        open.into_iter()
            .filter_map(|offer| Some((since(&offer)?, offer)))
            .filter(|(since, _)| since.elapsed() >= patience)
            .collect()
    }

    async fn keep(
        &self,
        response: Response,
        way: Way,
        shared: bool,
        held: Option<Reservation>,
    ) -> Result<Response, NoAnswer> {
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.map_err(|_| NoAnswer)?.to_bytes();
        let offer = Arc::new(Offer {
            number: self.0.next.fetch_add(1, Ordering::Relaxed),
            holder: way.holder,
            cut: way.cut,
            left: Mutex::new(Some(Left {
                bytes,
                shared,
                held,
                moved: Instant::now(),
            })),
            offers: self.0.clone(),
        });
        lock(&self.0.open).insert(offer.number, Arc::downgrade(&offer));
        Ok(Response::from_parts(head, Body::new(Offered(offer))))
    }

    /// Lets go of what nobody takes, for as long as it is polled. Nobody asks an answer itself while its peer takes nothing.
    pub(super) async fn look_after(self) {
        loop {
            sleep(LOOK).await;
            for (_, offer) in self.stalled(PATIENCE) {
                offer.let_go();
            }
        }
    }
}

impl Offer {
    /// Lets go of what is left; what that held of the budget.
    fn let_go(&self) -> usize {
        let left = lock(&self.left).take();
        // hyper asks for no more of a body whose peer takes nothing, so it does not hear of this.
        self.cut.now();
        let held = left.and_then(|left| left.held);
        held.as_ref().map_or(0, Reservation::units)
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        lock(&self.offers.open).remove(&self.number);
    }
}

/// An answer's body.
struct Offered(Arc<Offer>);

impl Left {
    /// The next part, with what is reserved for it for as long as hyper has it.
    fn next(&mut self) -> Bytes {
        let bytes = self.bytes.split_to(self.bytes.len().min(PIECE));
        // A part of it would keep all of it.
        let bytes = match self.shared || self.bytes.is_empty() {
            true => bytes,
            false => Bytes::copy_from_slice(&bytes),
        };
        let held = match self.bytes.is_empty() {
            true => self.held.take(),
            false => self.held.as_mut().map(|held| held.split(bytes.len())),
        };
        self.moved = Instant::now();
        match held {
            None => bytes,
            Some(held) => held.around(bytes),
        }
    }
}

impl HttpBody for Offered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut left = lock(&self.0.left);
        let Some(left) = left.as_mut() else {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        };
        if left.bytes.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(left.next()))))
    }

    fn is_end_stream(&self) -> bool {
        let left = lock(&self.0.left);
        left.as_ref().is_some_and(|left| left.bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        let left = lock(&self.0.left);
        SizeHint::with_exact(left.as_ref().map_or(0, |left| left.bytes.len()) as u64)
    }
}

#[cfg(test)]
mod tests;
