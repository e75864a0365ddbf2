//! Request ids: what a client saw can be found in the log by them.

use std::time::Instant;

use crate::{retry::log_in_bursts, traces};

use axum::{
    Router,
    extract::{MatchedPath, OriginalUri, Request},
    middleware::{Next, from_fn},
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::Instrument;
use uuid::Uuid;

/// The header that has a request's id, in requests and responses.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is accepted from a client.
const MAX_ID_CHARS: usize = 64;

/// Gives each request to these routes an id, which goes into the response's `x-request-id` and into every log line that is
/// written while the request is handled, and logs the response.
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
    // At the highest level that is logged within it, so that no log filter shows those lines without the span.
    let span =
        tracing::warn_span!("request", request_id = id.to_str().unwrap_or_default(), %method, path);
    let route = request.extensions().get::<MatchedPath>();
    let traced = traces::http_request(
        &method,
        (path, route.map(MatchedPath::as_str)),
        id.to_str().unwrap_or_default(),
        request.headers(),
    );
    let begin = Instant::now();
    let running = next.run(request).instrument(traced.clone());
    let mut response = running.instrument(span.clone()).await;
    traces::record_status(&traced, response.status());
    response.headers_mut().insert(REQUEST_ID, id);
    span.in_scope(|| log(response.status(), begin));
    response
}

/// A 503 is no defect; every other 5xx is.
fn log(status: StatusCode, begin: Instant) {
    let (status, took) = (status.as_u16(), begin.elapsed());
    if status >= 500 && status != StatusCode::SERVICE_UNAVAILABLE {
        log_in_bursts!(warn, status, ?took, "request failed");
    } else {
        tracing::debug!(status, ?took, "request completed");
    }
}

/// The request's own id, if it is safe to log, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|id| {
        (1..=MAX_ID_CHARS).contains(&id.len())
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
