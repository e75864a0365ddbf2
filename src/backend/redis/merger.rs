//! Makes one stream of several: what the lanes of a Cluster bring, each in the order of its offsets, is given to the hub in
//! the order of the offsets of all.
//!
//! A message goes out once every other lane in which rooms are followed is known to be past it. A lane is past whatever it
//! brought last; one that is silent is asked. While a lane is away the others wait, for as much as may wait.

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

use super::{follower::Command, order::Order};
use crate::{
    backend::Delivery,
    model::{Message, Offset},
};

#[cfg(test)]
mod tests;

/// How many items of a lane may wait for the others.
pub(super) const WAITING: usize = 1024;

/// How soon a lane is asked again: what has come meanwhile is asked for together.
const PACE: Duration = Duration::from_millis(1);

/// What a lane brings.
#[derive(Debug)]
pub(super) enum Item {
    Delivery(Delivery),
    /// Whatever comes later has a higher offset.
    Past(Offset),
    /// No room is followed any more that was since rooms were followed for this time.
    Idle(u64),
}

/// Where a follower puts what it delivers.
pub(super) enum Outlet {
    /// There is one lane: straight to the hub.
    Hub(mpsc::Sender<Delivery>),
    Merger(mpsc::Sender<Item>),
}

impl Outlet {
    /// Puts something on the stream, waiting while it is full. Without anybody to deliver to it is let go.
    pub(super) async fn put(&self, delivery: Delivery) {
        let _ = match self {
            Self::Hub(stream) => stream.send(delivery).await.is_ok(),
            Self::Merger(stream) => stream.send(Item::Delivery(delivery)).await.is_ok(),
        };
    }

    /// Waits until there is room for something.
    pub(super) async fn room(&self) {
        let _ = match self {
            Self::Hub(stream) => stream.reserve().await.is_ok(),
            Self::Merger(stream) => stream.reserve().await.is_ok(),
        };
    }

    /// Puts something on the stream that need not be kept; whether it could.
    pub(super) async fn offer(&self, delivery: Delivery) -> bool {
        match self {
            Self::Hub(_) => self.put(delivery).await,
            Self::Merger(stream) => return stream.try_send(Item::Delivery(delivery)).is_ok(),
        }
        true
    }

    /// Whether as much waits for other lanes as may.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Merger(stream) if stream.capacity() == 0)
    }

    /// Whether what is put there is with the hub.
    pub(super) fn is_straight(&self) -> bool {
        matches!(self, Self::Hub(_))
    }

    /// Tells the other lanes how far this one is, or that they need not wait for it.
    pub(super) async fn say(&self, item: Item) {
        if let Self::Merger(stream) = self {
            let _ = stream.send(item).await;
        }
    }
}

/// One lane, as the merger sees it.
pub(super) struct Source {
    pub(super) order: Arc<Order>,
    pub(super) items: mpsc::Receiver<Item>,
    /// Not to keep it from ending when nobody uses the log any more.
    pub(super) follower: mpsc::WeakUnboundedSender<Command>,
}

pub(super) struct Merger {
    sources: Vec<Source>,
    merge: Merge,
    /// When each was asked last, and whether it has not answered.
    asked: Vec<(Option<Instant>, bool)>,
    hub: mpsc::Sender<Delivery>,
    /// Which lane is looked at first: each in its turn.
    first: usize,
}

impl Merger {
    pub(super) fn new(sources: Vec<Source>, hub: mpsc::Sender<Delivery>) -> Self {
        let orders = sources.iter().map(|source| source.order.clone());
        Self {
            merge: Merge::new(orders),
            asked: vec![(None, false); sources.len()],
            sources,
            hub,
            first: 0,
        }
    }

    /// Works until all lanes have ended.
    pub(super) async fn run(mut self) {
        loop {
            while let Some((nth, message)) = self.merge.next() {
                let offset = message.offset;
                // Nobody may be listening any more; the lanes go on all the same.
                let _ = self.hub.send(Delivery::Message(message)).await;
                self.sources[nth].order.give(offset);
            }
            let next = match self.next().now_or_never() {
                Some(next) => next,
                None => {
                    let again = self.ask();
                    let wake = sleep_until(again.unwrap_or_else(Instant::now));
                    tokio::select! {
                        next = self.next() => next,
                        () = wake, if again.is_some() => continue,
                    }
                }
            };
            match next {
                None => return,
                Some((_, Some(Item::Delivery(delivery)))) if !is_message(&delivery) => {
                    let _ = self.hub.send(delivery).await;
                }
                Some((nth, item)) => {
                    self.asked[nth].1 &= !matches!(item, Some(Item::Past(_)));
                    self.merge.take(nth, item);
                }
            }
        }
    }

    /// The next item of a lane that has nothing waiting, or that the lane has ended; `None` once all have.
    async fn next(&mut self) -> Option<(usize, Option<Item>)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Option<Item>)>> {
        let mut over = true;
        let count = self.sources.len();
        for nth in self.first..self.first + count {
            let nth = nth % count;
            let lane = &self.merge.lanes[nth];
            over &= lane.over;
            if lane.over || lane.head.is_some() {
                continue;
            }
            if let Poll::Ready(item) = self.sources[nth].items.poll_recv(context) {
                self.first = (nth + 1) % count;
                return Poll::Ready(Some((nth, item)));
            }
        }
        match over {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }

    /// Asks the lanes that are waited for how far they are; when to ask again those for which it is too early.
    fn ask(&mut self) -> Option<Instant> {
        let mut again: Option<Instant> = None;
        let now = Instant::now();
        for nth in self.merge.awaited() {
            let (at, asked) = &mut self.asked[nth];
            let due = at.map_or(now, |at| at + PACE);
            if *asked {
                continue;
            }
            if due > now {
                again = Some(again.map_or(due, |again| again.min(due)));
                continue;
            }
            (*at, *asked) = (Some(now), true);
            // A follower that has ended says so by its stream.
            if let Some(follower) = self.sources[nth].follower.upgrade() {
                let _ = follower.send(Command::Pass);
            }
        }
        again
    }
}

fn is_message(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Message(_))
}

/// What waits of each lane, and how far it is.
struct Merge {
    lanes: Vec<Lane>,
}

struct Lane {
    order: Arc<Order>,
    /// The next message.
    head: Option<Arc<Message>>,
    past: Offset,
    /// Rooms had been followed for this time when none was any more.
    idle: u64,
    over: bool,
}

impl Lane {
    /// Whether something may come that has to go out before `offset`.
    fn may_precede(&self, offset: Offset) -> bool {
        self.head.is_none() && !self.over && self.past < offset && self.idle != self.order.begun()
    }
}

impl Merge {
    fn new(orders: impl Iterator<Item = Arc<Order>>) -> Self {
        let lane = |order| Lane {
            order,
            head: None,
            past: Offset(0),
            idle: 0,
            over: false,
        };
        Self {
            lanes: orders.map(lane).collect(),
        }
    }

    /// What a lane brought that has nothing waiting; `None`: its end.
    fn take(&mut self, nth: usize, item: Option<Item>) {
        let lane = &mut self.lanes[nth];
        match item {
            Some(Item::Delivery(Delivery::Message(message))) => {
                lane.past = lane.past.max(message.offset);
                lane.head = Some(message);
            }
            Some(Item::Delivery(_)) => {}
            Some(Item::Past(offset)) => lane.past = lane.past.max(offset),
            Some(Item::Idle(begun)) => lane.idle = begun,
            None => lane.over = true,
        }
    }

    /// The message that goes out next, if it can, and its lane.
    fn next(&mut self) -> Option<(usize, Arc<Message>)> {
        let (offset, nth) = self.first()?;
        let waits = self.lanes.iter().any(|lane| lane.may_precede(offset));
        match waits {
            true => None,
            false => self.lanes[nth].head.take().map(|head| (nth, head)),
        }
    }

    /// The lanes that the next message waits for.
    fn awaited(&self) -> Vec<usize> {
        let Some((offset, _)) = self.first() else {
            return Vec::new();
        };
        (0..self.lanes.len())
            .filter(|&nth| self.lanes[nth].may_precede(offset))
            .collect()
    }

    /// The lowest message that waits, and its lane.
    fn first(&self) -> Option<(Offset, usize)> {
        let heads = self.lanes.iter().enumerate();
        heads
            .filter_map(|(nth, lane)| Some((lane.head.as_ref()?.offset, nth)))
            .min()
    }
}
