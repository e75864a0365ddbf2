//! The log over Redis: its handle, and [`Log`]. The other traits of a backend are in the folder.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    client::ShardConnections,
    context::NodeContext,
    keys::{self, Partition},
    membership::MembershipTasks,
    rpc::{ClusterRpc, RedisPubSub},
    scripts::{self, number},
    shard::{ShardProbes, Shards, pages, writer::WriterCommand},
    startup_check,
};
use crate::{
    backend::{
        Draft, Health, Log, Missed, Page, PageSize, Range, Receipt, closed, epoch,
        retention::ROOM_TOUCH_INTERVAL,
    },
    error::Result,
    model::{Incarnation, Namespace, Offset, RoomKey, Seq},
};

mod bus;
mod documents;
mod nodes;
mod open;
mod outbox;
mod read_markers;
mod sessions;

pub use open::open;
#[cfg(test)]
pub(super) use open::{open_with, read_retention_clock};

/// How many bytes of drafts and events may be in flight before senders wait.
const MAX_IN_FLIGHT_BYTES: u32 = 32 << 20;

/// What a draft is charged besides its data.
const DRAFT_OVERHEAD: u32 = 512;

pub(super) struct RedisLog {
    pub(super) context: Arc<NodeContext>,
    /// For everything that does not go through the writers.
    pub(super) connections: Arc<ShardConnections>,
    pub(super) shards: Shards,
    probes: Arc<ShardProbes>,
    pub(super) health: Arc<Health>,
    /// Bytes of drafts and events that may still be accepted.
    in_flight: Arc<Semaphore>,
    /// Bytes of events that this node's hub may still be given.
    local_events: Arc<Semaphore>,
    /// Bytes of events that may still be queued to be published. Apart from the drafts: events are dropped instead.
    published_events: Arc<Semaphore>,
    /// The last number of the outbox of each shard, when they were last looked for.
    outbox_polled: Mutex<Vec<Option<u64>>>,
    pub(super) pubsub: Arc<RedisPubSub>,
    rpc: Arc<ClusterRpc>,
    pub(super) session_window: Duration,
    closed: AtomicBool,
    pub(super) membership: MembershipTasks,
    /// Dropped with the log; the tasks that hold it weakly end then.
    _alive: Arc<()>,
}

impl RedisLog {
    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(())
    }

    /// Waits until this many more bytes may be in flight.
    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit> {
        let in_flight = self.in_flight.clone();
        let permit = in_flight.acquire_many_owned(in_flight_cost(bytes));
        permit.await.map_err(|_| closed())
    }
}

/// What a draft or an event with so many bytes is charged.
fn in_flight_cost(bytes: usize) -> u32 {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    bytes
        .saturating_add(DRAFT_OVERHEAD)
        .min(MAX_IN_FLIGHT_BYTES)
}

#[async_trait]
impl Log for RedisLog {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.check_open()?;
        let permit = self.reserve(draft.data.get().len()).await?;
        let writer = &self.shards.of(Partition::of(&draft.room)).writer;
        let (settle, receipt) = Receipt::new();
        let append = WriterCommand::Append {
            draft,
            settle,
            permit,
        };
        writer.send(append).await.map_err(|_| closed())?;
        Ok(receipt)
    }

    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page> {
        self.check_open()?;
        let now = (self.context.clock)();
        let policy = self.context.retention.policy(&room.room);
        let (direction, seq) = match range {
            Range::After(seq) => ("after", seq),
            Range::Before(seq) => ("before", seq),
            Range::Last => ("last", Seq(0)),
        };
        let partition = Partition::of(room);
        let shard = self.shards.of(partition);
        let mut command = scripts::read([
            &self.context.keys.room(room),
            &self.context.keys.messages(room),
            &self.context.keys.rooms(partition),
            &self.context.keys.shard_incarnation(shard.clock.partition()),
            &self.context.keys.forgotten(partition),
        ]);
        command
            .arg(now.retention_clock.0)
            .arg(Incarnation::generate().as_str())
            .arg(keys::room_name(room))
            .arg(epoch::slot(room))
            .arg(policy.cutoff(now).0)
            .arg(now.retention_clock.before(ROOM_TOUCH_INTERVAL).0)
            .arg(direction)
            .arg(number(seq.0))
            .arg(number(size.messages as u64))
            .arg(number(size.bytes as u64));
        let reply = self.connections.of(partition).query(command).await?;
        let page = pages::parse_page(room, reply, direction != "after")?;
        shard.clock.observe(page.offset);
        Ok(page)
    }

    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed> {
        self.check_open()?;
        let policy = self.context.retention.policy(&room.room);
        let cutoff = policy.cutoff((self.context.clock)());
        let command = pages::missed_command(&self.context.keys, room, after, until, size, cutoff);
        let connection = self.connections.of(Partition::of(room));
        pages::parse_missed(room, connection.query(command).await?)
    }

    async fn last_offset(&self, _: &Namespace) -> Result<Offset> {
        self.check_open()?;
        self.shards.end().await
    }

    fn incarnation(&self) -> Incarnation {
        self.context.incarnation()
    }

    async fn ready(&self) -> Result<()> {
        self.check_open()?;
        self.probes.probe_all().await;
        self.health.ensure_passing()
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.rpc.announce_stop();
        self.membership
            .close(&self.context, &self.connections)
            .await;
        self.shards.close().await;
        for shard in self.context.topology.shards() {
            let keys = &self.context.keys;
            let recorded = startup_check::record_shutdown(keys, &self.connections, shard).await;
            if let Err(error) = recorded {
                let shard = shard.number();
                tracing::debug!(shard, %error, "cannot record the shard's last offset at shutdown");
            }
        }
        self.pubsub.close();
    }
}
