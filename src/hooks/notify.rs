//! Tells back ends what happened: durably, in order, and at least once.
//!
//! The [outbox](crate::backend::Outbox) says what happened. For each endpoint one task reads it from where the endpoint stands, sends
//! what the endpoint wants in batches, and stores how far it was told after each. What fails is sent again; what is given up is
//! said. A dead endpoint costs no more memory than one batch.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;

mod batch;
mod endpoint;
mod lease;
mod progress;
mod sender;
mod status;

use endpoint::{NotifyEndpoint, SenderContext};
pub(crate) use status::NotifyEndpointStatus;

use super::{HookClient, HookFailure, notify_hook::NotifyHook};
use crate::{
    backend::{Outbox, OutboxKind},
    error::{Code, Error, Result},
    model::RoomName,
    telemetry::Metrics,
};

/// How often the gauges are set.
const GAUGES_EVERY: Duration = Duration::from_secs(5);

/// How long stopping may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(6);

/// The endpoints that are told.
#[derive(Default)]
pub(super) struct Notifications {
    endpoints: Vec<Arc<NotifyEndpoint>>,
}

/// The tasks that tell them. Dropping this ends them.
pub(crate) struct NotifyTasks {
    stop: CancellationToken,
    senders: JoinSet<()>,
    _watchers: JoinSet<()>,
}

impl Notifications {
    /// Adds an endpoint; `name` is its URL without what is secret in it.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub(super) fn add(
        &mut self,
        hook: NotifyHook,
        name: String,
        max_response: usize,
        retry_for: Duration,
        metrics: &Metrics,
    ) -> reqwest::Result<()> {
        let client = HookClient::new(hook.url.clone(), hook.key.clone(), 1, max_response)?;
        let metrics = metrics.notify_endpoint(&name, &HookFailure::KINDS);
        let endpoint = NotifyEndpoint::new(hook, name, client, metrics, retry_for);
        self.endpoints.push(Arc::new(endpoint));
        Ok(())
    }

    /// Whether any endpoint is told of something in a room.
    pub(super) fn wants(&self, kind: OutboxKind, room: &RoomName) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.hook.wants(kind, room))
    }

    /// Whether any endpoint is told of something in some room.
    pub(super) fn wants_some(&self, kinds: &[OutboxKind]) -> bool {
        let mut wanted = self.endpoints.iter().flat_map(|it| &it.hook.events);
        wanted.any(|kind| kinds.contains(kind))
    }

    /// Has new endpoints told of everything that happens from now on, before anything does.
    pub(super) async fn begin(&self, outbox: &dyn Outbox) {
        for endpoint in &self.endpoints {
            if let Err(error) = endpoint.claim(outbox).await {
                tracing::warn!(endpoint = endpoint.name, %error, "a new hook is not told of what happens before the store is back");
            }
        }
    }

    /// Starts to tell them; `lease` is how long another node waits before it takes over from one that has died.
    pub(super) fn start(&self, outbox: &Arc<dyn Outbox>, lease: Duration) -> NotifyTasks {
        let stop = CancellationToken::new();
        let (mut senders, mut watchers) = (JoinSet::new(), JoinSet::new());
        let (added, of_senders) = watch::channel(0);
        for endpoint in &self.endpoints {
            let context = SenderContext {
                outbox: outbox.clone(),
                added: of_senders.clone(),
                stop: stop.clone(),
                lease,
            };
            senders.spawn(endpoint.clone().run(context));
        }
        if !self.endpoints.is_empty() {
            watchers.spawn(watch_outbox(outbox.clone(), added));
            watchers.spawn(keep_gauges(self.endpoints.clone(), outbox.clone()));
        }
        NotifyTasks {
            stop,
            senders,
            _watchers: watchers,
        }
    }

    /// How each endpoint is.
    ///
    /// # Errors
    /// Fails with `unavailable` if the store is away.
    pub(super) async fn status(&self, outbox: &dyn Outbox) -> Result<Vec<NotifyEndpointStatus>> {
        let mut all = Vec::new();
        for endpoint in &self.endpoints {
            all.push(endpoint.status(outbox).await?);
        }
        Ok(all)
    }

    /// Has an endpoint told again; `url` as its status shows it.
    ///
    /// # Errors
    /// Fails with `not_found` if there is no such endpoint, and `unavailable` if the store is away.
    pub(super) async fn resume(&self, outbox: &dyn Outbox, url: &str) -> Result<()> {
        let mut endpoints = self.endpoints.iter();
        match endpoints.find(|endpoint| endpoint.name == url) {
            Some(endpoint) => endpoint.resume(outbox).await,
            None => Err(Error::new(
                Code::NotFound,
                format!("no endpoint of hooks.notify has the URL {url}"),
            )),
        }
    }

    /// Whether each endpoint can be reached: the status of its response, or why not.
    pub(super) async fn reach(&self) -> Vec<(String, Result<u16, HookFailure>)> {
        let mut reached = Vec::new();
        for endpoint in &self.endpoints {
            let response = endpoint.client.reach(endpoint.hook.timeout).await;
            reached.push((endpoint.name.clone(), response));
        }
        reached
    }
}

impl NotifyTasks {
    /// Sends what is left to endpoints that take it now, stores how far each was told, and ends.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { while self.senders.join_next().await.is_some() {} };
        if timeout(STOP_TIMEOUT, ended).await.is_err() {
            tracing::debug!(
                "a hook was not told of everything before the server stopped; it is when the server runs again"
            );
        }
    }
}

/// Wakes the senders when something was added to the outbox.
async fn watch_outbox(outbox: Arc<dyn Outbox>, added: watch::Sender<u64>) {
    loop {
        outbox.events_added().await;
        added.send_modify(|times| *times = times.wrapping_add(1));
    }
}

async fn keep_gauges(endpoints: Vec<Arc<NotifyEndpoint>>, outbox: Arc<dyn Outbox>) {
    let mut ticks = interval(GAUGES_EVERY);
    loop {
        ticks.tick().await;
        for endpoint in &endpoints {
            endpoint.update_gauges(outbox.as_ref()).await;
        }
    }
}
