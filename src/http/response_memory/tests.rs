//! Responses that are read slowly, in part, or not at all.

use http::StatusCode;

use super::*;

const LARGE: usize = 3 * CHUNK_BYTES + 7;

fn large_body() -> Vec<u8> {
    (0..=u8::MAX).cycle().take(LARGE).collect()
}

fn context(holder: &Holder, http2: bool) -> ResponseContext {
    ResponseContext {
        holder: holder.clone(),
        abort: ConnectionAbort::shared(),
        http2,
    }
}

fn client(last: u8) -> Holder {
    Holder::address([192, 0, 2, last].into())
}

fn responses(memory: usize) -> (PendingResponses, Arc<Pool>) {
    let pool = Pool::new(memory);
    let responses = PendingResponses::new(pool.clone(), Arc::default());
    tokio::spawn(responses.clone().drop_stalled_periodically());
    (responses, pool)
}

async fn hold(responses: &PendingResponses, http2: bool) -> Response {
    hold_for(&Holder::Backend, responses, http2).await
}

async fn hold_for(holder: &Holder, responses: &PendingResponses, http2: bool) -> Response {
    let response = Response::new(Body::from(large_body()));
    responses
        .hold(response, context(holder, http2))
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_read_slowly_is_sent_whole_and_stays_reserved_until_it_is_sent() {
    for http2 in [true, false] {
        let (responses, pool) = responses(0);
        let mut body = hold(&responses, http2).await.into_body();
        assert_eq!(body.size_hint().exact(), Some(LARGE as u64));
        assert!(pool.used() >= LARGE);
        let (mut taken, mut last) = (Vec::new(), Bytes::new());
        while let Some(chunk) = body.frame().await {
            last = chunk.unwrap().into_data().unwrap();
            taken.extend_from_slice(&last);
            sleep(STALL_TIMEOUT / 2).await;
        }
        assert_eq!(taken, large_body());
        assert!(body.is_end_stream());
        drop(body);
        assert!(pool.used() >= last.len(), "the last chunk is not sent yet");
        drop(last);
        assert_eq!(pool.used(), 0);
        assert!(lock(&responses.0.open).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_not_read_is_dropped() {
    for taken in [0, 1] {
        let (responses, pool) = responses(0);
        let mut body = hold(&responses, true).await.into_body();
        for _ in 0..taken {
            body.frame().await.unwrap().unwrap();
        }
        sleep(3 * STALL_TIMEOUT).await;
        assert_eq!(pool.used(), 0);
        assert!(body.frame().await.unwrap().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn under_memory_pressure_stalled_responses_are_dropped_and_others_are_not() {
    let cost = LARGE + HTTP2_OVERHEAD;
    let (responses, pool) = responses(2 * cost + HTTP2_OVERHEAD);
    let mut moving = hold(&responses, true).await.into_body();
    let stalled = hold(&responses, true).await;
    let refused = hold(&responses, true).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    drop(refused);

    sleep(STALL_TIMEOUT_UNDER_PRESSURE).await;
    let chunk = moving.frame().await.unwrap().unwrap();
    let answered = hold(&responses, true).await;
    assert_eq!(answered.status(), StatusCode::OK);
    assert!(stalled.into_body().frame().await.unwrap().is_err());
    assert!(moving.frame().await.unwrap().is_ok());
    drop((chunk, moving, answered));
    assert_eq!(pool.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_has_used_up_its_share_frees_only_its_own_responses() {
    let cost = LARGE + HTTP2_OVERHEAD;
    let (responses, _) = responses(4 * cost);
    let theirs = hold_for(&client(1), &responses, true).await;
    let mine = hold_for(&client(2), &responses, true).await;
    sleep(STALL_TIMEOUT_UNDER_PRESSURE).await;
    let next = hold_for(&client(2), &responses, true).await;
    assert_eq!(next.status(), StatusCode::OK);
    assert!(mine.into_body().frame().await.unwrap().is_err());
    assert!(theirs.into_body().frame().await.unwrap().is_ok());
}

#[tokio::test]
async fn a_stream_is_reset_if_there_is_no_memory_for_an_error_response() {
    let (responses, _) = responses(HTTP2_OVERHEAD - 1);
    let response = Response::new(Body::from(large_body()));
    assert!(
        responses
            .hold(response, context(&client(1), true))
            .await
            .is_err()
    );
    assert_eq!(
        hold(&responses, false).await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
}

#[tokio::test]
async fn static_and_small_bodies_cost_little_and_streams_nothing() {
    let (responses, pool) = responses(0);
    let held = |response: Response, http2| {
        let responses = responses.clone();
        async move {
            responses
                .hold(response, context(&client(1), http2))
                .await
                .unwrap()
        }
    };
    let shared = |bytes: Vec<u8>| {
        let mut response = Response::new(Body::from(bytes));
        response.extensions_mut().insert(StaticBody);
        response
    };
    for (response, http2, cost) in [
        (shared(large_body()), false, 0),
        (shared(large_body()), true, HTTP2_OVERHEAD),
        (Response::new(Body::from("small")), false, 0),
        (Response::new(Body::from("small")), true, HTTP2_OVERHEAD + 5),
        (Response::new(Body::empty()), true, 0),
    ] {
        let whole = response.body().size_hint().exact().unwrap();
        let answer = held(response, http2).await;
        assert_eq!(pool.used(), cost);
        let taken = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(taken.len() as u64, whole);
        drop(taken);
        assert_eq!(pool.used(), 0);
    }
    let stream = Body::from_stream(futures_util::stream::pending::<Result<Bytes, io::Error>>());
    let mut stream = held(Response::new(stream), true).await.into_body();
    assert_eq!(pool.used(), 0);
    assert!(futures_util::poll!(stream.frame()).is_pending());
}
