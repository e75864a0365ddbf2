//! Sends one signed request to an endpoint, and reads its response to the end.
//!
//! Everything that comes back is bounded and believed of nothing. A request that was written is never sent again: the HTTP client
//! repeats only what it could not begin to write, on a connection that had been closed meanwhile.

use std::{
    error::Error as _,
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use http::HeaderMap;
use reqwest::{Body, Client, Response, Url, header::RETRY_AFTER, redirect};

use tokio::time::timeout;
use tracing::Span;

use super::{HookFailure, SigningKey};
use crate::{model::Timestamp, traces};

/// How long a connection is kept for the next call: less than servers keep it, Node.js 5 s.
const IDLE: Duration = Duration::from_secs(4);

/// How long connecting may take, also for a call that has been given up.
const CONNECT: Duration = Duration::from_secs(10);

/// How long the rest of a response may take whose status is known.
const REST: Duration = Duration::from_secs(1);

/// Sends requests to one endpoint.
pub(crate) struct HookClient {
    http: Client,
    url: Url,
    key: Option<SigningKey>,
    /// Bytes of a response.
    max_response: usize,
}

/// What an endpoint has responded.
#[derive(Debug)]
pub(crate) struct HookResponse {
    /// The status.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl HookClient {
    /// A client with at most `connections` idle connections.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(crate) fn new(
        url: Url,
        key: Option<SigningKey>,
        connections: usize,
        max_response: usize,
    ) -> reqwest::Result<Self> {
        let http = Client::builder()
            .user_agent(concat!("switchboard/", env!("CARGO_PKG_VERSION")))
            // A proxy of the environment is for other programs.
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            // A call that is given up leaves no attempt to connect behind for long.
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(connections)
            .build()?;
        Ok(Self {
            http,
            url,
            key,
            max_response,
        })
    }

    /// Sends a JSON body and reads the response. Takes as long as the endpoint does.
    ///
    /// # Errors
    /// Why there is no whole response.
    pub(crate) async fn post(
        &self,
        id: &str,
        now: Timestamp,
        body: Vec<u8>,
    ) -> Result<HookResponse, HookFailure> {
        let response = self.send(id, now, body.into()).await?;
        self.read(response).await
    }

    async fn send(&self, id: &str, now: Timestamp, body: Bytes) -> Result<Response, HookFailure> {
        let timestamp = now.0 / 1000;
        let mut request = self
            .http
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp);
        if let Some(key) = &self.key {
            request = request.header("webhook-signature", key.sign(id, timestamp, &body));
        }
        let (span, mut headers) = (Span::current(), HeaderMap::new());
        traces::add_headers(&span, &mut headers);
        let request = request.headers(headers).body(Body::from(body));
        let response = request.send().await.map_err(lost)?;
        traces::record_hook_status(&span, response.status().as_u16());
        Ok(response)
    }

    /// Sends a JSON body and returns the status of the response, and how long the endpoint asks to wait. The rest of the response is
    /// of no interest. The status may take as long as `within`.
    ///
    /// # Errors
    /// Why there is no response.
    pub(super) async fn deliver(
        &self,
        id: &str,
        now: Timestamp,
        body: Bytes,
        within: Duration,
    ) -> Result<(u16, Option<Duration>), HookFailure> {
        let response = timeout(within, self.send(id, now, body)).await;
        let response = response.map_err(|_| HookFailure::Timeout)??;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER);
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok())
            .and_then(|value| read_retry_after(value, now));
        // So that its connection can be used again. A response that is cut off, or does not end, is one all the same.
        let _ = timeout(REST, self.read(response)).await;
        Ok((status, retry_after))
    }

    /// Sends a `HEAD` and returns the status of the response, which may take as long as `within`.
    ///
    /// # Errors
    /// Why there is no response.
    pub(super) async fn reach(&self, within: Duration) -> Result<u16, HookFailure> {
        let response = timeout(within, self.http.head(self.url.clone()).send()).await;
        let response = response.map_err(|_| HookFailure::Timeout)?;
        response
            .map(|response| response.status().as_u16())
            .map_err(lost)
    }

    /// Reads a response to its end, so that its connection can be used again.
    async fn read(&self, mut response: Response) -> Result<HookResponse, HookFailure> {
        let (status, mut body) = (response.status().as_u16(), Vec::new());
        while let Some(part) = response.chunk().await.map_err(lost)? {
            if body.len() + part.len() > self.max_response {
                return Err(HookFailure::TooLarge(self.max_response));
            }
            body.extend_from_slice(&part);
        }
        Ok(HookResponse { status, body })
    }
}

/// Reads `Retry-After`: seconds, or a date.
fn read_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let seconds = value.trim().parse().map(Duration::from_secs);
    seconds.ok().or_else(|| {
        let until = httpdate::parse_http_date(value).ok()?;
        let now = UNIX_EPOCH + Duration::from_millis(now.0);
        Some(until.duration_since(now).unwrap_or_default())
    })
}

/// A failure of the HTTP client.
fn lost(error: reqwest::Error) -> HookFailure {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    match error.is_connect() {
        true => HookFailure::Connect(text),
        false => HookFailure::Broken(text),
    }
}
