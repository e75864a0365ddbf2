//! What becomes of answers that are taken slowly, in parts, or not at all.

use http::StatusCode;

use super::*;

const LARGE: usize = 3 * PIECE + 7;

fn large() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(LARGE).collect()
}

fn way(holder: &Holder, http2: bool) -> Way {
    Way {
        holder: holder.clone(),
        cut: Cut::shared(),
        http2,
    }
}

fn somebody(last: u8) -> Holder {
    Holder::address([192, 0, 2, last].into())
}

fn offers(memory: usize) -> (Offers, Arc<Pool>) {
    let pool = Pool::new(memory);
    let offers = Offers::new(pool.clone(), Arc::default());
    tokio::spawn(offers.clone().look_after());
    (offers, pool)
}

async fn offer(offers: &Offers, http2: bool) -> Response {
    offer_to(&Holder::Backend, offers, http2).await
}

async fn offer_to(holder: &Holder, offers: &Offers, http2: bool) -> Response {
    let response = Response::new(Body::from(large()));
    offers.offer(response, way(holder, http2)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_taken_slowly_is_given_whole_and_reserved_until_it_is_gone() {
    for http2 in [true, false] {
        let (offers, pool) = offers(0);
        let mut body = offer(&offers, http2).await.into_body();
        assert_eq!(body.size_hint().exact(), Some(LARGE as u64));
        assert!(pool.used() >= LARGE);
        let (mut taken, mut last) = (Vec::new(), Bytes::new());
        while let Some(piece) = body.frame().await {
            last = piece.unwrap().into_data().unwrap();
            taken.extend_from_slice(&last);
            sleep(PATIENCE / 2).await;
        }
        assert_eq!(taken, large());
        assert!(body.is_end_stream());
        drop(body);
        assert!(pool.used() >= last.len(), "a part is still to be taken");
        drop(last);
        assert_eq!(pool.used(), 0);
        assert!(lock(&offers.0.open).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_which_nothing_is_taken_is_let_go_of() {
    for taken in [0, 1] {
        let (offers, pool) = offers(0);
        let mut body = offer(&offers, true).await.into_body();
        for _ in 0..taken {
            body.frame().await.unwrap().unwrap();
        }
        sleep(3 * PATIENCE).await;
        assert_eq!(pool.used(), 0);
        assert!(body.frame().await.unwrap().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn where_memory_is_used_up_answers_that_do_not_move_make_room_and_those_that_move_do_not() {
    let cost = LARGE + OVERHEAD;
    let (offers, pool) = offers(2 * cost + OVERHEAD);
    let mut moving = offer(&offers, true).await.into_body();
    let stalled = offer(&offers, true).await;
    let refused = offer(&offers, true).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    drop(refused);

    sleep(SHORT_PATIENCE).await;
    let piece = moving.frame().await.unwrap().unwrap();
    let answered = offer(&offers, true).await;
    assert_eq!(answered.status(), StatusCode::OK);
    assert!(stalled.into_body().frame().await.unwrap().is_err());
    assert!(moving.frame().await.unwrap().is_ok());
    drop((piece, moving, answered));
    assert_eq!(pool.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn only_answers_of_its_own_make_room_for_whoever_has_its_share() {
    let cost = LARGE + OVERHEAD;
    let (offers, _) = offers(4 * cost);
    let theirs = offer_to(&somebody(1), &offers, true).await;
    let mine = offer_to(&somebody(2), &offers, true).await;
    sleep(SHORT_PATIENCE).await;
    let next = offer_to(&somebody(2), &offers, true).await;
    assert_eq!(next.status(), StatusCode::OK);
    assert!(mine.into_body().frame().await.unwrap().is_err());
    assert!(theirs.into_body().frame().await.unwrap().is_ok());
}

#[tokio::test]
async fn a_stream_is_reset_where_there_is_no_memory_even_for_a_refusal() {
    let (offers, _) = offers(OVERHEAD - 1);
    let response = Response::new(Body::from(large()));
    assert!(
        offers
            .offer(response, way(&somebody(1), true))
            .await
            .is_err()
    );
    assert_eq!(
        offer(&offers, false).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn what_is_shared_or_small_costs_little_and_a_stream_nothing() {
    let (offers, pool) = offers(0);
    let asked = |response: Response, http2| {
        let offers = offers.clone();
        async move {
            offers
                .offer(response, way(&somebody(1), http2))
                .await
                .unwrap()
        }
    };
    let shared = |bytes: Vec<u8>| {
        let mut response = Response::new(Body::from(bytes));
        response.extensions_mut().insert(Shared);
        response
    };
    for (response, http2, cost) in [
        (shared(large()), false, 0),
        (shared(large()), true, OVERHEAD),
        (Response::new(Body::from("small")), false, 0),
        (Response::new(Body::from("small")), true, OVERHEAD + 5),
        (Response::new(Body::empty()), true, 0),
    ] {
        let whole = response.body().size_hint().exact().unwrap();
        let answer = asked(response, http2).await;
        assert_eq!(pool.used(), cost);
        let taken = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(taken.len() as u64, whole);
        drop(taken);
        assert_eq!(pool.used(), 0);
    }
    let stream = Body::from_stream(futures_util::stream::pending::<Result<Bytes, io::Error>>());
    let mut stream = asked(Response::new(stream), true).await.into_body();
    assert_eq!(pool.used(), 0);
    assert!(futures_util::poll!(stream.frame()).is_pending());
}
