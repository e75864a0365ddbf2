//! Request ids, and the log lines of a request.

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
async fn a_loggable_id_is_echoed_and_any_other_is_replaced() {
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
async fn log_lines_name_the_request_without_its_query() {
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
