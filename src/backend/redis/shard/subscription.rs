//! Subscribes to the followed rooms of a shard: takes what Redis publishes there, finds what was lost on the way, and
//! delivers all of it in the order of offsets.
//!
//! One task per shard. This file and [`reconnect`], [`commands`], [`messages`], [`follow`], [`resync`], [`roster`],
//! [`backpressure`] are the driver, which does the I/O. The decisions are in four types that do none: [`FollowedRooms`] (how far each room was delivered),
//! [`ReceiptTracker`] (whose messages are delivered by now), [`GapDetector`] (what may be lost), [`Barriers`] (what was
//! published before what). `docs/redis.md` explains the order of deliveries.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use redis::{Cmd, RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};

use super::{
    clock::ShardClock, command::SubscriptionCommand, progress::MergeProgress, stream::ShardOutput,
};
use crate::{
    backend::{
        Delivery,
        health::HealthCheck,
        redis::{
            client::{Push, PushQueue, RedisConnection, ShardConnections, connect, reply},
            context::NodeContext,
            incarnation,
            keys::Partition,
        },
    },
    error::{Error, Result},
    model::Offset,
    retry::{Backoff, LogLimiter, log_at},
};

mod backpressure;
mod barriers;
mod commands;
mod follow;
mod gap_detector;
mod messages;
mod receipts;
mod reconnect;
mod resync;
mod room_ends;
mod rooms;
mod roster;

use barriers::Barriers;
use follow::PendingFollow;
pub(crate) use follow::not_subscribed;
use gap_detector::GapDetector;
use receipts::ReceiptTracker;
use rooms::FollowedRooms;

/// How many commands are handled together at most.
const COMMAND_BATCH: usize = 1024;

/// How many channels or rooms one pipeline names.
const PIPELINE_ROOMS: usize = 512;

/// How often Redis is pinged.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// Why a connection is no longer read.
enum ListenEnd {
    /// Connect again; the reason, if this is a failure.
    Reconnect(Option<String>),
    Closed,
}

impl From<RedisError> for ListenEnd {
    fn from(error: RedisError) -> Self {
        reply::unavailable(error).into()
    }
}

impl From<Error> for ListenEnd {
    fn from(error: Error) -> Self {
        Self::Reconnect(Some(reply::reason(&error)))
    }
}

pub(crate) struct Subscription {
    context: Arc<NodeContext>,
    clock: Arc<ShardClock>,
    progress: Arc<MergeProgress>,
    connections: Arc<ShardConnections>,
    output: ShardOutput,
    commands: mpsc::UnboundedReceiver<SubscriptionCommand>,
    /// Commands that came while the output was full; handled before new ones.
    deferred: VecDeque<SubscriptionCommand>,
    rooms: FollowedRooms,
    receipts: ReceiptTracker,
    gaps: GapDetector,
    barriers: Barriers,
    /// Whether the merger waits for this shard.
    active: bool,
    /// The channel of this node in this shard, for barriers.
    own_channel: String,
    /// Rooms to follow as soon as Redis can be subscribed to.
    pending: Vec<PendingFollow>,
    /// Redis has lost acknowledged data, and the log's next incarnation has not begun yet.
    data_lost: bool,
    /// The `floor` of the shard incarnation that the epochs of the followed rooms belong to: its offsets are above it.
    incarnation_start: Offset,
    /// Whether the subscription works.
    health: Arc<HealthCheck>,
    backoff: Backoff,
    /// How long to wait before the next attempt to connect; `None` once a connection has lasted.
    retry_in: Option<Duration>,
    log_limiter: LogLimiter,
}

impl Subscription {
    pub(crate) fn new(
        context: Arc<NodeContext>,
        clock: Arc<ShardClock>,
        progress: Arc<MergeProgress>,
        connections: Arc<ShardConnections>,
        output: ShardOutput,
        commands: mpsc::UnboundedReceiver<SubscriptionCommand>,
        health: Arc<HealthCheck>,
    ) -> Self {
        Self {
            own_channel: context.keys.node(clock.partition(), context.node),
            receipts: ReceiptTracker::new(output.is_direct()),
            context,
            clock,
            progress,
            connections,
            output,
            commands,
            deferred: VecDeque::new(),
            rooms: FollowedRooms::default(),
            gaps: GapDetector::new(Instant::now()),
            barriers: Barriers::default(),
            active: false,
            pending: Vec::new(),
            data_lost: false,
            incarnation_start: Offset(0),
            health,
            backoff: connect::RETRY_BACKOFF,
            retry_in: None,
            log_limiter: LogLimiter::with_limit(10, Duration::from_secs(60)),
        }
    }

    /// Runs until it is closed, or all senders of commands are dropped.
    pub(crate) async fn run(mut self) {
        let mut first = true;
        loop {
            let pushes = PushQueue::new(self.context.topology.shard_count());
            let Some(connection) = self.connect(&pushes, first).await else {
                break;
            };
            first = false;
            let end = self.listen(connection, pushes).await;
            if matches!(end, Err(ListenEnd::Closed)) || self.barriers.is_closing() {
                break;
            }
            if let Err(ListenEnd::Reconnect(Some(reason))) = end {
                self.note_disconnect(&reason);
            }
            self.context.topology.invalidate(self.shard()).await;
        }
        self.receipts.settle_all();
        for reached in self.barriers.drain_waiting() {
            self.output.send(Delivery::Barrier(reached)).await;
        }
        for closed in self.barriers.drain_closing() {
            let _ = closed.send(());
        }
    }

    /// The partition that the shard is named after.
    fn shard(&self) -> Partition {
        self.clock.partition()
    }

    /// The shard's connection for commands.
    fn connection(&self) -> &RedisConnection {
        self.connections.of(self.shard())
    }

    /// Logs a lost connection. The subscription counts as failed if the connection was lost before it had lasted.
    fn note_disconnect(&mut self, reason: &str) {
        let shard = self.shard().number();
        log_at!(
            self.log_limiter,
            warn,
            shard,
            reason,
            "lost the Redis subscription; reconnecting"
        );
        if self.retry_in.is_some() {
            self.health.record_failure(reason);
        }
    }

    /// Delivers what comes through one connection, until it is lost.
    async fn listen(
        &mut self,
        mut connection: MultiplexedConnection,
        mut pushes: PushQueue,
    ) -> Result<(), ListenEnd> {
        let mut channels = self.rooms.channels();
        channels.push(self.own_channel.clone());
        let (subscribe, _) = self.context.subscribe_commands();
        for_each_channel(&mut connection, subscribe, &channels).await?;
        self.resync().await?;
        self.confirm_server(&mut connection).await?;
        self.follow_pending(&mut connection).await?;
        self.health.record_success();
        let connected_at = Instant::now();
        let mut ping = tokio::time::interval(PING_INTERVAL);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.gaps.checked(connected_at);
        let mut commands = Vec::new();
        loop {
            if !self.deferred.is_empty() {
                let deferred = std::mem::take(&mut self.deferred);
                self.handle_commands(&mut connection, deferred.into_iter())
                    .await?;
            }
            let output = &self.output;
            let push = async {
                output.ready().await;
                pushes.recv().await
            };
            tokio::select! {
                push = push => match push {
                    Some(Push::Published(channel, payload, _)) => {
                        self.handle_message(&channel, &payload).await?;
                    }
                    Some(Push::Overflowed) => self.resync().await?,
                    Some(Push::Closed) | None => {
                        return Err(ListenEnd::Reconnect(Some("the connection was closed".to_owned())));
                    }
                },
                count = self.commands.recv_many(&mut commands, COMMAND_BATCH) => {
                    if count == 0 {
                        return Err(ListenEnd::Closed);
                    }
                    self.handle_commands(&mut connection, commands.drain(..)).await?;
                }
                () = self.progress.forwarded_changed() => {
                    self.receipts.resume(self.progress.forwarded());
                }
                _ = ping.tick() => self.handle_ping(&mut connection, connected_at).await?,
            }
        }
    }

    /// Pings Redis by reading the shard's offset, and looks for gaps when it is time.
    async fn handle_ping(
        &mut self,
        connection: &mut MultiplexedConnection,
        connected_at: Instant,
    ) -> Result<(), ListenEnd> {
        let last_seen = self.clock.last_seen();
        // Fails with MOVED if another node owns the shard by now.
        let offset: Option<u64> = self.clock.read_command().query_async(connection).await?;
        let offset = Offset(offset.unwrap_or(0));
        self.clock.observe(offset);
        if offset < last_seen {
            self.resync().await?;
        }
        self.health.record_success();
        if connected_at.elapsed() >= PING_INTERVAL {
            self.retry_in = None;
            self.backoff.reset();
        }
        self.receipts.tick(self.output.is_full());
        self.announce_idle().await;
        if self.gaps.is_due(Instant::now()) {
            self.refresh_incarnation().await?;
            self.check_for_gaps(connection).await?;
            self.gaps.checked(Instant::now());
        }
        Ok(())
    }

    /// Reads the log's incarnation. One shard does this for the whole node.
    async fn refresh_incarnation(&self) -> Result<()> {
        if self.shard() == Partition::FIRST {
            let read = incarnation::read(&self.context.keys, self.connection());
            self.context.set_incarnation(read.await?);
        }
        Ok(())
    }
}

/// Executes a command once for each channel.
async fn for_each_channel(
    connection: &mut MultiplexedConnection,
    command: &str,
    channels: &[String],
) -> Result<(), RedisError> {
    for channels in channels.chunks(PIPELINE_ROOMS) {
        let each = |channel: &String| redis::cmd(command).arg(channel).clone();
        let each: Vec<Cmd> = channels.iter().map(each).collect();
        for reply in connect::execute(connection, &each).await? {
            reply.extract_error()?;
        }
    }
    Ok(())
}
