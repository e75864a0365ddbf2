//! Long polling: `/poll/{room}`, for clients that can only send requests.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{Method, Request, header, request::Parts};
use serde::Deserialize;

use super::{AdmissionControl, PollSettings};
use crate::{
    error::{Code, Error, Limit, Result},
    http::{
        Routes, holder,
        params::{PathParams, parse_query},
        traced,
    },
    hub::{Caller, PollReply, PollRequest, PollTimeout},
    limits::{Exhausted, Holder, Pool, Reservation},
    model::{Namespace, Position, Timestamp},
    telemetry::Gauge,
};

/// How long a poll waits by default.
const DEFAULT_WAIT_SECS: f64 = 25.0;

/// How long a poll waits at most.
const MAX_WAIT_SECS: f64 = 60.0;

/// Messages in a response by default.
const DEFAULT_MESSAGES: usize = 100;

/// When a client should retry after `poll.waiters` was reached.
const WAITERS_RETRY_DELAY: Duration = Duration::from_secs(5);

/// The transport's shared state.
#[derive(Clone)]
struct LongPollTransport {
    admission: Arc<AdmissionControl>,
    waiters: Arc<Pool>,
}

/// A poll's query. Other parameters (a token, a user) are read elsewhere.
#[derive(Deserialize)]
struct PollQuery {
    since: Option<String>,
    wait: Option<f64>,
    limit: Option<usize>,
}

/// The path of the transport's route.
const PATH: &str = "/poll/{room}";

/// The transport's routes.
pub(crate) fn routes(admission: &Arc<AdmissionControl>, settings: &PollSettings) -> Routes {
    let transport = LongPollTransport {
        admission: admission.clone(),
        waiters: Pool::new(settings.waiters),
    };
    let poll = async |State(transport): State<LongPollTransport>,
                      PathParams(room): PathParams<String>,
                      request| { transport.respond(&room, request).await };
    let routes = Router::new().route(PATH, get(poll));
    Routes::new(traced(routes.with_state(transport)), [PATH])
}

impl LongPollTransport {
    async fn respond(self, room: &str, request: Request<Body>) -> Response {
        let (mut parts, _) = request.into_parts();
        let mut response = match self.poll(room, &mut parts).await {
            Ok(polled) => ([(header::CACHE_CONTROL, "no-store")], Json(polled)).into_response(),
            Err(error) => self.admission.reject(&error),
        };
        response.extensions_mut().insert(holder(&parts.extensions));
        response
    }

    async fn poll(&self, room: &str, request: &mut Parts) -> Result<PollReply> {
        self.admission
            .check_origin(&request.headers, &request.extensions)?;
        self.admission.check_not_draining()?;
        let query: PollQuery = parse_query(&request.uri)?;
        let since = query.since.filter(|since| !since.is_empty());
        let wait = match request.method {
            // A HEAD request has no use for messages, so it does not wait for them.
            Method::HEAD => 0.0,
            _ => query.wait.unwrap_or(DEFAULT_WAIT_SECS),
        };
        if wait.is_nan() || wait < 0.0 {
            return Err(Error::bad_request("wait: seconds are expected, 0 to 60"));
        }
        let poll = PollRequest {
            room: room.parse()?,
            since: since.as_deref().map(Position::parse).transpose()?,
            limit: Some(query.limit.unwrap_or(DEFAULT_MESSAGES)),
            at_once: wait == 0.0,
        };
        if poll.limit == Some(0) {
            return Err(Error::bad_request("limit: at least 1 is expected"));
        }
        let principal = self.admission.authenticator().principal(request).await?;
        let holder = self.admission.holder(request, Some(&principal));
        request.extensions.insert(holder.clone());
        let hub = self.admission.hub();
        let caller = hub.stateless_caller(Namespace::root(), principal.clone())?;
        hub.take_poll_permits(&caller, &poll, Instant::now())?;
        let facts = self.admission.client_facts(request);
        let admitted = hub.admit_request(Namespace::root(), principal, &facts);
        let caller = admitted.await?;
        let max_wait = Duration::from_secs_f64(wait.min(MAX_WAIT_SECS));
        // The end of its token, or an earlier one that a hook has set.
        let ends = caller.identity().and_then(|identity| identity.expires_at);
        let wait = || -> Result<PollTimeout> {
            let waiter = self.reserve_waiter(holder)?;
            let gauge = WaitingGauge::new(&hub.metrics().polls);
            let draining = self.admission.draining().clone();
            // As of now: a hook may have been asked about the room for a while.
            let left = ends.map(|end| Timestamp::now().until(end));
            let max_wait = left.map_or(max_wait, |left| left.min(max_wait));
            Ok(Box::pin(async move {
                let _guards = (waiter, gauge);
                tokio::select! {
                    () = tokio::time::sleep(max_wait) => {}
                    () = draining.cancelled() => {}
                }
            }))
        };
        hub.poll(&caller, poll, wait).await
    }

    /// Reserves one of `poll.waiters`.
    fn reserve_waiter(&self, holder: Holder) -> Result<Reservation> {
        self.waiters.take(holder, 1).map_err(|exhausted| {
            let max_waiters = self.waiters.size();
            let message = match exhausted {
                Exhausted::Pool => {
                    format!("{max_waiters} polls wait already: poll.waiters is reached")
                }
                Exhausted::Share => "too many polls of this client wait already".to_owned(),
            };
            Error::new(Code::LimitReached, message)
                .for_limit(Limit::PollWaiters)
                .retry_after(WAITERS_RETRY_DELAY)
        })
    }
}

/// Counts a waiting poll until dropped.
struct WaitingGauge(Gauge);

impl WaitingGauge {
    fn new(polls: &Gauge) -> Self {
        polls.inc();
        Self(polls.clone())
    }
}

impl Drop for WaitingGauge {
    fn drop(&mut self) {
        self.0.dec();
    }
}
