//! The task that takes the messages of emitters and carries them out.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    Channels, EventLimits, Refusal,
    channels::{NamespaceChannels, Source},
    command::{Command, Query, RequestId},
    names::Name,
    outgoing::ClusterSender,
    python, reply, server_message,
};
use crate::{
    backend::PubSub,
    hub::{Hub, SocketSet},
    model::{EventPayload, RoomName},
    retry::log_rarely,
};

/// How many requests for acks may wait at the same time. Above that, an event is sent without asking for acks.
pub(super) const MAX_ACK_REQUESTS: usize = 256;

/// How long joins may delay the messages behind them.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves the emitters of one node.
pub(super) struct Server {
    pub(super) hub: Hub,
    pub(super) pubsub: Arc<dyn PubSub>,
    pub(super) channels: Channels,
    pub(super) limits: EventLimits,
    /// What this node and the others of its cluster are to servers of other systems.
    pub(super) own: ClusterSender,
    /// Requests for acks that may still wait.
    pub(super) ack_requests: Arc<Semaphore>,
}

impl Server {
    /// Runs until it is aborted, or the connection to Redis is closed.
    pub(super) async fn run(self) {
        let subscriptions = self.channels.subscriptions();
        let mut messages = self.pubsub.subscribe_all(subscriptions).await;
        while let Some((channel, payload)) = messages.recv().await {
            let Some(source) = self.channels.source(&channel) else {
                continue;
            };
            if matches!(source, Source::Broadcast(..)) && self.own.has_sent(&payload) {
                // The node that published it has sent it to the other nodes, too.
                continue;
            }
            match self.read(source, &payload) {
                Ok(command) => {
                    self.hub.metrics().emitter_message(source.system().as_str());
                    self.execute(source, command).await;
                }
                Err(refusal) => self.refuse(&channel, payload.len(), refusal),
            }
        }
    }

    fn read(&self, source: Source<'_>, payload: &[u8]) -> Result<Command, Refusal> {
        match source {
            Source::Broadcast(channels, room) => {
                let namespace = &channels.namespace;
                let is_here = |room: &str| {
                    let name = Name::from(room).socket();
                    name.is_some_and(|name| self.hub.has_socket(namespace, &name))
                };
                match room {
                    // Of nobody here: not worth decoding.
                    Some(room) if !is_here(room) => Ok(Command::Ignore),
                    _ => server_message::broadcast(namespace, payload, &self.limits),
                }
            }
            Source::Request(channels) => {
                server_message::request(&channels.namespace, payload, &self.limits)
            }
            Source::Python => python::read(payload, &self.limits),
        }
    }

    fn refuse(&self, channel: &str, bytes: usize, refusal: Refusal) {
        let (reason, advice) = (refusal.as_str(), refusal.advice());
        self.hub.metrics().emitter_refused(reason);
        // Its end is the emitter's choice.
        let channel: String = channel.chars().take(100).collect();
        log_rarely!(
            warn,
            channel,
            bytes,
            reason,
            advice,
            "refused a message of an emitter"
        );
    }

    async fn execute(&self, source: Source<'_>, command: Command) {
        let answer = match command {
            Command::Ignore => None,
            Command::Emit(to, event) => {
                self.send(&to, event).await;
                None
            }
            Command::EmitWithAck {
                to,
                event,
                within,
                request,
            } => {
                if let Source::Request(channels) = source {
                    self.ask(channels, &to, event, within, request).await;
                }
                None
            }
            Command::Join(sockets, rooms, id) => {
                let answer = self.done(&sockets, id);
                self.join(sockets, rooms).await;
                answer
            }
            Command::Leave(sockets, rooms, id) => {
                let answer = self.done(&sockets, id);
                self.hub.leave_sockets(&sockets, &rooms).await;
                answer
            }
            Command::Disconnect(sockets, id) => {
                let answer = self.done(&sockets, id);
                self.hub.disconnect_sockets(&sockets).await;
                answer
            }
            Command::Query(query, set, id) => Some(self.answer(query, &set, &id)),
        };
        if let (Source::Request(channels), Some(answer)) = (source, answer) {
            self.pubsub.publish(channels.responses.clone(), answer);
        }
    }

    /// The answer to a request that every server gives.
    fn answer(&self, query: Query, set: &SocketSet, id: &RequestId) -> Vec<u8> {
        let sockets = self.hub.sockets(set);
        let ids = sockets.iter().map(|socket| socket.id());
        match query {
            Query::Ids => reply::ids(id, ids),
            Query::Sockets => reply::sockets(id, sockets.iter().map(|socket| &**socket)),
            Query::Rooms => {
                let rooms = self.hub.rooms_of(&set.namespace).into_iter();
                reply::rooms(id, rooms, ids)
            }
            Query::ServerEvent => reply::server_event(id),
        }
    }

    /// The answer to a request that one server gives: the one that has the socket.
    fn done(&self, sockets: &SocketSet, id: Option<RequestId>) -> Option<Vec<u8>> {
        let id = id.filter(|_| !self.hub.sockets(sockets).is_empty());
        id.as_ref().map(reply::done)
    }

    /// Joins before the next message is taken, unless that takes too long: then the rest joins meanwhile.
    async fn join(&self, sockets: SocketSet, rooms: Vec<RoomName>) {
        let hub = self.hub.clone();
        let joining = tokio::spawn(async move { hub.join_sockets(&sockets, &rooms).await });
        if timeout(JOIN_TIMEOUT, joining).await.is_err() {
            log_rarely!(
                warn,
                timeout = ?JOIN_TIMEOUT,
                "sockets still join a room of an emitter; its next messages are served meanwhile"
            );
        }
    }

    async fn send(&self, to: &SocketSet, event: EventPayload) {
        if let Err(error) = self.hub.send_to_sockets(to, event).await {
            tracing::debug!(%error, "an emitter's event is not delivered");
        }
    }

    /// Sends an event and publishes how many clients were asked for an ack, and then each ack. Of an event with attachments, which only
    /// the ordinary way of events carries, nobody is asked.
    async fn ask(
        &self,
        channels: &NamespaceChannels,
        to: &SocketSet,
        event: EventPayload,
        within: Duration,
        request: RequestId,
    ) {
        let responses = channels.responses.clone();
        let permit = self.ack_requests.clone().try_acquire_owned().ok();
        let permit = permit.filter(|_| event.attachments.is_empty());
        let Some(permit) = permit else {
            self.send(to, event).await;
            let nobody = reply::client_count(&request, 0);
            return self.pubsub.publish(responses, nobody);
        };
        let pending = self.hub.ask_sockets(to, event, within).await;
        let count = reply::client_count(&request, pending.len());
        self.pubsub.publish(responses.clone(), count);
        let pubsub = self.pubsub.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let mut pending: FuturesUnordered<_> = pending.into_iter().collect();
            while let Some(ack) = pending.next().await {
                // A client that does not answer, or with attachments, is missing for the server.
                if let Some(Ok(values)) = ack {
                    let value = values.first().map(|value| &**value);
                    pubsub.publish(responses.clone(), reply::client_ack(&request, value));
                }
            }
        });
    }
}
