//! Requests to the hubs of other nodes, and the bounds on theirs to this one.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    backend::ClusterNodes,
    error::{Code, Error, Limit, Result},
    limits::{Holder, Pool, Reservation},
    model::UserId,
    retry::log_rarely,
};

/// How long other nodes may take for a request that they can respond to at once.
pub(in crate::hub) const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);

/// Requests of other nodes that this one serves at a time; clients may have to reply to some of them.
const MAX_REQUESTS: usize = 4096;

/// Signals among them, so that they never hold up what operators ask for. They are shared by the users that send them.
pub(in crate::hub) const MAX_SIGNALS: usize = MAX_REQUESTS / 4 * 3;

/// The other nodes, if there are any. Every request goes to all of them, and each responds for itself.
pub(in crate::hub) struct ClusterClient {
    nodes: Option<Arc<dyn ClusterNodes>>,
    /// Signals that wait for other nodes, or that are delivered for them.
    signals: Arc<Pool>,
    request_permits: Arc<Semaphore>,
}

impl ClusterClient {
    pub(in crate::hub) fn new(nodes: Option<Arc<dyn ClusterNodes>>) -> Self {
        Self {
            nodes,
            signals: Pool::new(MAX_SIGNALS),
            request_permits: Arc::new(Semaphore::new(MAX_REQUESTS)),
        }
    }

    /// The other nodes; `None` if this node is the only one that there can be.
    pub(in crate::hub) fn nodes(&self) -> Option<&dyn ClusterNodes> {
        self.nodes.as_deref()
    }

    pub(in crate::hub) fn is_single_node(&self) -> bool {
        self.nodes.is_none()
    }

    /// Sends a request to all other nodes and returns the responses that arrive in time. Those that cannot be decoded are
    /// left out.
    ///
    /// # Errors
    /// `unavailable` if the other nodes cannot be reached.
    pub(in crate::hub) async fn request<T: DeserializeOwned>(
        &self,
        request: &impl Serialize,
        timeout: Duration,
    ) -> Result<Vec<T>> {
        let Some(nodes) = &self.nodes else {
            return Ok(Vec::new());
        };
        let responses = nodes.request_all(encode(request)?, timeout).await?;
        let decode = |response: String| match serde_json::from_str(&response) {
            Ok(response) => Some(response),
            Err(error) => {
                log_rarely!(warn, %error, "invalid response from another node");
                None
            }
        };
        Ok(responses.into_iter().filter_map(decode).collect())
    }

    /// A permit to serve a request of another node; `None` if too many are being served.
    pub(in crate::hub) fn request_permit(&self) -> Option<OwnedSemaphorePermit> {
        self.request_permits.clone().try_acquire_owned().ok()
    }

    /// Reserves a place for a signal of this sender that waits for replies between nodes: each may wait for half a minute.
    ///
    /// # Errors
    /// `limit_reached` if the sender has too many of them.
    pub(in crate::hub) fn reserve_signal(&self, sender: &UserId) -> Result<Reservation> {
        let reserved = self.signals.take(Holder::User(sender.clone()), 1);
        reserved.map_err(|_| {
            let message = "too many signals wait for replies from other nodes; try again";
            Error::new(Code::LimitReached, message)
                .for_limit(Limit::Signals)
                .retry_after(Duration::from_secs(1))
        })
    }
}

/// A request or a response as JSON.
pub(in crate::hub) fn encode(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| {
        let message = "a request or response for another node could not be encoded";
        Error::new(Code::Internal, message).caused_by(error)
    })
}
