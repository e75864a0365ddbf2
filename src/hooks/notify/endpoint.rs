//! One endpoint that is told: where it is, how far it was told, and how it is.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    progress::EndpointProgress,
    status::{Behind, NotifyEndpointStatus},
};
use crate::{
    backend::Outbox,
    error::{Error, Result},
    hooks::{HookClient, HookFailure, endpoint::LastFailure, notify_hook::NotifyHook},
    model::Timestamp,
    retry::{Backoff, LogLimiter, log_at},
    sync::lock,
    telemetry::NotifyMetrics,
};

/// Pauses while the store is away.
pub(super) const STORE_RETRY: Backoff =
    Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Higher than the number of any event.
const BEHIND_ALL: u64 = u64::MAX >> 1;

/// What all endpoints share.
#[derive(Clone)]
pub(super) struct SenderContext {
    pub(super) outbox: Arc<dyn Outbox>,
    /// Changes when there may be new events.
    pub(super) added: watch::Receiver<u64>,
    pub(super) stop: CancellationToken,
    /// How long a lease lasts.
    pub(super) lease: Duration,
}

/// An endpoint that is told.
pub(super) struct NotifyEndpoint {
    pub(super) hook: NotifyHook,
    /// Its URL without what is secret in it.
    pub(super) name: String,
    /// The name under which its progress is stored.
    pub(super) stored_name: String,
    pub(super) client: HookClient,
    pub(super) metrics: NotifyMetrics,
    /// For how long events are sent again.
    pub(super) retry_for: Duration,
    state: Mutex<SendingState>,
    /// An operator wants it to be tried now.
    pub(super) resumed: Notify,
    pub(super) log: LogLimiter,
}

/// What this node knows of its sending.
#[derive(Default)]
struct SendingState {
    /// While this node sends.
    progress: Option<EndpointProgress>,
    next_attempt: Option<Instant>,
    last_failure: Option<LastFailure>,
}

impl NotifyEndpoint {
    pub(super) fn new(
        hook: NotifyHook,
        name: String,
        client: HookClient,
        metrics: NotifyMetrics,
        retry_for: Duration,
    ) -> Self {
        Self {
            stored_name: hook.stored_name(),
            hook,
            name,
            client,
            metrics,
            retry_for,
            state: Mutex::default(),
            resumed: Notify::new(),
            log: LogLimiter::new(),
        }
    }

    /// Stores how far the endpoint was told; false if another node sends by now.
    pub(super) async fn save(
        &self,
        outbox: &dyn Outbox,
        progress: &EndpointProgress,
    ) -> Result<bool> {
        outbox
            .save_endpoint(&self.stored_name, progress.to_text())
            .await
    }

    /// Has the endpoint told again after it was stopped, and tries at once if it is failing.
    ///
    /// # Errors
    /// Fails with `unavailable` if the store is away, or another node is sending.
    pub(super) async fn resume(&self, outbox: &dyn Outbox) -> Result<()> {
        let record = outbox.find_endpoint(&self.stored_name).await?;
        let progress = EndpointProgress::read(&record, outbox.streams());
        if let Some(progress) = progress.filter(|progress| progress.stopped) {
            if !outbox.claim_endpoint(&self.stored_name).await?.is_mine {
                return Err(lease_lost());
            }
            let resumed = EndpointProgress {
                stopped: false,
                failing_since: None,
                ..progress
            };
            if !self.save(outbox, &resumed).await? {
                return Err(lease_lost());
            }
            tracing::info!(
                endpoint = self.name,
                "a hook that was stopped is told again"
            );
        }
        self.resumed.notify_one();
        Ok(())
    }

    /// Shows how far the endpoint was told.
    pub(super) fn show(&self, progress: &EndpointProgress) {
        lock(&self.state).progress = Some(progress.clone());
    }

    /// Shows that this node does not send any more.
    pub(super) fn hide(&self) {
        let mut state = lock(&self.state);
        (state.progress, state.next_attempt) = (None, None);
    }

    /// Shows when the next attempt is.
    pub(super) fn show_next_attempt(&self, at: Option<Instant>) {
        lock(&self.state).next_attempt = at;
    }

    /// Records a failed attempt.
    pub(super) fn note_failure(&self, failure: &HookFailure) {
        self.metrics.failed(failure.kind());
        lock(&self.state).last_failure = Some(LastFailure::now(failure));
        log_at!(self.log, warn, endpoint = self.name, %failure, "a hook has not taken a batch; it is sent again");
    }

    /// Records an attempt that has succeeded, after others that failed if `was_failing`.
    pub(super) fn note_success(&self, was_failing: bool) {
        if let Some(episode) = self.log.finish().filter(|_| was_failing) {
            let (lasted, times) = (episode.lasted, episode.times);
            tracing::info!(
                endpoint = self.name,
                ?lasted,
                times,
                "a hook takes batches again"
            );
        }
    }

    /// Sets the gauges of how far behind it is; they are 0 on nodes that do not send.
    pub(super) async fn update_gauges(&self, outbox: &dyn Outbox) {
        let progress = lock(&self.state).progress.clone();
        let behind = match progress {
            Some(progress) => match behind(outbox, &progress).await {
                Ok(behind) => behind,
                // While the store is away, the endpoint is not less behind than before.
                Err(_) => return,
            },
            None => Behind::default(),
        };
        self.metrics
            .set_behind(behind.events, Duration::from_millis(behind.ms));
    }

    /// How it is.
    ///
    /// # Errors
    /// Fails with `unavailable` if the store is away.
    pub(super) async fn status(&self, outbox: &dyn Outbox) -> Result<NotifyEndpointStatus> {
        let record = outbox.find_endpoint(&self.stored_name).await?;
        let (own, next_attempt, last_failure) = {
            let state = lock(&self.state);
            (
                state.progress.clone(),
                state.next_attempt,
                state.last_failure.clone(),
            )
        };
        let stored = || EndpointProgress::read(&record, outbox.streams());
        let progress = own.or_else(stored).unwrap_or_default();
        let behind = behind(outbox, &progress).await?;
        let in_ms = |at: Instant| {
            let left = at.saturating_duration_since(Instant::now()).as_millis();
            u64::try_from(left).unwrap_or(u64::MAX)
        };
        Ok(NotifyEndpointStatus {
            url: self.name.clone(),
            events: self.hook.events.iter().map(|kind| kind.as_str()).collect(),
            rooms: self.hook.rooms.as_ref().map(ToString::to_string),
            timeout_ms: u64::try_from(self.hook.timeout.as_millis()).unwrap_or(u64::MAX),
            signed: self.hook.key.is_some(),
            state: progress.state(),
            sender: record.owner,
            behind: behind.events,
            behind_ms: behind.ms,
            delivered: progress.delivered,
            lost: progress.lost,
            failing_since: progress.failing_since,
            next_attempt_in_ms: next_attempt.map(in_ms),
            last_failure,
        })
    }
}

/// The number of the last event of each stream.
pub(super) async fn stream_ends(outbox: &dyn Outbox) -> Result<Vec<u64>> {
    let mut ends = Vec::new();
    for stream in 0..outbox.streams() {
        ends.push(outbox.read_events(stream, BEHIND_ALL, 1, 0).await?.last);
    }
    Ok(ends)
}

async fn behind(outbox: &dyn Outbox, progress: &EndpointProgress) -> Result<Behind> {
    let mut behind = Behind::default();
    for (stream, progress) in progress.streams.iter().enumerate() {
        let page = outbox.read_events(stream, progress.at, 1, 0).await?;
        behind.events += page.last.saturating_sub(progress.at);
        let happened = page.events.first().map(|event| event.ts);
        if let Some(ts) = happened.filter(|ts| ts.0 > 0) {
            let age = ts.until(Timestamp::now()).as_millis();
            behind.ms = behind.ms.max(u64::try_from(age).unwrap_or(u64::MAX));
        }
    }
    Ok(behind)
}

/// This node may not send any more.
pub(super) fn lease_lost() -> Error {
    Error::unavailable("another node sends to the endpoint by now")
}
