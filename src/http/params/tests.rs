//! Query and path parameters, and the errors about them.

use axum::{Router, body::Body, routing::get};
use http::Request;
use http_body_util::BodyExt;
use serde::Deserialize;
use tower::ServiceExt;

use super::*;
use crate::model::RoomName;

#[derive(Deserialize)]
struct Page {
    limit: Option<u8>,
}

async fn answer(path: &str) -> (u16, String) {
    let page = async |PathParams(room): PathParams<RoomName>,
                      QueryParams(page): QueryParams<Page>| {
        format!("{} {:?}", room.as_str(), page.limit)
    };
    let answer = Router::new()
        .route("/rooms/{room}", get(page))
        .route("/broken/{a}/{b}", get(async |_: PathParams<String>| {}))
        .oneshot(Request::get(path).body(Body::empty()).unwrap())
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn errors_about_parameters_name_them() {
    let bad = |what: &str| {
        let error = Error::bad_request(what.to_owned());
        (400, serde_json::to_string(&error).unwrap())
    };
    assert_eq!(
        answer("/rooms/a%2Fb?limit=7").await,
        (200, "a/b Some(7)".to_owned())
    );
    assert_eq!(
        answer("/rooms/a?limit=many").await,
        bad("limit: a whole number is expected")
    );
    assert_eq!(
        answer("/rooms/a?of=the%20application").await,
        (200, "a None".to_owned())
    );
    assert_eq!(answer("/rooms/a%FF").await, bad("Invalid UTF-8 in `room`"));
    assert_eq!(answer("/rooms/a%20b").await.0, 400);
    assert_eq!(answer("/broken/a/b").await.0, 500);
}
