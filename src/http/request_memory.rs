//! What a request makes its connection hold before anything reads it: its head, and as much of its body as flow control lets
//! arrive.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::Request;
use hyper::body::{Frame, Incoming, SizeHint};

use crate::limits::{Exhausted, Holder, Pool, Reservation};

/// Bytes of a head that are not charged.
const UNCHARGED_HEAD: usize = 2 << 10;

/// Bytes of a body that are not charged.
const UNCHARGED_BODY: u64 = 4 << 10;

/// What a header takes beside its name and value, as HTTP/2 counts it.
const HEADER_OVERHEAD: usize = 32;

/// What is known of a request beside the request.
pub(super) struct ReservedRequest {
    /// The reservation of its head, if it is large.
    pub(super) _head: Option<Reservation>,
    /// Whether its body has been read to its end, if it is large.
    body_read: Option<Arc<AtomicBool>>,
}

impl ReservedRequest {
    /// Whether more of its body may come than the connection takes: no other request can come behind it then.
    pub(super) fn has_unread_body(&self) -> bool {
        let read = self.body_read.as_ref();
        read.is_some_and(|read| !read.load(Ordering::Relaxed))
    }
}

/// Reserves memory for a request. The head stays reserved until the returned value is dropped, the body until it is
/// read: at most `window` bytes of it arrive before that.
///
/// # Errors
/// The memory is exhausted.
pub(super) fn reserve_request(
    request: Request<Incoming>,
    window: u32,
    holder: &Holder,
    memory: &Arc<Pool>,
) -> Result<(Request<Body>, ReservedRequest), Exhausted> {
    let reserve = |bytes| memory.take(holder.clone(), bytes).map(Some);
    let head_bytes = head_bytes(&request);
    let head = match head_bytes > UNCHARGED_HEAD {
        true => reserve(head_bytes)?,
        false => None,
    };
    let (parts, body) = request.into_parts();
    let hint = body.size_hint();
    let most = hint.upper().unwrap_or(u64::MAX).min(window.into());
    let unread = match !body.is_end_stream() && most > UNCHARGED_BODY {
        true => reserve(usize::try_from(most).unwrap_or(usize::MAX))?,
        false => None,
    };
    let mut reserved = ReservedRequest {
        _head: head,
        body_read: None,
    };
    let body = match unread {
        None => Body::new(body),
        reservation => {
            let read = Arc::<AtomicBool>::default();
            reserved.body_read = Some(read.clone());
            Body::new(UnreadBody {
                body,
                reservation,
                read,
            })
        }
    };
    Ok((Request::from_parts(parts, body), reserved))
}

fn head_bytes(request: &Request<Incoming>) -> usize {
    let header = |name: &str, value: usize| name.len() + value + HEADER_OVERHEAD;
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| header(name.as_str(), value.len()));
    let path = request.uri().path_and_query();
    headers.sum::<usize>() + path.map_or(0, |path| path.as_str().len())
}

/// A body whose reservation is released with the first read: what is read is accounted for by its reader.
struct UnreadBody {
    body: Incoming,
    reservation: Option<Reservation>,
    /// Set once it has been read to its end.
    read: Arc<AtomicBool>,
}

impl HttpBody for UnreadBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.reservation = None;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.read.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
