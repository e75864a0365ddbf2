//! The task behind Pub/Sub: one connection at a time, which publishes and receives.

use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use redis::{RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, Interval, MissedTickBehavior, interval},
};

use super::{OutgoingMessage, PubSubCommand, PubSubState, Purpose, Topic};
use crate::{
    backend::redis::{
        client::{Push, PushQueue, connect},
        context::NodeContext,
        dropped::DropReason,
    },
    retry::{Backoff, log_rarely},
};

/// How often Redis is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// How long the other nodes have to subscribe again after Redis was away, and how often it is checked whether they have.
const RESUBSCRIBE_TIMEOUT: Duration = Duration::from_millis(600);
const RESUBSCRIBE_CHECK: Duration = Duration::from_millis(20);

/// How many commands are handled, and how many messages are published, together.
const BATCH: usize = 256;

/// Why a connection is no longer used.
enum PubSubEnd {
    Lost,
    Closed,
}

impl From<RedisError> for PubSubEnd {
    fn from(error: RedisError) -> Self {
        tracing::debug!(%error, "lost a Pub/Sub connection");
        Self::Lost
    }
}

pub(super) struct PubSubTask {
    purpose: Purpose,
    context: Arc<NodeContext>,
    commands: mpsc::UnboundedReceiver<PubSubCommand>,
    state: Arc<PubSubState>,
    subscribers: HashMap<Topic, mpsc::Sender<(String, Vec<u8>)>>,
    /// Callers that wait until their channel is subscribed to; dropping these notifies them.
    subscribing: Vec<oneshot::Sender<()>>,
    /// What is to be published, oldest first.
    queue: VecDeque<OutgoingMessage>,
    backoff: Backoff,
    /// How long to wait before the next attempt to connect; `None` once a connection has lasted.
    retry_in: Option<Duration>,
}

impl PubSubTask {
    pub(super) fn new(
        purpose: Purpose,
        context: Arc<NodeContext>,
        commands: mpsc::UnboundedReceiver<PubSubCommand>,
        state: Arc<PubSubState>,
    ) -> Self {
        Self {
            purpose,
            context,
            commands,
            state,
            subscribers: HashMap::new(),
            subscribing: Vec::new(),
            queue: VecDeque::new(),
            backoff: connect::RETRY_BACKOFF,
            retry_in: None,
        }
    }

    /// Runs until it is closed, or all handles are dropped.
    pub(super) async fn run(mut self) {
        let mut reconnecting = false;
        loop {
            let pushes = PushQueue::new(1);
            let Some(connection) = self.connect(&pushes).await else {
                return;
            };
            if reconnecting {
                let with = self.purpose.as_str();
                log_rarely!(info, with, "the Pub/Sub connection is back");
            }
            let end = self.use_connection(connection, pushes, reconnecting).await;
            self.state.connected.store(false, Ordering::Release);
            if matches!(end, Err(PubSubEnd::Closed)) {
                return;
            }
            reconnecting = true;
            let with = self.purpose.as_str();
            log_rarely!(warn, with, "lost the Pub/Sub connection; reconnecting");
        }
    }

    /// Connects, however long that takes. Returns `None` if the task is to end.
    async fn connect(&mut self, pushes: &PushQueue) -> Option<MultiplexedConnection> {
        let mut attempt = 0;
        loop {
            if let Some(delay) = self.retry_in {
                let mut sleep = pin!(tokio::time::sleep(delay));
                loop {
                    tokio::select! {
                        () = &mut sleep => break,
                        command = self.commands.recv() => self.apply(command?)?,
                    }
                }
            }
            // Kept until a connection has lasted.
            self.retry_in = Some(self.backoff.next_delay());
            let topology = self.context.topology.clone();
            let sender = pushes.sender(String::new());
            let mut connecting = pin!(async move {
                let client = topology.any_node(attempt).await?;
                connect::open(&client, sender).await
            });
            let connected = loop {
                tokio::select! {
                    connected = &mut connecting => break connected,
                    command = self.commands.recv() => self.apply(command?)?,
                }
            };
            match connected {
                Ok(connection) => return Some(connection),
                Err(error) => {
                    tracing::debug!(%error, "cannot open a Pub/Sub connection");
                }
            }
            self.subscribing.clear();
            attempt += 1;
        }
    }

    /// Applies a command to what the next connection begins with. Returns `None` if the task is to end.
    fn apply(&mut self, command: PubSubCommand) -> Option<()> {
        match command {
            PubSubCommand::Publish(message) => self.queue.push_back(message),
            PubSubCommand::Subscribe(topics, sender, subscribed) => {
                for topic in topics {
                    self.subscribers.insert(topic, sender.clone());
                }
                self.subscribing.push(subscribed);
            }
            PubSubCommand::Unsubscribe(topic) => {
                self.subscribers.remove(&topic);
            }
            PubSubCommand::Close => return None,
        }
        Some(())
    }

    /// Publishes and receives over one connection, until it is lost.
    async fn use_connection(
        &mut self,
        mut connection: MultiplexedConnection,
        mut pushes: PushQueue,
        reconnecting: bool,
    ) -> Result<(), PubSubEnd> {
        let (patterns, channels): (Vec<_>, Vec<_>) =
            self.subscribers.keys().partition(|topic| topic.is_pattern);
        let names = |topics: Vec<&Topic>| -> Vec<String> {
            topics.iter().map(|topic| topic.name.clone()).collect()
        };
        // Others count the subscribers of channels: who is counted hears everything.
        if !patterns.is_empty() {
            connection.psubscribe(names(patterns)).await?;
        }
        if !channels.is_empty() {
            connection.subscribe(names(channels)).await?;
        }
        self.subscribing.clear();
        let connected_at = Instant::now();
        // While it is set, nothing is published: the other nodes have not subscribed again yet.
        let mut holding_since = reconnecting.then_some(connected_at);
        let mut commands = Vec::new();
        let (mut ping, mut check) = (every(PING_INTERVAL), every(RESUBSCRIBE_CHECK));
        loop {
            if holding_since.is_none() {
                self.publish_queued(&mut connection).await?;
            }
            tokio::select! {
                push = pushes.recv() => match push {
                    Some(Push::Published(channel, payload, pattern)) => {
                        let topic = Topic::received(&channel, pattern);
                        self.receive(&topic, channel, payload, &mut connection).await?;
                    }
                    Some(Push::Overflowed) => self.context.dropped.add(1, DropReason::Overrun),
                    Some(Push::Closed) | None => return Err(PubSubEnd::Lost),
                },
                count = self.commands.recv_many(&mut commands, BATCH) => {
                    if count == 0 {
                        return Err(PubSubEnd::Closed);
                    }
                    self.handle(&mut commands, &mut connection).await?;
                }
                _ = check.tick(), if holding_since.is_some() => {
                    let timed_out =
                        holding_since.is_some_and(|since| since.elapsed() > RESUBSCRIBE_TIMEOUT);
                    if timed_out || self.peers_are_subscribed(&mut connection).await {
                        holding_since = None;
                    }
                }
                _ = ping.tick() => {
                    // Any reply will do, an error too: with a full disk Redis replies to PING with one.
                    connect::execute(&mut connection, &[redis::cmd("PING")]).await?;
                    if connected_at.elapsed() >= PING_INTERVAL {
                        self.retry_in = None;
                        self.backoff.reset();
                    }
                }
            }
        }
    }

    /// Publishes everything that is queued.
    async fn publish_queued(
        &mut self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), PubSubEnd> {
        if !self.state.connected.load(Ordering::Acquire) {
            self.state.connections.fetch_add(1, Ordering::AcqRel);
            self.state.connected.store(true, Ordering::Release);
        }
        while !self.queue.is_empty() {
            let count = self.queue.len().min(BATCH);
            let mut pipeline = redis::pipe();
            let mut cost = 0;
            for message in self.queue.drain(..count) {
                cost += message.cost();
                let publish = pipeline.cmd("PUBLISH");
                publish.arg(message.channel).arg(message.payload);
            }
            let replies = connection.send_packed_commands(&pipeline, 0, count).await;
            self.state.queued_bytes.fetch_sub(cost, Ordering::AcqRel);
            match replies {
                Ok(replies) => {
                    let rejected = replies
                        .into_iter()
                        .filter_map(|reply| reply.extract_error().err());
                    for error in rejected {
                        tracing::debug!(%error, "Redis rejected a message to other nodes");
                        self.context.dropped.add(1, DropReason::Refused);
                    }
                }
                Err(error) => {
                    self.context.dropped.add(count, DropReason::Lost);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    async fn handle(
        &mut self,
        commands: &mut Vec<PubSubCommand>,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), PubSubEnd> {
        let (mut changed, mut closing) = (Vec::new(), false);
        // All are applied before the commands are sent: if the connection is lost, the next one starts with them.
        for command in commands.drain(..) {
            match &command {
                PubSubCommand::Subscribe(topics, ..) => changed.extend(topics.iter().cloned()),
                PubSubCommand::Unsubscribe(topic) => changed.push(topic.clone()),
                _ => {}
            }
            closing |= self.apply(command).is_none();
        }
        for topic in changed {
            match self.subscribers.contains_key(&topic) {
                true => topic.subscribe(connection).await?,
                false => topic.unsubscribe(connection).await?,
            }
        }
        self.subscribing.clear();
        if closing {
            self.publish_queued(connection).await?;
            return Err(PubSubEnd::Closed);
        }
        Ok(())
    }

    /// Passes a message to its subscriber. A subscriber that was dropped is unsubscribed.
    async fn receive(
        &mut self,
        topic: &Topic,
        channel: String,
        mut payload: Vec<u8>,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), PubSubEnd> {
        let Some(subscriber) = self.subscribers.get(topic) else {
            return Ok(());
        };
        if let Purpose::OtherSystems { max_payload } = self.purpose
            && payload.len() > max_payload
        {
            payload.truncate(max_payload.saturating_add(1));
            payload.shrink_to_fit();
        }
        if subscriber.send((channel, payload)).await.is_err() {
            self.subscribers.remove(topic);
            topic.unsubscribe(connection).await?;
        }
        Ok(())
    }

    /// Whether all nodes that are known to be alive are subscribed. A node of a Cluster knows only its own subscribers.
    async fn peers_are_subscribed(&self, connection: &mut MultiplexedConnection) -> bool {
        let mut query = redis::cmd("PUBSUB");
        query.arg("NUMSUB").arg(self.context.keys.requests());
        // If the number cannot be read, the timeout decides.
        let (_, count): (String, usize) = query.query_async(connection).await.unwrap_or_default();
        let peers = self.context.peers.count();
        peers > 0 && count > peers
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
