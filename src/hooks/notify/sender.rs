//! Sends batches to one endpoint, one at a time, each until it is taken or given up.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tracing::Instrument;

use super::{
    batch::{self, Batch, BatchContext},
    endpoint::{NotifyEndpoint, STORE_RETRY, SenderContext, lease_lost},
    progress::EndpointProgress,
};
use crate::{
    backend::OutboxPage,
    error::Result,
    hooks::HookFailure,
    model::Timestamp,
    retry::{Backoff, log_rarely},
    traces,
};

/// How long events gather before they are sent.
const BATCH_WINDOW: Duration = Duration::from_millis(50);

/// Events that are read at once: more than a batch takes, since not all of them are wanted.
const PAGE_EVENTS: usize = 500;

/// Pauses between the attempts to send a batch.
const ATTEMPTS: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(600));

/// The longest pause that an endpoint may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How often progress over events that are not wanted is stored.
const SAVE_INTERVAL: Duration = Duration::from_secs(5);

/// What has become of a batch.
enum Sent {
    /// The endpoint has taken it.
    Taken,
    /// The endpoint wants nothing more.
    Stopped,
    /// Its first event is too old: it is made anew.
    Expired,
    /// The server stops.
    Interrupted,
}

/// Sends to an endpoint while this node holds its lease.
pub(super) struct Sender<'a> {
    endpoint: &'a NotifyEndpoint,
    context: SenderContext,
    progress: EndpointProgress,
    saved: EndpointProgress,
    saved_at: Instant,
    /// The stream that is looked at first: each has its turn.
    turn: usize,
    attempts: Backoff,
    /// An attempt has failed since this sender began: time in which nothing was tried does not count.
    has_failed: bool,
}

impl<'a> Sender<'a> {
    pub(super) fn new(
        endpoint: &'a NotifyEndpoint,
        progress: EndpointProgress,
        context: SenderContext,
    ) -> Self {
        Self {
            endpoint,
            context,
            saved: progress.clone(),
            saved_at: Instant::now(),
            progress,
            turn: 0,
            attempts: ATTEMPTS,
            has_failed: false,
        }
    }

    /// Sends until the endpoint is stopped, or the server stops and nothing is left to send.
    ///
    /// # Errors
    /// Fails if another node sends by now.
    pub(super) async fn run(mut self) -> Result<()> {
        let mut retry = STORE_RETRY;
        while !self.progress.stopped {
            self.context.added.borrow_and_update();
            match self.next_batch().await {
                Ok(Some((stream, batch))) => {
                    if !self.handle(stream, &batch).await? {
                        return Ok(());
                    }
                }
                Ok(None) => {
                    retry.reset();
                    if !self.wait_for_events().await? {
                        return Ok(());
                    }
                }
                Err(_) if self.context.stop.is_cancelled() => return Ok(()),
                Err(error) => {
                    log_rarely!(warn, endpoint = self.endpoint.name, %error, "cannot read what a hook is to be told");
                    retry.wait().await;
                }
            }
        }
        Ok(())
    }

    /// Sends a batch; false if the server stops.
    async fn handle(&mut self, stream: usize, batch: &Batch) -> Result<bool> {
        if batch.is_loss {
            // What is lost is told in the same words again after a crash.
            self.save().await?;
        }
        match self.send(batch).await? {
            Sent::Taken => self.complete(stream, batch).await?,
            Sent::Stopped => {
                tracing::warn!(
                    endpoint = self.endpoint.name,
                    "a hook has responded with 410 and is told nothing more until it is resumed"
                );
                self.progress.stopped = true;
                self.save().await?;
            }
            Sent::Expired => {}
            Sent::Interrupted => {
                self.save().await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next events that the endpoint wants, of whatever stream has some.
    ///
    /// # Errors
    /// Fails if a stream cannot be read and no other has some.
    async fn next_batch(&mut self) -> Result<Option<(usize, Batch)>> {
        let (streams, mut failed) = (self.progress.streams.len(), None);
        for nth in 0..streams {
            let stream = (self.turn + nth) % streams;
            match self.next_of_stream(stream).await {
                Ok(Some(batch)) => {
                    self.turn = stream + 1;
                    return Ok(Some((stream, batch)));
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    async fn next_of_stream(&mut self, stream: usize) -> Result<Option<Batch>> {
        loop {
            let at = self.progress.streams[stream].at;
            let outbox = &self.context.outbox;
            let page = outbox.read_events(stream, at, PAGE_EVENTS, batch::MAX_BYTES);
            let page = page.await?;
            if let Some(batch) = self.batch_of(stream, &page) {
                return Ok(Some(batch));
            }
            if self.progress.streams[stream].at >= page.last {
                return Ok(None);
            }
        }
    }

    fn batch_of(&mut self, stream: usize, page: &OutboxPage) -> Option<Batch> {
        let several = self.progress.streams.len() > 1;
        let now = Timestamp::now();
        let context = BatchContext {
            hook: &self.endpoint.hook,
            stream: several.then_some(stream),
            now,
            give_up_before: self.give_up_before(now),
        };
        let progress = &mut self.progress.streams[stream];
        let before = progress.lost_until();
        let batch = batch::next_batch(&context, progress, page);
        let after = progress.lost_until();
        if after != before {
            // One, if nobody knows how many.
            let events = after.1.saturating_sub(before.1).max(1);
            self.progress.lost += events;
            self.endpoint.show(&self.progress);
            self.endpoint.metrics.lost(events);
            log_rarely!(
                warn,
                endpoint = self.endpoint.name,
                events,
                "a hook has lost events: they were too old, or gone from the log or the outbox"
            );
        }
        batch
    }

    /// Events from before this time are given up: those that were sent again for long enough.
    fn give_up_before(&self, now: Timestamp) -> Timestamp {
        let oldest = now.before(self.endpoint.retry_for);
        match self.progress.failing_since {
            Some(since) if since <= oldest && self.has_failed => oldest,
            _ => Timestamp(0),
        }
    }

    /// Waits until there may be new events, and then for those that come with them. False if the server stops.
    async fn wait_for_events(&mut self) -> Result<bool> {
        let has_moved = self.progress != self.saved;
        if has_moved {
            self.endpoint.show(&self.progress);
        }
        if self.context.stop.is_cancelled() {
            if has_moved {
                self.save().await?;
            }
            return Ok(false);
        }
        tokio::select! {
            changed = self.context.added.changed() => {
                if changed.is_err() {
                    return Ok(false);
                }
                sleep(BATCH_WINDOW).await;
            }
            () = sleep_until(self.saved_at + SAVE_INTERVAL), if has_moved => self.save().await?,
            () = self.context.stop.cancelled() => {}
        }
        Ok(true)
    }

    /// Sends a batch until something has become of it.
    async fn send(&mut self, batch: &Batch) -> Result<Sent> {
        loop {
            let (failure, retry_after) = match self.attempt(batch).await {
                Ok(sent) => return Ok(sent),
                Err(failed) => failed,
            };
            self.endpoint.note_failure(&failure);
            self.has_failed = true;
            if self.progress.failing_since.is_none() {
                self.progress.failing_since = Some(Timestamp::now());
                self.save().await?;
            }
            let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
            let pause = self.attempts.next_delay().max(asked);
            self.endpoint
                .show_next_attempt(Some(Instant::now() + pause));
            tokio::select! {
                () = sleep(pause) => {}
                () = self.endpoint.resumed.notified() => {}
                () = self.context.stop.cancelled() => return Ok(Sent::Interrupted),
            }
            self.endpoint.show_next_attempt(None);
            if batch.oldest < self.give_up_before(Timestamp::now()) {
                return Ok(Sent::Expired);
            }
        }
    }

    /// Sends a batch once; or why it was not taken, and how long the endpoint asks to wait.
    async fn attempt(&self, batch: &Batch) -> Result<Sent, (HookFailure, Option<Duration>)> {
        let NotifyEndpoint {
            client,
            hook,
            metrics,
            ..
        } = self.endpoint;
        let began = Instant::now();
        let sent = client.deliver(
            &batch.id,
            Timestamp::now(),
            batch.body.clone(),
            hook.timeout,
        );
        let span = traces::hook("notify", &self.endpoint.name);
        let response = sent.instrument(span.clone()).await;
        if let Err(failure) = &response {
            traces::record_error(&span, failure.kind());
        }
        metrics.took(began.elapsed());
        match response {
            Err(failure) => Err((failure, None)),
            Ok((200..=299, _)) => Ok(Sent::Taken),
            Ok((410, _)) => Ok(Sent::Stopped),
            Ok((status, retry_after)) => Err((HookFailure::Status(status), retry_after)),
        }
    }

    /// Records that the endpoint has taken a batch.
    async fn complete(&mut self, stream: usize, batch: &Batch) -> Result<()> {
        batch.complete(&mut self.progress.streams[stream]);
        self.progress.delivered += batch.events;
        let was_failing = self.progress.failing_since.take().is_some();
        self.attempts.reset();
        self.endpoint.metrics.delivered(batch.events);
        self.endpoint.note_success(was_failing);
        tracing::debug!(
            endpoint = self.endpoint.name,
            id = batch.id,
            events = batch.events,
            "a hook has taken a batch"
        );
        self.save().await
    }

    /// Stores how far the endpoint was told: nothing more is sent before that.
    async fn save(&mut self) -> Result<()> {
        self.endpoint.show(&self.progress);
        let mut retry = STORE_RETRY;
        loop {
            match self
                .endpoint
                .save(self.context.outbox.as_ref(), &self.progress)
                .await
            {
                Ok(true) => break,
                Ok(false) => return Err(lease_lost()),
                Err(error) => {
                    log_rarely!(warn, endpoint = self.endpoint.name, %error, "cannot store how far a hook was told");
                    retry.wait().await;
                }
            }
        }
        self.saved.clone_from(&self.progress);
        self.saved_at = Instant::now();
        Ok(())
    }
}
