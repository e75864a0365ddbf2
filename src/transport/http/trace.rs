//! Names for requests, so that what a client saw can be found in the log.

use std::time::Instant;

use crate::repeat::log_in_bursts;

use axum::{
    Router,
    extract::{OriginalUri, Request},
    middleware::{Next, from_fn},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::Instrument;
use uuid::Uuid;

/// The header that names a request, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name that is taken over from a client.
const ID_CHARS: usize = 64;

/// Gives each request to these routes an id, which the answer has in `x-request-id` and the log beside everything that is
/// said while the request is handled, and logs the answer.
pub fn traced(router: Router) -> Router {
    router.layer(from_fn(trace))
}

async fn trace(request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let method = request.method().clone();
    // Never the query: tokens may be in it.
    let path = match request.extensions().get::<OriginalUri>() {
        Some(uri) => uri.path(),
        None => request.uri().path(),
    };
    // As loud as the loudest that is said in it, so that no level of the log shows that without this.
    let span =
        tracing::warn_span!("request", request_id = id.to_str().unwrap_or_default(), %method, path);
    let begin = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    response.headers_mut().insert(REQUEST_ID, id);
    span.in_scope(|| log(response.status(), begin));
    response
}

/// What is refused for the moment is no defect; every other failure of ours is.
fn log(status: StatusCode, begin: Instant) {
    let (status, took) = (status.as_u16(), begin.elapsed());
    if status >= 500 && status != StatusCode::SERVICE_UNAVAILABLE {
        log_in_bursts!(warn, status, ?took, "a request failed");
    } else {
        tracing::debug!(status, ?took, "answered");
    }
}

/// The request's own id, if it may stand in a log, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=ID_CHARS).contains(&id.len())
            && id
                .as_bytes()
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
    });
    given.cloned().unwrap_or_else(|| {
        HeaderValue::from_str(&Uuid::now_v7().to_string()).expect("hexadecimal digits and hyphens")
    })
}

#[cfg(test)]
mod tests;
