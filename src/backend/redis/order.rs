//! What this node knows of the offsets of one lane, and the highest that it has seen in any: a Lamport clock
//! (L. Lamport, LogTime, Clocks, and the Ordering of Events in a Distributed System, 1978).
//!
//! A lane is what has one counter, one writer and one follower: everything in one Redis, each part in a Cluster. The offsets
//! of a lane have a remainder of their own, so those of all lanes are in one order.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use redis::Cmd;
use tokio::sync::Notify;

use super::{
    keys::{Keys, Part},
    number, scripts,
};
use crate::model::{Epoch, Offset};

/// The highest offset that this node has seen anywhere.
#[derive(Default)]
pub(super) struct Clock(AtomicU64);

pub(super) struct Order {
    keys: Keys,
    part: Part,
    lanes: usize,
    /// The lane was seen there: if it is ever lower, Redis has lost something.
    known: AtomicU64,
    clock: Arc<Clock>,
    /// How often the lane went over from no room that is followed to one.
    begun: AtomicU64,
    /// Up to here the hub was given the lane's messages; somebody is told when it moves.
    given: AtomicU64,
    moved: Notify,
}

impl Order {
    /// The lane of `part`, one of `lanes`.
    pub(super) fn new(keys: Keys, part: Part, lanes: usize, clock: Arc<Clock>) -> Self {
        Self {
            keys,
            part,
            lanes,
            known: AtomicU64::new(0),
            clock,
            begun: AtomicU64::new(0),
            given: AtomicU64::new(0),
            moved: Notify::new(),
        }
    }

    /// The part that has the lane's counter.
    pub(super) fn part(&self) -> Part {
        self.part
    }

    /// How far the lane was seen to be.
    pub(super) fn known(&self) -> Offset {
        Offset(self.known.load(Ordering::SeqCst))
    }

    /// The lane has got so far.
    pub(super) fn know(&self, offset: Offset) {
        self.known.fetch_max(offset.0, Ordering::SeqCst);
        self.clock.0.fetch_max(offset.0, Ordering::SeqCst);
    }

    /// Rooms are followed in this lane from now on; what was seen before in any lane, it has to be raised to.
    pub(super) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// How often that was so.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// The hub was given a message.
    pub(super) fn give(&self, offset: Offset) {
        self.given.store(offset.0, Ordering::Release);
        self.moved.notify_one();
    }

    /// Which the last one was.
    pub(super) fn given(&self) -> Offset {
        Offset(self.given.load(Ordering::Acquire))
    }

    /// Waits until another one was given.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// Tells a script where the lane was, and where all are.
    pub(super) fn tell(&self, command: &mut Cmd) {
        let known = self.known.load(Ordering::SeqCst);
        let seen = self.clock.0.load(Ordering::SeqCst);
        command.arg(number(known)).arg(number(seen));
    }

    /// Tells a script which offsets are the lane's.
    pub(super) fn tell_lane(&self, command: &mut Cmd) {
        command.arg(self.lanes).arg(self.part.number());
    }

    /// Raises the lane to whatever was seen anywhere.
    pub(super) fn raise(&self) -> Cmd {
        let (offset, incarnation) = (
            self.keys.offset(self.part),
            self.keys.incarnation(self.part),
        );
        let mut raise = scripts::raise(&[&offset, &incarnation]);
        self.tell(&mut raise);
        raise.arg(Epoch::fresh().as_str());
        raise
    }

    /// Asks where the lane is.
    pub(super) fn look(&self) -> Cmd {
        let mut look = redis::cmd("GET");
        look.arg(self.keys.offset(self.part));
        look
    }

    /// Raises it, too, and says it on a channel by a number.
    pub(super) fn say(&self, channel: &str, publish: &str, word: u64) -> Cmd {
        let (offset, incarnation) = (
            self.keys.offset(self.part),
            self.keys.incarnation(self.part),
        );
        let mut say = scripts::raise(&[&offset, &incarnation, channel]);
        self.tell(&mut say);
        say.arg(Epoch::fresh().as_str()).arg(publish).arg(word);
        say
    }
}
