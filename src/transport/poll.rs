//! The long-poll door: `/poll/{room}`, for clients that can do nothing but ask.

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

use super::{Doorway, PollSettings};
use crate::{
    error::{Code, Error, Limit, Result},
    http::{
        holder,
        params::{PathParams, parse_query},
        traced,
    },
    hub::{PollRequest, PollResponse, PollTimeout},
    limits::{Exhausted, Holder, Pool, Reservation},
    model::{Namespace, Position, Timestamp},
    telemetry::Gauge,
};

/// How long a poll waits if it does not say so, and at most; in seconds.
const WAIT: f64 = 25.0;
const MOST_WAIT: f64 = 60.0;

/// Messages of an answer, if the poll does not say so.
const MESSAGES: usize = 100;

/// What every poll shares.
#[derive(Clone)]
struct Door {
    doorway: Arc<Doorway>,
    waiters: Arc<Pool>,
}

/// What a poll's query says; what else it has (a token, a user) is read elsewhere.
#[derive(Deserialize)]
struct Asked {
    since: Option<String>,
    wait: Option<f64>,
    limit: Option<usize>,
}

/// The door's routes.
pub(crate) fn routes(doorway: &Arc<Doorway>, settings: &PollSettings) -> Router {
    let door = Door {
        doorway: doorway.clone(),
        waiters: Pool::new(settings.waiters),
    };
    let poll = async |State(door): State<Door>, PathParams(room): PathParams<String>, request| {
        door.answer(&room, request).await
    };
    traced(
        Router::new()
            .route("/poll/{room}", get(poll))
            .with_state(door),
    )
}

impl Door {
    async fn answer(self, room: &str, request: Request<Body>) -> Response {
        let (mut parts, _) = request.into_parts();
        let mut response = match self.poll(room, &mut parts).await {
            Ok(polled) => ([(header::CACHE_CONTROL, "no-store")], Json(polled)).into_response(),
            Err(error) => self.doorway.refuse(&error),
        };
        response.extensions_mut().insert(holder(&parts.extensions));
        response
    }

    async fn poll(&self, room: &str, request: &mut Parts) -> Result<PollResponse> {
        self.doorway
            .check_origin(&request.headers, &request.extensions)?;
        self.doorway.check_open()?;
        let asked: Asked = parse_query(&request.uri)?;
        let since = asked.since.filter(|since| !since.is_empty());
        let wait = match request.method {
            // Whoever asks for the head alone is not to wait for what it will not be given.
            Method::HEAD => 0.0,
            _ => asked.wait.unwrap_or(WAIT),
        };
        if wait.is_nan() || wait < 0.0 {
            return Err(Error::bad_request("wait: seconds are expected, 0 to 60"));
        }
        let poll = PollRequest {
            room: room.parse()?,
            since: since.as_deref().map(Position::parse).transpose()?,
            limit: Some(asked.limit.unwrap_or(MESSAGES)),
            at_once: wait == 0.0,
        };
        if poll.limit == Some(0) {
            return Err(Error::bad_request("limit: at least 1 is expected"));
        }
        let principal = self.doorway.principal(request).await?;
        let ends = principal.expires_at;
        let holder = self.doorway.holder(request, Some(&principal));
        request.extensions.insert(holder.clone());
        let hub = self.doorway.hub();
        let visitor = hub.visitor(Namespace::root(), principal)?;
        hub.take_poll_permits(&visitor, &poll, Instant::now())?;
        let mut most = Duration::from_secs_f64(wait.min(MOST_WAIT));
        if let Some(end) = ends {
            most = most.min(Timestamp::now().until(end));
        }
        let wait = || -> Result<PollTimeout> {
            let place = self.place(holder)?;
            let waiting = Waiting::new(&hub.metrics().polls);
            let draining = self.doorway.draining().clone();
            Ok(Box::pin(async move {
                let _held = (place, waiting);
                tokio::select! {
                    () = tokio::time::sleep(most) => {}
                    () = draining.cancelled() => {}
                }
            }))
        };
        hub.poll(&visitor, poll, wait).await
    }

    /// A place among those that wait.
    fn place(&self, holder: Holder) -> Result<Reservation> {
        self.waiters.take(holder, 1).map_err(|exhausted| {
            let most = self.waiters.size();
            let message = match exhausted {
                Exhausted::Pool => format!("{most} polls wait already: poll.waiters is reached"),
                Exhausted::Share => "too many polls of this client wait already".to_owned(),
            };
            Error::new(Code::LimitReached, message)
                .for_limit(Limit::PollWaiters)
                .retry_after(Duration::from_secs(5))
        })
    }
}

/// Counts as a poll that waits while it lives.
struct Waiting(Gauge);

impl Waiting {
    fn new(polls: &Gauge) -> Self {
        polls.inc();
        Self(polls.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}
