//! Merges the streams of all shards of a Cluster, each of which is in the order of its offsets, into one in the order of all
//! offsets.
//!
//! A message is forwarded once every other shard with followed rooms is known to be past its offset: by its last message, or
//! by a watermark, which is requested from a silent shard. While a shard is unavailable the others wait, up to the size of their
//! queues.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{command::SubscriptionCommand, progress::MergeProgress, stream::ShardItem};
use crate::{
    backend::Delivery,
    model::{Message, Offset},
};

#[cfg(test)]
mod tests;

/// How many items of a shard may wait for the other shards.
pub(crate) const MERGE_QUEUE: usize = 1024;

/// The least time between two requests for a shard's watermark: one covers everything that has come meanwhile.
const REQUEST_INTERVAL: Duration = Duration::from_millis(1);

/// A shard, as the merger sees it.
pub(crate) struct ShardSource {
    pub(crate) progress: Arc<MergeProgress>,
    pub(crate) items: mpsc::Receiver<ShardItem>,
    /// Weak: the subscription ends when the log is dropped.
    pub(crate) subscription: mpsc::WeakUnboundedSender<SubscriptionCommand>,
}

pub(crate) struct Merger {
    sources: Vec<ShardSource>,
    merge: Merge,
    /// When the watermark of each shard was last requested, and whether the reply is pending.
    requests: Vec<(Option<Instant>, bool)>,
    hub: mpsc::Sender<Delivery>,
    /// The shard that is polled first, in turn.
    first: usize,
}

impl Merger {
    pub(crate) fn new(sources: Vec<ShardSource>, hub: mpsc::Sender<Delivery>) -> Self {
        let progress = sources.iter().map(|source| source.progress.clone());
        Self {
            merge: Merge::new(progress),
            requests: vec![(None, false); sources.len()],
            sources,
            hub,
            first: 0,
        }
    }

    /// Runs until all shards have ended.
    pub(crate) async fn run(mut self) {
        loop {
            while let Some((nth, message)) = self.merge.pop() {
                let offset = message.offset;
                // Without a receiver the shards continue all the same.
                let _ = self.hub.send(Delivery::Message(message)).await;
                self.sources[nth].progress.set_forwarded(offset);
            }
            let next = match self.next().now_or_never() {
                Some(next) => next,
                None => {
                    let retry_at = self.request_watermarks();
                    let retry = sleep_until(retry_at.unwrap_or_else(Instant::now));
                    tokio::select! {
                        next = self.next() => next,
                        () = retry, if retry_at.is_some() => continue,
                    }
                }
            };
            match next {
                None => return,
                Some((_, Some(ShardItem::Delivery(delivery)))) if !is_message(&delivery) => {
                    let _ = self.hub.send(delivery).await;
                }
                Some((nth, item)) => {
                    self.requests[nth].1 &= !matches!(item, Some(ShardItem::Watermark(_)));
                    self.merge.push(nth, item);
                }
            }
        }
    }

    /// The next item of a shard without a waiting message, or that the shard has ended; `None` once all have.
    async fn next(&mut self) -> Option<(usize, Option<ShardItem>)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Option<ShardItem>)>> {
        let mut ended = true;
        let count = self.sources.len();
        for nth in self.first..self.first + count {
            let nth = nth % count;
            let input = &self.merge.inputs[nth];
            ended &= input.ended;
            if input.ended || input.head.is_some() {
                continue;
            }
            if let Poll::Ready(item) = self.sources[nth].items.poll_recv(context) {
                self.first = (nth + 1) % count;
                return Poll::Ready(Some((nth, item)));
            }
        }
        match ended {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }

    /// Requests the watermarks that the next message waits for. Returns when to retry the requests that are too early.
    fn request_watermarks(&mut self) -> Option<Instant> {
        let mut retry_at: Option<Instant> = None;
        let now = Instant::now();
        for nth in self.merge.awaited() {
            let (requested_at, is_pending) = &mut self.requests[nth];
            let due = requested_at.map_or(now, |at| at + REQUEST_INTERVAL);
            if *is_pending {
                continue;
            }
            if due > now {
                retry_at = Some(retry_at.map_or(due, |retry_at| retry_at.min(due)));
                continue;
            }
            (*requested_at, *is_pending) = (Some(now), true);
            // A subscription that has ended has closed its stream.
            if let Some(subscription) = self.sources[nth].subscription.upgrade() {
                let _ = subscription.send(SubscriptionCommand::ReportPosition);
            }
        }
        retry_at
    }
}

fn is_message(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Message(_))
}

/// The next message of each shard, and how far each shard is. No I/O.
struct Merge {
    inputs: Vec<MergeInput>,
}

struct MergeInput {
    progress: Arc<MergeProgress>,
    /// The next message.
    head: Option<Arc<Message>>,
    /// What comes next has a higher offset.
    watermark: Offset,
    /// The activation since which the shard has no followed room any more.
    idle_since: u64,
    ended: bool,
}

impl MergeInput {
    /// Whether something may come that has a lower offset.
    fn may_precede(&self, offset: Offset) -> bool {
        self.head.is_none()
            && !self.ended
            && self.watermark < offset
            && self.idle_since != self.progress.activations()
    }
}

impl Merge {
    fn new(progress: impl Iterator<Item = Arc<MergeProgress>>) -> Self {
        let input = |progress| MergeInput {
            progress,
            head: None,
            watermark: Offset(0),
            idle_since: 0,
            ended: false,
        };
        Self {
            inputs: progress.map(input).collect(),
        }
    }

    /// Takes an item of a shard without a waiting message; `None`: the shard has ended.
    fn push(&mut self, nth: usize, item: Option<ShardItem>) {
        let input = &mut self.inputs[nth];
        match item {
            Some(ShardItem::Delivery(Delivery::Message(message))) => {
                input.watermark = input.watermark.max(message.offset);
                input.head = Some(message);
            }
            Some(ShardItem::Delivery(_)) => {}
            Some(ShardItem::Watermark(offset)) => input.watermark = input.watermark.max(offset),
            Some(ShardItem::Idle(activation)) => input.idle_since = activation,
            None => input.ended = true,
        }
    }

    /// The message that is forwarded next, and its shard; `None` if it has to wait.
    fn pop(&mut self) -> Option<(usize, Arc<Message>)> {
        let (offset, nth) = self.lowest()?;
        let waits = self.inputs.iter().any(|input| input.may_precede(offset));
        match waits {
            true => None,
            false => self.inputs[nth].head.take().map(|head| (nth, head)),
        }
    }

    /// The shards that the next message waits for.
    fn awaited(&self) -> Vec<usize> {
        let Some((offset, _)) = self.lowest() else {
            return Vec::new();
        };
        (0..self.inputs.len())
            .filter(|&nth| self.inputs[nth].may_precede(offset))
            .collect()
    }

    /// The lowest offset of all waiting messages, and its shard.
    fn lowest(&self) -> Option<(Offset, usize)> {
        let heads = self.inputs.iter().enumerate();
        heads
            .filter_map(|(nth, input)| Some((input.head.as_ref()?.offset, nth)))
            .min()
    }
}
