//! The lanes of a log: each has one counter, one writer, one follower and a line for reads. One Redis is one lane, and in a
//! Cluster each part is one, so that whatever happens to one part's server stops only what is in that part.

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
    Shared, begin_life,
    follower::{self, Follower},
    keys::Part,
    life,
    line::{self, Line},
    merger::{self, Merger, Outlet, Source},
    order::{Clock, Order},
    site::Site,
    writer::{self, Writer},
};
use crate::{
    backend::{Delivery, Health, closed, health::HealthCheck},
    error::Result,
    model::Offset,
};

/// How many commands may wait for a writer.
const QUEUE: usize = 4096;

/// How long anybody waits for what is on its way to be delivered: while a part of a Cluster is away, nothing is.
const DELIVERED: Duration = Duration::from_secs(5);

/// The lines for whatever does not wait for the writers, one for each lane.
pub(super) struct Reads(Vec<Line>);

impl Reads {
    pub(super) fn new(site: &Arc<Site>) -> Self {
        let line = |part| Line::new(site.clone(), part);
        Self(parts(site).map(line).collect())
    }

    /// The line to a part.
    pub(super) fn of(&self, part: Part) -> &Line {
        of(&self.0, part)
    }
}

/// What is said to the tasks of a lane.
pub(super) struct Lane {
    pub(super) order: Arc<Order>,
    pub(super) queue: mpsc::Sender<writer::Command>,
    pub(super) follower: mpsc::UnboundedSender<follower::Command>,
    /// Whether messages can be stored there.
    writes: Arc<HealthCheck>,
}

pub(super) struct Lanes {
    shared: Arc<Shared>,
    lanes: Vec<Lane>,
    reads: Arc<Reads>,
    /// When the last round began that asked all lanes where they are, and what it found. Held while one goes on, so that
    /// all that come meanwhile share the next.
    round: Mutex<Option<(Instant, Offset)>>,
    /// The tasks that end when the log is closed, once told to; empty when they have.
    writing: Mutex<Vec<JoinHandle<()>>>,
    merging: Mutex<Option<JoinHandle<()>>>,
}

/// The part that each lane is named after.
pub(super) fn parts(site: &Site) -> impl Iterator<Item = Part> + use<> {
    let lanes = if site.is_cluster() { usize::MAX } else { 1 };
    Part::all().take(lanes)
}

fn of<T>(lanes: &[T], part: Part) -> &T {
    match lanes {
        [one] => one,
        all => &all[usize::from(part.number())],
    }
}

impl Lanes {
    /// Starts the tasks; what comes goes to `stream`.
    pub(super) fn start(
        shared: &Arc<Shared>,
        reads: &Arc<Reads>,
        health: &mut Health,
        stream: mpsc::Sender<Delivery>,
    ) -> Self {
        let clock = Arc::new(Clock::default());
        let count = shared.lanes();
        let (mut lanes, mut sources, mut writing) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts(&shared.site) {
            let order = Arc::new(Order::new(shared.keys.clone(), part, count, clock.clone()));
            let (queue, commands) = mpsc::channel(QUEUE);
            let (follower, follows) = mpsc::unbounded_channel();
            let outlet = if count == 1 {
                Outlet::Hub(stream.clone())
            } else {
                let (outlet, items) = mpsc::channel(merger::WAITING);
                sources.push(Source {
                    order: order.clone(),
                    items,
                    follower: follower.downgrade(),
                });
                Outlet::Merger(outlet)
            };
            let shard = (count > 1).then(|| part.number());
            let following = Follower::new(
                shared.clone(),
                order.clone(),
                reads.clone(),
                outlet,
                follows,
                health.watch("subscribe", shard),
            );
            let writes = health.watch("write", shard);
            tokio::spawn(following.run());
            let writer = Writer {
                shared: shared.clone(),
                order: order.clone(),
                line: Line::new(shared.site.clone(), part),
                queue: commands,
                follower: follower.clone(),
                watch: writes.clone(),
            };
            writing.push(tokio::spawn(writer.run()));
            lanes.push(Lane {
                order,
                queue,
                follower,
                writes,
            });
        }
        let merging =
            (!sources.is_empty()).then(|| tokio::spawn(Merger::new(sources, stream).run()));
        Self {
            shared: shared.clone(),
            lanes,
            reads: reads.clone(),
            round: Mutex::new(None),
            writing: Mutex::new(writing),
            merging: Mutex::new(merging),
        }
    }

    /// The lane of a part.
    pub(super) fn of(&self, part: Part) -> &Lane {
        of(&self.lanes, part)
    }

    /// An offset such that whatever has it or a lower one can be read, and whatever is stored from now on has a higher one.
    ///
    /// Which life of the log that is of is known then: whoever compares offsets asks for their end first.
    pub(super) async fn end(&self) -> Result<Offset> {
        let asked = Instant::now();
        let mut round = self.round.lock().await;
        if let Some((began, end)) = *round
            && began >= asked
        {
            return Ok(end);
        }
        let began = Instant::now();
        let mut lanes = self.raise().await?;
        let end = lanes.iter().copied().max().unwrap_or_default();
        while lanes.iter().any(|lane| *lane < end) {
            // By now that is seen, so it is what all are raised to.
            lanes = self.raise().await?;
        }
        // Another node may have noticed a loss.
        let life = life(&self.shared.keys, self.reads.of(Part::FIRST)).await?;
        self.shared.live(life);
        *round = Some((began, end));
        Ok(end)
    }

    /// Raises every lane to what was seen in any; where each is then.
    async fn raise(&self) -> Result<Vec<Offset>> {
        let raise = |lane: &Lane| {
            let (order, reads) = (lane.order.clone(), self.reads.clone());
            let keys = self.shared.keys.clone();
            let follower = lane.follower.clone();
            async move {
                let raised = reads.of(order.part()).ask(order.raise()).await?;
                let (offset, lost, _): (u64, u8, u64) = line::read_as(raised)?;
                order.know(Offset(offset));
                if lost == 1 {
                    // Before anybody is answered by this end. Nobody else will find that something was lost.
                    let begun = begin_life(&keys, reads.of(Part::FIRST)).await;
                    let compare = match begun {
                        Ok(_) => follower::Command::Compare,
                        Err(_) => follower::Command::Lost,
                    };
                    // If the follower has ended, nobody is delivered anything more.
                    let _ = follower.send(compare);
                    begun?;
                }
                Ok(Offset(offset))
            }
        };
        try_join_all(self.lanes.iter().map(raise)).await
    }

    /// Whether messages can be stored, lane by lane.
    pub(super) fn writes(&self) -> impl Iterator<Item = Arc<HealthCheck>> {
        self.lanes.iter().map(|lane| lane.writes.clone())
    }

    /// Has a command carried out in its place among the drafts of its part, and waits for its answer.
    pub(super) async fn in_order(&self, part: Part, command: Cmd) -> Result<Value> {
        let (done, answer) = oneshot::channel();
        let command = writer::Command::Other { command, done };
        let sent = self.of(part).queue.send(command).await;
        sent.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Waits until what was published before has been delivered.
    pub(super) async fn delivered(&self) {
        let reached = self.lanes.iter().filter_map(|lane| {
            let (reached, waiting) = oneshot::channel();
            let reach = follower::Command::Reach(reached);
            lane.follower.send(reach).is_ok().then_some(waiting)
        });
        // A stream that ends meanwhile delivers nothing more either.
        let _ = timeout(DELIVERED, join_all(reached)).await;
    }

    /// Stores whatever was accepted, delivers it, and ends.
    pub(super) async fn close(&self) {
        // Held to the end, so that a second call returns when the first one is done.
        let mut writing = self.writing.lock().await;
        for lane in self.lanes.iter().filter(|_| !writing.is_empty()) {
            // Fails only if the writer has ended.
            let _ = lane.queue.send(writer::Command::Close).await;
        }
        for ended in join_all(writing.drain(..)).await {
            if ended.is_err() {
                tracing::error!("a task that writes the log had failed");
            }
        }
        // Fails only if the follower has ended.
        let close = |lane: &Lane| {
            let follower = lane.follower.clone();
            async move { follower::ask(&follower, follower::Command::Close).await }
        };
        join_all(self.lanes.iter().map(close)).await;
        if let Some(merging) = self.merging.lock().await.take()
            && merging.await.is_err()
        {
            tracing::error!("the task that orders deliveries had failed");
        }
    }
}
