//! Answers over HTTP/2 whose peer may not take them: its flow control lets it ask for a lot and take nothing, for ever.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::sleep;

use crate::transport::lock;

/// What is given away of an answer at once: hyper takes as much for a single byte that its peer allows.
const PIECE: usize = 16 << 10;

/// How long a peer may take nothing of an answer before that is let go of.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is left of an answer; `None` once it was let go of.
type Left = Mutex<Option<Bytes>>;

/// An answer that is kept until its peer has taken it, or takes nothing of it.
struct Offered(Arc<Left>);

/// Has a body of known size kept no longer than its peer goes on taking it. A stream has a bound of its own.
pub(super) async fn offered(body: Body) -> Result<Body, axum::Error> {
    let bytes = body.size_hint().exact();
    if bytes.is_none_or(|bytes| bytes <= PIECE as u64) {
        return Ok(body);
    }
    let left = Arc::new(Mutex::new(Some(body.collect().await?.to_bytes())));
    tokio::spawn(let_go(Arc::downgrade(&left)));
    Ok(Body::new(Offered(left)))
}

/// Nobody asks the body itself while its peer takes nothing, so this looks at it from outside.
async fn let_go(offered: Weak<Left>) {
    let mut before = None;
    while let Some(offered) = offered.upgrade() {
        let now = {
            let mut left = lock(&offered);
            let now = left.as_ref().map(Bytes::len);
            if now == before {
                *left = None;
                return;
            }
            now
        };
        before = now;
        drop(offered);
        sleep(PATIENCE).await;
    }
}

impl HttpBody for Offered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut left = lock(&self.0);
        let Some(left) = left.as_mut() else {
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        };
        if left.is_empty() {
            return Poll::Ready(None);
        }
        let piece = left.split_to(left.len().min(PIECE));
        // A part of it would keep all of it.
        let piece = Bytes::copy_from_slice(&piece);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        lock(&self.0).as_ref().is_some_and(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        let left = lock(&self.0).as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(left as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn large() -> Vec<u8> {
        (0..=u8::MAX).cycle().take(3 * PIECE + 7).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_taken_slowly_is_given_whole() {
        let mut body = offered(Body::from(large())).await.unwrap();
        assert_eq!(body.size_hint().exact(), Some(large().len() as u64));
        let mut taken = Vec::new();
        while let Some(piece) = body.frame().await {
            taken.extend_from_slice(&piece.unwrap().into_data().unwrap());
            sleep(PATIENCE / 2).await;
        }
        assert_eq!(taken, large());
        assert!(body.is_end_stream());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_of_which_nothing_is_taken_is_let_go_of() {
        for taken in [0, 1] {
            let mut body = offered(Body::from(large())).await.unwrap();
            for _ in 0..taken {
                body.frame().await.unwrap().unwrap();
            }
            sleep(3 * PATIENCE).await;
            assert!(body.frame().await.unwrap().is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_answer_and_a_stream_are_left_alone() {
        let mut small = offered(Body::from("small")).await.unwrap();
        let mut stream = offered(Body::from_stream(futures_util::stream::pending::<
            Result<Bytes, io::Error>,
        >()))
        .await
        .unwrap();
        sleep(3 * PATIENCE).await;
        assert_eq!(
            &small.frame().await.unwrap().unwrap().into_data().unwrap()[..],
            b"small"
        );
        assert!(futures_util::poll!(stream.frame()).is_pending());
    }
}
