//! What a request makes its connection keep before anybody reads it: its head, and of its body what flow control lets come.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::Request;
use hyper::body::{Frame, Incoming, SizeHint};

use crate::limits::{Exhausted, Holder, Pool, Reservation};

/// Bytes of a head that cost nothing.
const FREE_HEAD: usize = 2 << 10;

/// Bytes of a body that cost nothing.
const FREE_BODY: u64 = 4 << 10;

/// What a line of a head takes beside its bytes, as HTTP/2 counts it.
const LINE: usize = 32;

/// A request whose head is reserved for as long as the reservation lives, and its body until it is read, of which `window` bytes at
/// the most come before that.
///
/// # Errors
/// What is exhausted of the memory.
pub(super) fn arriving(
    request: Request<Incoming>,
    window: u32,
    holder: &Holder,
    memory: &Arc<Pool>,
) -> Result<(Request<Body>, Option<Reservation>), Exhausted> {
    let reserve = |bytes| memory.take(holder.clone(), bytes).map(Some);
    let head = weight(&request);
    let held = match head > FREE_HEAD {
        true => reserve(head)?,
        false => None,
    };
    let (parts, body) = request.into_parts();
    let hint = body.size_hint();
    let most = hint.upper().unwrap_or(u64::MAX).min(window.into());
    let unread = match !body.is_end_stream() && most > FREE_BODY {
        true => reserve(usize::try_from(most).unwrap_or(usize::MAX))?,
        false => None,
    };
    let body = match unread {
        None => Body::new(body),
        unread => Body::new(Unread { body, unread }),
    };
    Ok((Request::from_parts(parts, body), held))
}

fn weight(request: &Request<Incoming>) -> usize {
    let line = |name: &str, value: usize| name.len() + value + LINE;
    let lines = request
        .headers()
        .iter()
        .map(|(name, value)| line(name.as_str(), value.len()));
    let path = request.uri().path_and_query();
    lines.sum::<usize>() + path.map_or(0, |path| path.as_str().len())
}

/// A body that nobody has asked for yet.
struct Unread {
    body: Incoming,
    unread: Option<Reservation>,
}

impl HttpBody for Unread {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Whoever reads it accounts for what it has read.
        self.unread = None;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
