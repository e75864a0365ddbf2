//! JSON bodies: content types, sizes, time.

use axum::body::Body;
use bytes::Bytes;

use super::*;

async fn refused(request: http::request::Builder, body: &str) -> (u16, String) {
    let limits = BodyLimits {
        bytes: 20,
        time: Duration::from_secs(10),
        memory: Pool::new(0),
    };
    let request = request
        .extension(limits)
        .body(Body::from(body.to_owned()))
        .unwrap();
    match JsonBody::<u8>::from_request(request, &()).await {
        Ok(JsonBody(number)) => (200, number.to_string()),
        Err(refused) => (refused.status.as_u16(), refused.error.to_string()),
    }
}

#[tokio::test]
async fn json_is_parsed_and_everything_else_is_refused_with_a_reason() {
    let typed = |kind| Request::builder().header("content-type", kind);
    let seven = (200, "7".to_owned());
    for kind in [
        "application/json",
        "Application/JSON ; charset=utf-8",
        "application/vnd.api+json",
        "application/json;charset=\"UTF-8\"",
        "text/json",
    ] {
        assert_eq!(refused(typed(kind), "7").await, seven, "{kind}");
    }
    assert_eq!(refused(Request::builder(), " 7\n").await, seven);
    for kind in [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "application/json; charset=utf-16",
        "application/x-json-stream",
        "",
    ] {
        assert_eq!(refused(typed(kind), "7").await.0, 415, "{kind}");
    }
    for (encoding, status) in [
        ("gzip", 415),
        ("br, gzip", 415),
        ("identity", 200),
        ("", 200),
    ] {
        let request = typed("application/json").header("content-encoding", encoding);
        assert_eq!(refused(request, "7").await.0, status, "{encoding}");
    }
    let page = Request::builder().header("origin", "https://evil.example");
    assert_eq!(refused(page, "7").await.0, 415, "a page's body of no type");

    let json = || typed("application/json");
    let identity = json().header("content-encoding", "Identity");
    assert_eq!(refused(identity, "7").await, seven);
    let (status, why) = refused(json().header("content-encoding", "gzip"), "7").await;
    assert_eq!(status, 415);
    assert!(why.contains("content-encoding"), "{why}");
    assert_eq!(
        refused(json(), "300").await,
        (
            400,
            "bad_request: a whole number, 0 or more, is expected, not 300".to_owned()
        )
    );
    assert_eq!(refused(json(), "").await.0, 400);
    assert_eq!(refused(json(), "7, 8").await.0, 400);
    assert_eq!(
        refused(json(), &" ".repeat(21)).await,
        (
            413,
            "too_large: the body is larger than http.body_bytes, 20 bytes".to_owned()
        )
    );
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_body_is_refused_after_its_timeout() {
    let endless = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Error>>());
    let limits = BodyLimits {
        bytes: 20,
        time: Duration::from_secs(10),
        memory: Pool::new(0),
    };
    let request = Request::builder().extension(limits).body(endless).unwrap();
    let begin = tokio::time::Instant::now();
    let refused = JsonBody::<u8>::from_request(request, &())
        .await
        .unwrap_err();
    assert_eq!(refused.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(refused.error.code(), Code::BadRequest);
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
}
