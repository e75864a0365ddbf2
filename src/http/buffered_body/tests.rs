//! Bodies within their bounds of size, time and memory.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::*;
use crate::limits::{Holder, Pool};

const LONG: Duration = Duration::from_secs(10);
const MOST: usize = 1 << 20;

fn charge(pool: &Arc<Pool>) -> Charge {
    Charge::new(pool.clone(), Holder::Backend, UNCHARGED_BYTES)
}

fn in_parts(parts: usize, size: usize) -> Body {
    let part = Bytes::from(vec![7; size]);
    let parts = std::iter::repeat_n(part, parts).map(Ok::<_, Infallible>);
    Body::from_stream(stream::iter(parts))
}

#[tokio::test]
async fn a_body_is_reserved_before_it_is_stored_and_released_with_it() {
    let pool = Pool::new(MOST);
    for (parts, size) in [
        (1, 1),
        (UNCHARGED_BYTES, 1),
        (100, 1000),
        (1, MOST),
        (MOST / 512, 512),
    ] {
        let body = in_parts(parts, size);
        let posted = BufferedBody::read(body, MOST, LONG, charge(&pool))
            .await
            .unwrap();
        assert_eq!(*posted, vec![7; parts * size]);
        assert!(posted.bytes.capacity() <= pool.used().max(UNCHARGED_BYTES));
        assert!(pool.used() <= 2 * posted.len() + INITIAL_BYTES);
        drop(posted);
        assert_eq!(pool.used(), 0);
    }
}

#[tokio::test]
async fn a_body_without_memory_is_not_read_any_further() {
    let pool = Pool::new(100_000);
    let (parts, taken) = (Body::from_stream, Arc::new(()));
    let counted = taken.clone();
    let body = stream::repeat_with(move || {
        let _ = &counted;
        Ok::<_, Infallible>(Bytes::from(vec![7; 1000]))
    });
    let refused = BufferedBody::read(parts(body), MOST, LONG, charge(&pool)).await;
    assert_eq!(refused.unwrap_err(), BodyError::Exhausted(Exhausted::Pool));
    assert_eq!((pool.used(), Arc::strong_count(&taken)), (0, 1));
    let small = BufferedBody::read(in_parts(4, 1000), MOST, LONG, charge(&Pool::new(1))).await;
    assert_eq!(small.unwrap().len(), 4000, "ordinary requests cost nothing");
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_body_holds_memory_until_its_timeout() {
    let pool = Pool::new(MOST);
    let begun = stream::iter([Ok::<_, Infallible>(Bytes::from(vec![7; 100_000]))]);
    let endless = Body::from_stream(begun.chain(stream::pending()));
    let taking = tokio::spawn(BufferedBody::read(endless, MOST, LONG, charge(&pool)));
    tokio::time::sleep(LONG / 2).await;
    assert!(pool.used() >= 100_000);
    assert_eq!(taking.await.unwrap().unwrap_err(), BodyError::TooSlow);
    assert_eq!(pool.used(), 0);
}
