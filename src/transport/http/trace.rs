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
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use axum::{body::Body, routing::get};
    use tower::ServiceExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    async fn answer(path: &str, id: Option<&str>) -> String {
        let routes = Router::new()
            .route("/here", get(async || tracing::warn!("said inside")))
            .route("/broken", get(async || StatusCode::BAD_GATEWAY))
            .route("/full", get(async || StatusCode::SERVICE_UNAVAILABLE));
        let mut request = Request::get(path);
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let answer = traced(Router::new().nest("/v1", routes))
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        answer.headers()[REQUEST_ID].to_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn an_id_that_may_stand_in_a_log_is_echoed_and_any_other_is_replaced() {
        let longest = "x".repeat(64);
        for good in ["a", "Order_7.retry-2", longest.as_str()] {
            assert_eq!(answer("/v1/here", Some(good)).await, good);
        }
        let too_long = "x".repeat(65);
        for bad in [None, Some(""), Some("a b"), Some("a\"b"), Some(&too_long)] {
            let made = answer("/v1/here", bad).await;
            assert_eq!(Uuid::parse_str(&made).unwrap().get_version_num(), 7);
        }
    }

    #[tokio::test]
    async fn the_log_tells_which_request_without_its_query() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::DEBUG)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _here = tracing::subscriber::set_default(subscriber);
        for path in ["here", "broken", "full"] {
            answer(&format!("/v1/{path}?token=secret"), Some("id-7")).await;
        }
        let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert!(!log.contains("secret"), "{log}");
        let told = |level: &str, path: &str, what: &str| {
            let request = format!("request{{request_id=\"id-7\" method=GET path=\"/v1/{path}\"}}");
            log.lines().any(|line| {
                [level, &request, what]
                    .iter()
                    .all(|part| line.contains(part))
            })
        };
        assert!(told(" WARN ", "here", "said inside"), "{log}");
        assert!(told("DEBUG ", "here", "status=200"), "{log}");
        assert!(told(" WARN ", "broken", "status=502"), "{log}");
        assert!(told("DEBUG ", "full", "status=503"), "{log}");
    }
}
