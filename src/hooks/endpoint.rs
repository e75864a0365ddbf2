//! One endpoint that answers: how many calls it is given at once, whether it is asked at all, and what is counted of it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::time::{Instant as TokioInstant, timeout_at};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    Answer, CallHook, CallSubject, CallTopic, HookClient, HookFailure, HookPermit,
    breaker::{Breaker, Outcome, Ticket},
    call,
    places::Places,
    reply::{self, Reply},
};
use crate::{
    limits::Holder,
    model::{RoomName, Timestamp},
    retry::{Episode, LogLimiter, log_at},
    sync::lock,
    telemetry::{EndpointMetrics, InFlightCall, Metrics},
    traces,
};

/// An endpoint that answers.
pub(crate) struct CallEndpoint {
    hook: CallHook,
    /// Its URL without what is secret in it.
    name: String,
    node: Arc<str>,
    client: HookClient,
    places: Places,
    breaker: Mutex<Breaker>,
    metrics: EndpointMetrics,
    log: CallLog,
}

/// What is told of an endpoint's calls.
#[derive(Default)]
struct CallLog {
    calls: AtomicU64,
    denied: AtomicU64,
    failures: AtomicU64,
    last_failure: Mutex<Option<LastFailure>>,
    limiter: LogLimiter,
    /// The breaker has opened, and no call has succeeded since.
    troubled: AtomicBool,
}

/// The last call that got no reply.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LastFailure {
    pub(crate) ts: Timestamp,
    pub(crate) kind: &'static str,
    pub(crate) message: String,
}

impl LastFailure {
    /// A failure that has happened just now.
    pub(super) fn now(failure: &HookFailure) -> Self {
        Self {
            ts: Timestamp::now(),
            kind: failure.kind(),
            message: failure.to_string(),
        }
    }
}

/// How an endpoint is.
#[derive(Debug, Serialize)]
pub(crate) struct CallEndpointStatus {
    pub(crate) url: String,
    pub(crate) events: Vec<String>,
    pub(crate) on: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rooms: Option<String>,
    pub(crate) timeout_ms: u64,
    pub(crate) concurrency: usize,
    pub(crate) signed: bool,
    /// `ok`, or `open` while it is not asked.
    pub(crate) state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) asked_again_in_ms: Option<u64>,
    pub(crate) in_flight: usize,
    pub(crate) waiting: usize,
    pub(crate) calls: u64,
    pub(crate) denied: u64,
    pub(crate) failures: u64,
    pub(crate) opened: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_failure: Option<LastFailure>,
}

impl CallEndpoint {
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn new(
        hook: CallHook,
        (name, node): (String, Arc<str>),
        max_response: usize,
        metrics: &Metrics,
    ) -> reqwest::Result<Self> {
        let (url, key) = (hook.url.clone(), hook.key.clone());
        Ok(Self {
            client: HookClient::new(url, key, hook.concurrency, max_response)?,
            metrics: metrics.hook_endpoint(&name, &HookFailure::KINDS),
            places: Places::new(hook.concurrency),
            breaker: Mutex::default(),
            log: CallLog::default(),
            hook,
            name,
            node,
        })
    }

    /// Whether it permits something in a room.
    pub(super) fn permits(&self, permit: HookPermit, room: Option<&RoomName>) -> bool {
        let in_room = match (&self.hook.rooms, room) {
            (Some(rooms), Some(room)) => rooms.matches(room.as_str()),
            _ => true,
        };
        self.hook.on.contains(&permit) && in_room
    }

    /// The time of a call.
    pub(crate) fn timeout(&self) -> Duration {
        self.hook.timeout
    }

    /// Asks the endpoint, once. `topic` is asked for when the call has its place. It takes twice the endpoint's `timeout` at most: to wait
    /// for a place, and for the reply; and no longer than until `deadline`.
    ///
    /// # Errors
    /// Why there is no reply.
    pub(super) async fn call<T: Reply>(
        &self,
        subject: &CallSubject<'_>,
        topic: &CallTopic<'_>,
        deadline: Option<TokioInstant>,
    ) -> Result<Answer<T>, HookFailure> {
        let span = traces::hook(topic.name(), &self.name);
        let called = self.call_in_time(subject, topic, deadline);
        let called = called.instrument(span.clone()).await;
        match &called {
            Ok(Answer::Reply(_)) => self.metrics.answered(),
            Ok(Answer::Denied(_)) => {
                self.log.denied.fetch_add(1, Ordering::Relaxed);
                self.metrics.denied();
            }
            Err(failure) => {
                traces::record_error(&span, failure.kind());
                self.note_failure(failure);
            }
        }
        called
    }

    async fn call_in_time<T: Reply>(
        &self,
        subject: &CallSubject<'_>,
        topic: &CallTopic<'_>,
        deadline: Option<TokioInstant>,
    ) -> Result<Answer<T>, HookFailure> {
        // Before it waits: while the endpoint is not asked, nobody has to.
        self.permit()?;
        let alone = subject.connection.is_none().then_some(&subject.client);
        let place = self.places.take(alone, self.until(deadline)).await?;
        let ticket = self.permit()?;
        let sent = SentCall::begin(self, ticket, &subject.client);
        let id = Uuid::now_v7().to_string();
        let now = Timestamp::now();
        let body = call::encode((&id, now, &self.node), subject, topic, &self.hook.headers);
        let response = timeout_at(self.until(deadline), self.client.post(&id, now, body)).await;
        drop(place);
        let took = sent.took();
        let answer = match response {
            Err(_) => Err(HookFailure::Timeout),
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(response)) => match response.status {
                200 | 403 => {
                    reply::read(response.status, &response.body).map_err(HookFailure::Reply)
                }
                status => Err(HookFailure::Status(status)),
            },
        };
        sent.end(took, answer.as_ref().err());
        let (endpoint, answered) = (&*self.name, answer.is_ok());
        tracing::debug!(endpoint, id, answered, ?took, "a hook was called");
        answer
    }

    /// Whether it is asked.
    fn permit(&self) -> Result<Ticket, HookFailure> {
        let permitted = lock(&self.breaker).permit(Instant::now());
        permitted.map_err(HookFailure::Open)
    }

    /// Until when something may last that begins now.
    fn until(&self, deadline: Option<TokioInstant>) -> TokioInstant {
        let own = TokioInstant::now() + self.hook.timeout;
        deadline.map_or(own, |deadline| deadline.min(own))
    }

    /// Counts a call that was sent.
    fn record(&self, ticket: Ticket, outcome: Outcome<'_>) {
        let opened = lock(&self.breaker).record(ticket, outcome, Instant::now());
        if opened {
            self.metrics.opened();
            if !self.log.troubled.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    endpoint = self.name,
                    "a hook is not asked for 5 s: most of its calls fail"
                );
            }
        } else if outcome == Outcome::Answered && self.log.troubled.swap(false, Ordering::Relaxed) {
            let Episode { lasted, times } = self.log.limiter.finish().unwrap_or(Episode {
                lasted: Duration::ZERO,
                times: 0,
            });
            tracing::info!(endpoint = self.name, ?lasted, times, "a hook answers again");
        }
    }

    fn note_failure(&self, failure: &HookFailure) {
        self.metrics.failed(failure.kind());
        self.log.failures.fetch_add(1, Ordering::Relaxed);
        if let HookFailure::Open(_) = failure {
            return; // what has failed before says why
        }
        *lock(&self.log.last_failure) = Some(LastFailure::now(failure));
        log_at!(self.log.limiter, warn, endpoint = self.name, %failure, "a hook has not answered");
    }

    /// How it is.
    pub(super) fn status(&self) -> CallEndpointStatus {
        let (remaining, opened) = {
            let breaker = lock(&self.breaker);
            (breaker.remaining(Instant::now()), breaker.opened())
        };
        let milliseconds =
            |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CallEndpointStatus {
            url: self.name.clone(),
            events: self.hook.events.clone(),
            on: self.hook.on.iter().map(|permit| permit.as_str()).collect(),
            rooms: self.hook.rooms.as_ref().map(ToString::to_string),
            timeout_ms: milliseconds(self.hook.timeout),
            concurrency: self.hook.concurrency,
            signed: self.hook.key.is_some(),
            state: if remaining.is_some() { "open" } else { "ok" },
            asked_again_in_ms: remaining.map(milliseconds),
            in_flight: self.places.taken(),
            waiting: self.places.waiting(),
            calls: count(&self.log.calls),
            denied: count(&self.log.denied),
            failures: count(&self.log.failures),
            opened,
            last_failure: lock(&self.log.last_failure).clone(),
        }
    }

    /// Sets the gauges that are read from elsewhere.
    pub(super) fn update_gauges(&self) {
        let is_open = lock(&self.breaker).remaining(Instant::now()).is_some();
        self.metrics.set(is_open, self.places.waiting());
    }

    /// Sends it an unsigned `HEAD`, to see whether it can be reached: any status will do.
    ///
    /// # Errors
    /// Why not.
    pub(super) async fn reach(&self) -> Result<u16, HookFailure> {
        self.client.reach(self.hook.timeout).await
    }
}

/// A call that is sent. If it is dropped before it ends, its caller has gone, and nobody waits for the reply.
struct SentCall<'a> {
    endpoint: &'a CallEndpoint,
    ticket: Ticket,
    client: &'a Holder,
    began: Instant,
    ended: bool,
    _in_flight: InFlightCall,
}

impl<'a> SentCall<'a> {
    fn begin(endpoint: &'a CallEndpoint, ticket: Ticket, client: &'a Holder) -> Self {
        Self {
            endpoint,
            ticket,
            client,
            began: Instant::now(),
            ended: false,
            _in_flight: endpoint.metrics.begin(),
        }
    }

    fn took(&self) -> Duration {
        self.began.elapsed()
    }

    fn end(mut self, took: Duration, failure: Option<&HookFailure>) {
        self.ended = true;
        self.count(took, failure);
    }

    /// Counts it. True if it says something about the endpoint.
    fn count(&self, took: Duration, failure: Option<&HookFailure>) -> bool {
        let endpoint = self.endpoint;
        endpoint.metrics.took(took);
        endpoint.log.calls.fetch_add(1, Ordering::Relaxed);
        let outcome = self.outcome(took, failure);
        if let Some(outcome) = outcome {
            endpoint.record(self.ticket, outcome);
        }
        outcome.is_some()
    }

    /// What it says about the endpoint; `None`: nothing.
    fn outcome(&self, took: Duration, failure: Option<&HookFailure>) -> Option<Outcome<'a>> {
        let timeout = self.endpoint.hook.timeout;
        match failure {
            None => Some(Outcome::Answered),
            // Given up before its time, because its client has gone. If that never counted, impatient clients would hide that the endpoint
            // is dead. But a client may go on purpose: so it has to have waited for long, and counts once.
            Some(HookFailure::Timeout) if took < timeout / 2 => None,
            Some(HookFailure::Timeout) if took < timeout => Some(Outcome::FailedFor(self.client)),
            Some(failure) if failure.is_of_endpoint() => Some(Outcome::Failed),
            Some(_) => Some(Outcome::FailedFor(self.client)),
        }
    }
}

impl Drop for SentCall<'_> {
    fn drop(&mut self) {
        let given_up = HookFailure::Timeout;
        if !self.ended && self.count(self.took(), Some(&given_up)) {
            self.endpoint.note_failure(&given_up);
        }
    }
}
