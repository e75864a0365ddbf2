//! `signal`: a message to one user or one connection, with its reply. Enough for a WebRTC handshake.
//!
//! Receivers may be on any node: this one delivers to its own, and has the others deliver to theirs.

mod local;
mod reply;
pub(in crate::hub) mod reply_budget;
pub(in crate::hub) mod request;
mod target;

use std::{sync::Arc, time::Duration};

pub use reply::{SignalError, SignalReplies, SignalReply};
pub use target::{Signal, SignalTarget};

use self::{reply::SignalOutcome, reply_budget::ReplyBudget, request::SignalRequest};
use crate::{
    error::Result,
    hub::{Connection, Hub, cluster::request::ClusterRequest},
    telemetry::Metrics,
};

/// How much longer other nodes may take than their receivers.
const NETWORK_DELAY: Duration = Duration::from_millis(500);

/// Counts a signal that waits for its replies in the metrics.
struct PendingSignalGauge(Arc<Metrics>);

impl PendingSignalGauge {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.signals.inc();
        Self(metrics)
    }
}

impl Drop for PendingSignalGauge {
    fn drop(&mut self) {
        self.0.signals.dec();
    }
}

impl Hub {
    /// Sends a signal to the receivers on this node before this returns; the future is ready when every receiver on every node
    /// has replied or the time is over. While other nodes cannot be reached, only receivers on this one get it.
    ///
    /// # Errors
    /// Fails with `too_large` if the data is larger or deeper than configured, and `limit_reached` if too many signals of the user
    /// wait for other nodes. The future fails with `forbidden` if the sender may not signal the receivers.
    pub fn signal(
        &self,
        connection: &Connection,
        signal: &Signal,
    ) -> Result<impl Future<Output = Result<SignalReplies>> + Send + 'static> {
        self.signal_within(connection, signal, self.reply_budget())
    }

    /// As [`signal`](Self::signal), with replies that take their bytes out of `budget`.
    pub(in crate::hub) fn signal_within(
        &self,
        connection: &Connection,
        signal: &Signal,
        budget: Arc<ReplyBudget>,
    ) -> Result<impl Future<Output = Result<SignalReplies>> + Send + 'static> {
        self.limiter().check_data_within(&signal.data, None)?;
        let request = Arc::new(SignalRequest::new(connection, signal, |room| {
            self.may_signal_in(room)
        }));
        let to = signal.to.clone();
        let reserved = match self.may_be_remote(&to) {
            true => Some(self.cluster().reserve_signal(&request.from.user)?),
            false => None,
        };
        let local = self.deliver_signal(&request, &budget);
        let (hub, gauge) = (
            self.clone(),
            PendingSignalGauge::new(self.metrics().clone()),
        );
        Ok(async move {
            let _gauge = gauge;
            let remote = async {
                let outcomes = match reserved {
                    Some(_) => hub.signal_other_nodes(&request).await,
                    None => Vec::new(),
                };
                drop(request); // its data is not held until the last receiver has replied
                outcomes
            };
            let (mut outcome, remote) = tokio::join!(local, remote);
            for remote in remote {
                outcome.merge(remote, |reply| hub.hold_reply(reply, &budget));
            }
            outcome.into_replies(&to)
        })
    }

    /// Whether a signal may have receivers on other nodes.
    fn may_be_remote(&self, to: &SignalTarget) -> bool {
        !self.cluster().is_single_node()
            && match to {
                SignalTarget::User(_) => true,
                SignalTarget::Connection(id) => !self.connection_table().contains(id),
                SignalTarget::Nobody => false,
            }
    }

    async fn signal_other_nodes(&self, signal: &Arc<SignalRequest>) -> Vec<SignalOutcome> {
        let request = ClusterRequest::Signal(signal.clone());
        let timeout = signal.timeout() + NETWORK_DELAY;
        let outcomes = self.cluster().request(&request, timeout).await;
        outcomes.unwrap_or_else(|error| {
            tracing::debug!(%error, "a signal was sent to receivers on this node only");
            Vec::new()
        })
    }
}
