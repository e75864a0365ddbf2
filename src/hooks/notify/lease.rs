//! Which node sends to an endpoint: one at a time, the one that holds its lease.
//!
//! How far the endpoint was told is stored with the log, so whoever takes the lease continues there.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use super::{
    endpoint::{NotifyEndpoint, STORE_RETRY, SenderContext, stream_ends},
    progress::EndpointProgress,
    sender::Sender,
};
use crate::{backend::Outbox, error::Result, retry::log_at};

/// How long the last batches may take when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

impl NotifyEndpoint {
    /// Sends to the endpoint whenever this node holds the lease, until `stop`.
    pub(super) async fn run(self: Arc<Self>, context: SenderContext) {
        let mut retry = STORE_RETRY;
        while !context.stop.is_cancelled() {
            match self.claim(context.outbox.as_ref()).await {
                Ok(Some(progress)) => match self.send_while_mine(progress, &context).await {
                    Ok(()) => retry.reset(),
                    Err(error) => {
                        log_at!(self.log, warn, endpoint = self.name, %error, "cannot tell a hook");
                        retry.wait().await;
                    }
                },
                Ok(None) => {
                    retry.reset();
                    tokio::select! {
                        () = sleep(context.lease / 3) => {}
                        () = self.resumed.notified() => {}
                        () = context.stop.cancelled() => {}
                    }
                }
                Err(error) => {
                    log_at!(self.log, warn, endpoint = self.name, %error, "cannot read how far a hook was told");
                    retry.wait().await;
                }
            }
        }
        context.outbox.release_endpoint(&self.stored_name).await;
    }

    /// Takes the lease; `None` if another node has it, or the endpoint is stopped. A new endpoint is told of what happens from now on.
    pub(super) async fn claim(&self, outbox: &dyn Outbox) -> Result<Option<EndpointProgress>> {
        if self.is_stopped(outbox).await? {
            return Ok(None);
        }
        let record = outbox.claim_endpoint(&self.stored_name).await?;
        if !record.is_mine {
            return Ok(None);
        }
        let progress = match EndpointProgress::read(&record, outbox.streams()) {
            Some(progress) => progress,
            None => {
                let progress = EndpointProgress::begin(stream_ends(outbox).await?);
                self.save(outbox, &progress).await?;
                tracing::info!(
                    endpoint = self.name,
                    "a hook is told of what happens from now on"
                );
                progress
            }
        };
        if progress.stopped {
            outbox.release_endpoint(&self.stored_name).await;
            return Ok(None);
        }
        Ok(Some(progress))
    }

    async fn is_stopped(&self, outbox: &dyn Outbox) -> Result<bool> {
        let record = outbox.find_endpoint(&self.stored_name).await?;
        let stored = EndpointProgress::read(&record, outbox.streams());
        let is_stopped = stored.is_some_and(|progress| progress.stopped);
        self.metrics.set_stopped(is_stopped);
        Ok(is_stopped)
    }

    /// # Errors
    /// Fails if another node sends by now.
    async fn send_while_mine(
        &self,
        progress: EndpointProgress,
        context: &SenderContext,
    ) -> Result<()> {
        let stopped_late = async {
            context.stop.cancelled().await;
            sleep(STOP_TIMEOUT).await;
        };
        self.show(&progress);
        let sending = Sender::new(self, progress, context.clone()).run();
        let ended = tokio::select! {
            () = self.keep_lease(context) => Ok(()),
            ended = sending => ended,
            () = stopped_late => Ok(()),
        };
        self.hide();
        ended
    }

    /// Renews the lease until it is lost.
    async fn keep_lease(&self, context: &SenderContext) {
        let mut renewed = Instant::now();
        loop {
            sleep(context.lease / 3).await;
            let claimed = context.outbox.claim_endpoint(&self.stored_name);
            match timeout(context.lease / 3, claimed).await {
                // Another node may have had it meanwhile, if this one was suspended.
                Ok(Ok(record)) if record.is_mine && renewed.elapsed() < context.lease => {
                    renewed = Instant::now();
                }
                Ok(Ok(_)) => return,
                Ok(Err(_)) | Err(_) if renewed.elapsed() > context.lease => return,
                Ok(Err(_)) | Err(_) => {}
            }
        }
    }
}
