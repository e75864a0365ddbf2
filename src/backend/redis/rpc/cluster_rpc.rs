//! Cluster RPC: requests to all other nodes, over Pub/Sub.
//!
//! A request or response is one line, the sender's node id and the request's number, then the text. A node without a response
//! sends an empty text, so that the sender does not wait for it. Request number 0 expects no response.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::pubsub::RedisPubSub;
use crate::{
    backend::{Delivery, PeerRequest, PubSub, PubSubMessages, redis::context::NodeContext},
    error::{Error, Result},
    model::NodeId,
    retry::log_rarely,
    sync::lock,
};

/// How many requests of this node, and how many of other nodes here, may be pending.
const MAX_PENDING: usize = 4096;

/// Bytes of responses that may be held until their requests are complete.
const MAX_RESPONSE_BYTES: usize = 32 << 20;

/// The number of requests without a response, and the texts by which a node announces that it has started, or stops.
const NO_RESPONSE: u64 = 0;
const STARTED: &str = "";
const STOPPING: &str = "goodbye";

/// Sends this node's requests, and receives those of the other nodes.
pub(crate) struct ClusterRpc {
    context: Arc<NodeContext>,
    pubsub: Arc<RedisPubSub>,
    last_number: AtomicU64,
    // A std mutex: it is held to note a response, and never across an await.
    pending: Mutex<PendingRequests>,
    /// Requests of other nodes that may be served at the same time.
    serving: Arc<Semaphore>,
}

/// The requests that wait for responses.
#[derive(Default)]
struct PendingRequests {
    by_number: HashMap<u64, PendingRequest>,
    response_bytes: usize,
}

struct PendingRequest {
    awaited: HashSet<NodeId>,
    responses: Vec<String>,
    /// Dropped when all nodes have responded.
    done: Option<oneshot::Sender<()>>,
}

impl PendingRequest {
    fn stop_awaiting(&mut self, node: NodeId) {
        self.awaited.remove(&node);
        if self.awaited.is_empty() {
            self.done = None;
        }
    }
}

/// Removes a pending request when its caller is dropped.
struct RequestGuard<'a> {
    rpc: &'a ClusterRpc,
    number: u64,
}

impl Drop for RequestGuard<'_> {
    fn drop(&mut self) {
        self.rpc.remove(self.number);
    }
}

impl ClusterRpc {
    /// Subscribes to requests and responses. Requests of other nodes are delivered to `deliveries`.
    pub(crate) async fn start(
        context: Arc<NodeContext>,
        pubsub: Arc<RedisPubSub>,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Arc<Self> {
        let requests = pubsub.subscribe(context.keys.requests());
        let responses = pubsub.subscribe(context.keys.responses(context.node));
        let (requests, responses) = tokio::join!(requests, responses);
        let rpc = Arc::new(Self {
            context,
            pubsub,
            last_number: AtomicU64::new(0),
            pending: Mutex::default(),
            serving: Arc::new(Semaphore::new(MAX_PENDING)),
        });
        // Two tasks: the first waits while the hub is behind, and responses must not wait with it.
        tokio::spawn(receive_requests(Arc::downgrade(&rpc), requests, deliveries));
        tokio::spawn(receive_responses(Arc::downgrade(&rpc), responses));
        let lease_acquired = rpc.context.lease_acquired.subscribe();
        tokio::spawn(announce_starts(Arc::downgrade(&rpc), lease_acquired));
        rpc
    }

    /// Announces that this node is stopping, so that the others do not wait for its responses while it still holds a lease.
    pub(crate) fn announce_stop(&self) {
        self.publish_request(NO_RESPONSE, STOPPING);
    }

    /// Sends a request to all other nodes, and waits until all that are alive have responded, or the timeout ends. Returns
    /// the responses that are not empty. With a timeout of zero there are no responses.
    ///
    /// # Errors
    /// `unavailable` if other nodes cannot be reached, the connection was lost meanwhile, or too many requests are pending.
    pub(crate) async fn request(&self, text: &str, timeout: Duration) -> Result<Vec<String>> {
        let connection = self.pubsub.connection_number();
        if connection.is_none() {
            return Err(unreachable_peers());
        }
        if timeout.is_zero() {
            self.publish_request(NO_RESPONSE, text);
            return Ok(Vec::new());
        }
        let (guard, done) = self.register(self.context.peers.alive())?;
        self.publish_request(guard.number, text);
        if let Some(done) = done {
            // Nodes that have not responded by then are left out.
            let _ = tokio::time::timeout(timeout, done).await;
        }
        let Some(request) = self.remove(guard.number) else {
            return Ok(Vec::new());
        };
        // Messages around the loss of a connection may have reached nobody.
        if !request.awaited.is_empty() && self.pubsub.connection_number() != connection {
            return Err(unreachable_peers());
        }
        Ok(request.responses)
    }

    /// Registers a request. The receiver is ready once all awaited nodes have responded; `None` if there are none.
    fn register(
        &self,
        awaited: HashSet<NodeId>,
    ) -> Result<(RequestGuard<'_>, Option<oneshot::Receiver<()>>)> {
        let mut pending = self.lock();
        if pending.by_number.len() >= MAX_PENDING {
            return Err(Error::unavailable(
                "too many requests to other nodes are pending; try again",
            ));
        }
        let number = self.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        let (done, responded) = oneshot::channel();
        let responded = (!awaited.is_empty()).then_some(responded);
        let request = PendingRequest {
            awaited,
            responses: Vec::new(),
            done: Some(done),
        };
        pending.by_number.insert(number, request);
        Ok((RequestGuard { rpc: self, number }, responded))
    }

    /// Adds a node's response to its request.
    fn add_response(&self, node: NodeId, number: u64, text: &str) {
        let mut pending = self.lock();
        let bytes = pending.response_bytes + text.len();
        let Some(request) = pending.by_number.get_mut(&number) else {
            tracing::debug!(%node, "dropped a late response of another node");
            return;
        };
        request.stop_awaiting(node);
        if text.is_empty() {
            return;
        }
        if bytes > MAX_RESPONSE_BYTES {
            log_rarely!(warn, %node, limit = MAX_RESPONSE_BYTES, "response limit reached; dropped a response of another node");
            return;
        }
        request.responses.push(text.to_owned());
        pending.response_bytes = bytes;
    }

    /// A node is stopping: no request waits for it any more.
    fn mark_peer_stopping(&self, node: NodeId) {
        self.context.peers.mark_stopping(node);
        for request in self.lock().by_number.values_mut() {
            request.stop_awaiting(node);
        }
    }

    fn remove(&self, number: u64) -> Option<PendingRequest> {
        let mut pending = self.lock();
        let request = pending.by_number.remove(&number)?;
        pending.response_bytes -= request.responses.iter().map(String::len).sum::<usize>();
        Some(request)
    }

    fn lock(&self) -> MutexGuard<'_, PendingRequests> {
        lock(&self.pending)
    }

    /// Delivers a request of another node to the hub, and publishes the response once it is there.
    async fn serve(
        self: &Arc<Self>,
        from: NodeId,
        number: u64,
        text: &str,
        deliveries: &mpsc::Sender<Delivery>,
    ) {
        let (reply, replied) = oneshot::channel();
        let Ok(permit) = self.serving.clone().try_acquire_owned() else {
            log_rarely!(
                warn,
                limit = MAX_PENDING,
                "peer request limit reached; request dropped"
            );
            return self.respond(from, number, "");
        };
        let request = PeerRequest {
            text: text.to_owned(),
            reply,
        };
        // Without a receiver there is no response.
        let _ = deliveries.send(Delivery::Request(request)).await;
        let rpc = Arc::downgrade(self);
        tokio::spawn(async move {
            let _permit = permit;
            let text = replied.await.unwrap_or_default();
            if let Some(rpc) = rpc.upgrade() {
                rpc.respond(from, number, &text);
            }
        });
    }

    fn respond(&self, to: NodeId, number: u64, text: &str) {
        if number == NO_RESPONSE {
            return;
        }
        let payload = encode(self.context.node, number, text);
        self.pubsub
            .publish(self.context.keys.responses(to), payload);
    }

    fn publish_request(&self, number: u64, text: &str) {
        let payload = encode(self.context.node, number, text);
        self.pubsub.publish(self.context.keys.requests(), payload);
    }
}

/// Announces this node now, and whenever it has acquired its lease again, so that other nodes wait for it at once and not
/// only when they renew theirs.
async fn announce_starts(rpc: Weak<ClusterRpc>, mut lease_acquired: watch::Receiver<()>) {
    while let Some(rpc) = rpc.upgrade() {
        rpc.publish_request(NO_RESPONSE, STARTED);
        drop(rpc);
        if lease_acquired.changed().await.is_err() {
            return;
        }
    }
}

async fn receive_requests(
    rpc: Weak<ClusterRpc>,
    mut requests: PubSubMessages,
    deliveries: mpsc::Sender<Delivery>,
) {
    while let Some((_, payload)) = requests.recv().await {
        let Some(rpc) = rpc.upgrade() else {
            return;
        };
        match decode(&payload) {
            Some((from, ..)) if from == rpc.context.node => {}
            Some((from, NO_RESPONSE, STARTED)) => rpc.context.peers.add(from),
            Some((from, NO_RESPONSE, STOPPING)) => rpc.mark_peer_stopping(from),
            Some((from, number, text)) => rpc.serve(from, number, text, &deliveries).await,
            None => log_rarely!(warn, "ignored a malformed request of another node"),
        }
    }
}

async fn receive_responses(rpc: Weak<ClusterRpc>, mut responses: PubSubMessages) {
    while let Some((_, payload)) = responses.recv().await {
        let Some(rpc) = rpc.upgrade() else {
            return;
        };
        match decode(&payload) {
            Some((from, number, text)) => rpc.add_response(from, number, text),
            None => log_rarely!(warn, "ignored a malformed response of another node"),
        }
    }
}

fn encode(node: impl Display, number: u64, text: &str) -> Vec<u8> {
    format!("{node} {number}\n{text}").into_bytes()
}

fn decode(payload: &[u8]) -> Option<(NodeId, u64, &str)> {
    let (line, text) = std::str::from_utf8(payload).ok()?.split_once('\n')?;
    let (node, number) = line.split_once(' ')?;
    Some((node.parse().ok()?, number.parse().ok()?, text))
}

fn unreachable_peers() -> Error {
    Error::unavailable("other nodes cannot be reached now; try again")
}
