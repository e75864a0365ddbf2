//! The body of an API request, read into our types: bounded in size and time, and refused in the shape of every error.

use std::{sync::Arc, time::Duration};

use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;

use super::{
    doorway::holder,
    http::Refused,
    json,
    posted::{FREE, Kept, NotTaken, Posted},
};
use crate::{
    error::{Code, Error},
    hub::exhausted,
    limits::{Charge, Pool},
};

/// How large and how slow a body may be; [`JsonBody`] finds it in the request's extensions.
#[derive(Clone, Debug)]
pub struct BodyLimits {
    /// Its size.
    pub bytes: usize,
    /// Until all of it is there.
    pub time: Duration,
    /// What its bytes are reserved of.
    pub memory: Arc<Pool>,
}

/// A body of JSON.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Refused> {
        check_form(request.headers())
            .map_err(|why| Refused::bad_request(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))?;
        let limits = request.extensions().get::<BodyLimits>().cloned();
        let limits = limits.ok_or_else(|| {
            Error::new(Code::Internal, "nothing says how large a body may be here")
        })?;
        let kept = request.extensions().get::<Kept>().cloned();
        let charge = Charge::new(limits.memory, holder(request.extensions()), FREE);
        let body = Posted::take(request.into_body(), limits.bytes, limits.time, charge).await;
        let body = body.map_err(|why| refused(&why, limits.bytes))?;
        let read = json::read_bytes(&body)?;
        if let Some(kept) = kept {
            kept.keep(body.into_charge());
        }
        Ok(Self(read))
    }
}

fn refused(why: &NotTaken, most: usize) -> Refused {
    match why {
        NotTaken::TooLarge => Error::new(
            Code::TooLarge,
            format!("the body is larger than http.body_bytes, {most} bytes"),
        )
        .into(),
        NotTaken::TooSlow => Refused::bad_request(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body took too long to arrive",
        ),
        NotTaken::Broken => Error::bad_request("the body ended early or is malformed").into(),
        NotTaken::NoMemory(why) => exhausted(*why).into(),
    }
}

/// Refuses headers that do not allow for plain JSON.
fn check_form(headers: &HeaderMap) -> Result<(), &'static str> {
    if !is_plain(headers) {
        return Err("the body is compressed; send it as it is, without content-encoding");
    }
    if !may_be_json(headers) {
        return Err("the body has to be JSON in UTF-8, with content-type: application/json");
    }
    Ok(())
}

fn is_plain(headers: &HeaderMap) -> bool {
    let encodings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let mut encodings = encodings.map(|encoding| encoding.to_str().unwrap_or("unreadable"));
    encodings.all(|encoding| {
        encoding.trim().is_empty() || encoding.trim().eq_ignore_ascii_case("identity")
    })
}

/// Whether the headers allow for JSON: `json` of any kind, or a type that is written as such (`+json`). A page of anywhere may
/// send texts and forms, or a body without a type, without asking first, so these are not taken for JSON; only programs
/// that are no browser may leave the type out.
fn may_be_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return !headers.contains_key(header::ORIGIN);
    };
    let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
    let mut parts = kind.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let is_json = name
        .split_once('/')
        .is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"));
    let charset = parts.find_map(|part| part.strip_prefix("charset="));
    let charset = charset.map_or("utf-8", |charset| charset.trim_matches('"'));
    is_json && ["utf-8", "utf8", "us-ascii"].contains(&charset)
}

#[cfg(test)]
mod tests {
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
    async fn json_is_read_and_everything_else_is_refused_with_its_reason() {
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
    async fn a_body_that_does_not_end_is_refused_when_its_time_is_over() {
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
}
