//! The shards of a log. Each has a counter of offsets, a writer, a subscription and a connection. A single Redis is one
//! shard; in a Cluster each partition is one, so that a node of the Cluster that fails stops only its own partitions.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{join_all, try_join_all};
use redis::{Cmd, Value};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinHandle,
    time::timeout,
};

use super::{
    client::{RedisConnection, ShardConnections, by_shard, reply},
    context::NodeContext,
    incarnation,
    keys::Partition,
};
use crate::{
    backend::{Delivery, Health, closed, health::HealthCheck},
    error::Result,
    model::Offset,
};

mod clock;
pub(super) mod codec;
pub(super) mod command;
pub(super) mod merger;
pub(super) mod pages;
mod probe;
mod progress;
mod stream;
pub(super) mod subscription;
pub(super) mod writer;

use clock::{LamportClock, ShardClock};
use command::SubscriptionCommand;
use merger::{Merger, ShardSource};
pub(super) use probe::ShardProbes;
use progress::MergeProgress;
use stream::ShardOutput;
use subscription::Subscription;
use writer::{ShardWriter, WriterCommand};

/// How many commands may be queued for a writer.
const WRITER_QUEUE: usize = 4096;

/// How long a barrier over all shards is waited for: while a shard is unavailable, nothing is delivered.
const BARRIER_TIMEOUT: Duration = Duration::from_secs(5);

/// The channels to the tasks of one shard.
pub(super) struct Shard {
    pub(super) clock: Arc<ShardClock>,
    pub(super) writer: mpsc::Sender<WriterCommand>,
    pub(super) subscription: mpsc::UnboundedSender<SubscriptionCommand>,
    /// Whether messages can be stored.
    writes: Arc<HealthCheck>,
}

pub(super) struct Shards {
    context: Arc<NodeContext>,
    shards: Vec<Shard>,
    connections: Arc<ShardConnections>,
    /// When the last round began that raised all shards, and the offset that it found. Locked during a round, so that all
    /// callers that come meanwhile share the next one.
    last_round: Mutex<Option<(Instant, Offset)>>,
    /// The writers, until they are closed.
    writers: Mutex<Vec<JoinHandle<()>>>,
    merger: Mutex<Option<JoinHandle<()>>>,
}

/// What the tasks of all shards are started with.
struct Startup<'a> {
    context: &'a Arc<NodeContext>,
    connections: &'a Arc<ShardConnections>,
    health: &'a mut Health,
    deliveries: mpsc::Sender<Delivery>,
    lamport: Arc<LamportClock>,
    count: usize,
    sources: Vec<ShardSource>,
    writers: Vec<JoinHandle<()>>,
}

impl Startup<'_> {
    /// Starts the writer and the subscription of a shard.
    fn start_shard(&mut self, shard: Partition) -> Shard {
        let keys = self.context.keys.clone();
        let clock = ShardClock::new(keys, shard, self.count, self.lamport.clone());
        let clock = Arc::new(clock);
        let progress = Arc::new(MergeProgress::default());
        let (writer, writer_queue) = mpsc::channel(WRITER_QUEUE);
        let (subscription, commands) = mpsc::unbounded_channel();
        let output = if self.count == 1 {
            ShardOutput::Hub(self.deliveries.clone())
        } else {
            let (output, items) = mpsc::channel(merger::MERGE_QUEUE);
            self.sources.push(ShardSource {
                progress: progress.clone(),
                items,
                subscription: subscription.downgrade(),
            });
            ShardOutput::Merger(output)
        };
        let label = (self.count > 1).then(|| shard.number());
        let task = Subscription::new(
            self.context.clone(),
            clock.clone(),
            progress,
            self.connections.clone(),
            output,
            commands,
            self.health.add_check("subscribe", label),
        );
        tokio::spawn(task.run());
        let writes = self.health.add_check("write", label);
        let task = ShardWriter {
            context: self.context.clone(),
            clock: clock.clone(),
            connection: RedisConnection::new(self.context.topology.clone(), shard),
            queue: writer_queue,
            subscription: subscription.clone(),
            health: writes.clone(),
        };
        self.writers.push(tokio::spawn(task.run()));
        Shard {
            clock,
            writer,
            subscription,
            writes,
        }
    }
}

impl Shards {
    /// Starts the tasks of all shards, which deliver to `deliveries`.
    pub(super) fn start(
        context: &Arc<NodeContext>,
        connections: &Arc<ShardConnections>,
        health: &mut Health,
        deliveries: mpsc::Sender<Delivery>,
    ) -> Self {
        let mut startup = Startup {
            context,
            connections,
            health,
            deliveries: deliveries.clone(),
            lamport: Arc::new(LamportClock::default()),
            count: context.topology.shard_count(),
            sources: Vec::new(),
            writers: Vec::new(),
        };
        let partitions = context.topology.shards();
        let shards = partitions.map(|shard| startup.start_shard(shard)).collect();
        let Startup {
            sources, writers, ..
        } = startup;
        let merger =
            (!sources.is_empty()).then(|| tokio::spawn(Merger::new(sources, deliveries).run()));
        Self {
            context: context.clone(),
            shards,
            connections: connections.clone(),
            last_round: Mutex::new(None),
            writers: Mutex::new(writers),
            merger: Mutex::new(merger),
        }
    }

    /// The shard of a partition.
    pub(super) fn of(&self, partition: Partition) -> &Shard {
        by_shard(&self.shards, partition)
    }

    /// Returns an offset such that messages up to it can be read, and messages that are stored from now on have higher ones.
    ///
    /// The log's incarnation is refreshed first: a caller that compares offsets reads the end, then the incarnation.
    ///
    /// # Errors
    /// `unavailable` while any shard is.
    pub(super) async fn end(&self) -> Result<Offset> {
        let requested = Instant::now();
        let mut last_round = self.last_round.lock().await;
        if let Some((started, end)) = *last_round
            && started >= requested
        {
            return Ok(end);
        }
        let started = Instant::now();
        let mut offsets = self.raise_all().await?;
        let end = offsets.iter().copied().max().unwrap_or_default();
        while offsets.iter().any(|offset| *offset < end) {
            // The clock has seen the highest by now, so all shards are raised to it.
            offsets = self.raise_all().await?;
        }
        // Another node may have noticed a loss.
        let first = self.connections.of(Partition::FIRST);
        let incarnation = incarnation::read(&self.context.keys, first).await?;
        self.context.set_incarnation(incarnation);
        *last_round = Some((started, end));
        Ok(end)
    }

    /// Raises every shard to the highest offset seen in any, and returns their offsets.
    async fn raise_all(&self) -> Result<Vec<Offset>> {
        try_join_all(self.shards.iter().map(|shard| self.raise(shard))).await
    }

    async fn raise(&self, shard: &Shard) -> Result<Offset> {
        let connection = self.connections.of(shard.clock.partition());
        let raised = connection.query(shard.clock.raise_command()).await?;
        let (offset, lost, _): (u64, u8, u64) = reply::parse(raised)?;
        shard.clock.observe(Offset(offset));
        if lost == 1 {
            // Before the offset is returned. No other call finds out that data was lost: the shard has been raised.
            let first = self.connections.of(Partition::FIRST);
            let begun = incarnation::begin_next(&self.context.keys, first).await;
            let command = match begun {
                Ok(_) => SubscriptionCommand::Resync,
                Err(_) => SubscriptionCommand::DataLost,
            };
            // A subscription that has ended delivers nothing more.
            let _ = shard.subscription.send(command);
            begun?;
        }
        Ok(Offset(offset))
    }

    /// Whether messages can be stored, by shard.
    pub(super) fn writes(&self) -> impl Iterator<Item = Arc<HealthCheck>> {
        self.shards.iter().map(|shard| shard.writes.clone())
    }

    /// Executes a command behind the drafts of its partition that were accepted before, and returns the reply.
    pub(super) async fn execute_in_order(
        &self,
        partition: Partition,
        command: Cmd,
    ) -> Result<Value> {
        let (done, replied) = oneshot::channel();
        let command = WriterCommand::Run { command, done };
        let sent = self.of(partition).writer.send(command).await;
        sent.map_err(|_| closed())?;
        replied.await.map_err(|_| closed())?
    }

    /// Waits until what was published before has been delivered.
    pub(super) async fn delivered(&self) {
        let barriers = self.shards.iter().filter_map(|shard| {
            let (reached, waiting) = oneshot::channel();
            let barrier = SubscriptionCommand::Barrier(reached);
            shard.subscription.send(barrier).is_ok().then_some(waiting)
        });
        // A stream that ends meanwhile delivers nothing more either.
        let _ = timeout(BARRIER_TIMEOUT, join_all(barriers)).await;
    }

    /// Stores what was accepted, delivers it, and ends the tasks.
    pub(super) async fn close(&self) {
        // Locked to the end, so that a second call returns when the first one is done.
        let mut writers = self.writers.lock().await;
        for shard in self.shards.iter().filter(|_| !writers.is_empty()) {
            // Fails only if the writer has ended.
            let _ = shard.writer.send(WriterCommand::Close).await;
        }
        for ended in join_all(writers.drain(..)).await {
            if ended.is_err() {
                tracing::error!("the writer of a shard panicked");
            }
        }
        // Fails only if the subscription has ended.
        let close = |shard: &Shard| {
            let subscription = shard.subscription.clone();
            async move { command::request(&subscription, SubscriptionCommand::Close).await }
        };
        join_all(self.shards.iter().map(close)).await;
        if let Some(merger) = self.merger.lock().await.take()
            && merger.await.is_err()
        {
            tracing::error!("the merger of the shards panicked");
        }
    }
}
