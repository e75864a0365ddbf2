//! The bounded send queue of one client.
//!
//! **Invariants**
//!
//! 1. `ready` holds whole WebSocket frames in the order in which they are sent; `written` bytes of the first have been sent.
//! 2. The hub's packets go to `ready` while the [`SendGate`] is open and to `held` while it is closed. Both keep their order,
//!    and held packets go to `ready`, or into a poll response, before anything newer does.
//! 3. A frame of socketioxide's goes to `ready` at once, and all frames of a binary event go there together: nothing comes
//!    between a packet and its attachments.
//! 4. Whenever `ready` is not empty, a write will happen: the outbox is in its [`WriteQueue`], or the socket has its waker and
//!    puts it there, or the stall is noticed. Nothing else registers for writing: not even the task that uses the
//!    [`OutboxStream`](super::OutboxStream), which only queues.
//! 5. That waker does not take the outbox's lock: it may be called from inside a write.
//! 6. The queue is bounded: past half of the bound the hub is asked to send no more, past all of it the client has
//!    [`DRAIN_TIMEOUT`] to take something, past twice of it, or after the stall timeout, it is closed as slow. What alone is larger than
//!    the bound counts for nothing, if it is queued within the bound.
//!
//! The lock is held for queue operations and for one non-blocking write; never across an await. It is taken after the hub's
//! locks, and before the session's.

use std::{
    io, mem,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    ChannelFull, OutboxOwner,
    frame::Frame,
    write_queue::{QueuedWriter, WriteQueue},
};
use crate::{
    hub::{ClientState, DeliveryPolicy},
    sync::lock,
    telemetry::{BEHIND, Metrics, NEWER},
};
use state::{Effects, OutboxState};

mod attach;
mod end;
mod state;
mod wait;

pub(super) use state::connection_closed;

/// Queued bytes past which a sender writes by itself: one that never pauses would fill the queue of a client that reads well.
const EAGER_WRITE_BYTES: usize = 64 << 10;

/// How long a client past its bound, or for which the hub waits, has to take something.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How far a client may be behind.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct OutboxLimits {
    /// Bytes that may be queued.
    pub(in crate::transport) bytes: usize,
    /// How long a client with queued bytes may take nothing.
    pub(in crate::transport) stall: Duration,
}

/// The send queue of one session.
pub(in crate::transport) struct Outbox {
    state: Mutex<OutboxState>,
    /// Queued bytes, readable without the lock.
    bytes: AtomicUsize,
    ended: AtomicBool,
    /// Number of full inboxes: nothing is read from the client meanwhile.
    paused_reads: AtomicUsize,
    /// How often reading was resumed.
    resume_count: AtomicUsize,
    resumed: Notify,
    /// Notified when the queue is nearly empty, and at its end.
    drained: Notify,
    /// Tasks that wait to be notified: they have more for the client than fits.
    drain_waiters: AtomicUsize,
    limits: OutboxLimits,
    queue: Arc<WriteQueue>,
    owner: Weak<dyn OutboxOwner>,
    metrics: Arc<Metrics>,
    waker: OnceLock<Waker>,
}

impl Outbox {
    /// The outbox of `owner`, written to by the pool that `queue` belongs to.
    pub(in crate::transport) fn new(
        limits: OutboxLimits,
        queue: Arc<WriteQueue>,
        owner: Weak<dyn OutboxOwner>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            bytes: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            paused_reads: AtomicUsize::new(0),
            resume_count: AtomicUsize::new(0),
            resumed: Notify::new(),
            drained: Notify::new(),
            drain_waiters: AtomicUsize::new(0),
            limits,
            queue,
            owner,
            metrics,
            waker: OnceLock::new(),
        })
    }

    /// Queues one of the hub's packets.
    pub(in crate::transport) fn push(self: &Arc<Self>, frame: Frame, keep: &DeliveryPolicy) {
        let mut state = self.lock();
        if state.ended || state.finishing {
            return;
        }
        match keep {
            DeliveryPolicy::Always => {}
            DeliveryPolicy::IfItFits
                if state.bytes > 0 && state.bytes + frame.len() > 2 * self.limits.bytes =>
            {
                self.metrics.dropped(BEHIND, 1);
                return;
            }
            DeliveryPolicy::Droppable if self.is_past_half(state.bytes) => {
                self.metrics.dropped(BEHIND, 1);
                return;
            }
            DeliveryPolicy::NewestOnly(key) if self.is_past_half(state.bytes) => {
                let dropped = state.replace_newest(key, frame, self.limits.bytes / 4);
                self.metrics.dropped(NEWER, dropped);
                return self.apply_effects(state, Effects::default());
            }
            // An older one may be stored for when the client has caught up, which it has now.
            DeliveryPolicy::NewestOnly(key) => drop(state.remove_newest(key)),
            DeliveryPolicy::Droppable | DeliveryPolicy::IfItFits => {}
        }
        self.note_oversized(&mut state, frame.len());
        let mut effects = Effects::default();
        state.queue_or_hold(frame, &mut effects);
        if state.gate.is_open() && state.bytes > EAGER_WRITE_BYTES && !state.blocked {
            self.write(&mut state, &mut effects);
        }
        self.apply_effects(state, effects);
    }

    /// What is known of the client of this transport.
    pub(in crate::transport) fn client_state(
        self: &Arc<Self>,
        transport: &'static str,
    ) -> ClientState {
        ClientState {
            transport,
            address: None,
            queue: Arc::as_ptr(self).addr(),
            queued_bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Counts events that were dropped before they were pushed, because the client is behind.
    pub(in crate::transport) fn count_dropped(&self, events: u64) {
        self.metrics.dropped(BEHIND, events);
    }

    /// A namespace's CONNECT has been replied to: later packets are held until that reply has passed.
    pub(in crate::transport) fn add_barrier(self: &Arc<Self>) {
        self.lock().gate.add_barrier();
        self.send_barrier();
    }

    /// Queues what socketioxide writes.
    ///
    /// # Errors
    /// The outbox has ended.
    pub(super) fn queue_engine_bytes(self: &Arc<Self>, bytes: &[u8]) -> io::Result<()> {
        // Dropped after the lock: if this is the last reference, the end of the session takes that lock, too.
        let owner = self.owner.upgrade();
        let mut state = self.lock();
        if state.ended {
            return Err(connection_closed());
        }
        if state.finishing {
            return Ok(()); // nothing follows the last frame
        }
        self.note_oversized(&mut state, bytes.len());
        let mut splitter = mem::take(&mut state.splitter);
        splitter.split(bytes, |frame| {
            state.take_engine_frame(frame, owner.as_deref());
        });
        state.splitter = splitter;
        self.apply_effects(state, Effects::default());
        Ok(())
    }

    /// A barrier has passed in a poll response: takes the held packets that go in its place. Takes at most `budget` bytes if
    /// it takes more than one packet.
    pub(super) fn take_at_barrier(self: &Arc<Self>, budget: usize) -> Vec<Frame> {
        let mut effects = Effects::default();
        let mut state = self.lock();
        let mut taken = Vec::new();
        if state.gate.pass_barrier() {
            let mut left = budget;
            while let Some(first) = state.held.front()
                && (taken.is_empty() || first.polled_len() <= left)
            {
                left = left.saturating_sub(first.polled_len());
                let bytes = first.len();
                state.bytes -= bytes;
                state.oversized = state.oversized.saturating_sub(bytes);
                taken.extend(state.held.pop_front());
            }
            taken = taken
                .into_iter()
                .map(|frame| state.prepare(frame))
                .collect();
        }
        if !taken.is_empty() {
            self.record_progress(&mut state, &mut effects);
        }
        if !state.held.is_empty() {
            effects.send_barrier |= state.gate.hold_packet();
        }
        self.apply_effects(state, effects);
        taken
    }

    /// Rewrites a packet of socketioxide's that passes in a poll response; `None` if it passes unchanged.
    pub(super) fn rewrite_packet(&self, text: &str) -> Option<String> {
        let owner = self.owner.upgrade();
        self.lock().rewrite_packet(text, owner.as_deref())
    }

    /// Notes that something is queued which may be larger than all that may be queued.
    fn note_oversized(&self, state: &mut OutboxState, bytes: usize) {
        if bytes > self.limits.bytes && state.bytes <= self.limits.bytes {
            state.oversized = state.bytes + bytes;
        }
    }

    /// Whether so much is queued that the hub should read from the log later instead of sending.
    pub(in crate::transport) fn is_behind(&self) -> bool {
        self.is_past_half(self.bytes.load(Ordering::Relaxed))
    }

    fn is_past_half(&self, bytes: usize) -> bool {
        bytes > self.limits.bytes / 2
    }

    /// Whether the queue is so short that the hub may send again.
    fn is_nearly_empty(&self, bytes: usize) -> bool {
        bytes <= self.limits.bytes / 4
    }

    /// Writes as much as the socket takes now.
    pub(in crate::transport) fn flush(self: &Arc<Self>) {
        let mut effects = Effects::default();
        let mut state = self.lock();
        state.enqueued = false;
        self.write(&mut state, &mut effects);
        self.apply_effects(state, effects);
    }

    /// Writes until the queue is empty or the socket takes no more.
    fn write(self: &Arc<Self>, state: &mut OutboxState, effects: &mut Effects) {
        state.blocked = false;
        let before = state.bytes;
        let waker = self.waker.get_or_init(|| self.queue.waker_for(self));
        if state.write_ready(waker).is_err() {
            self.end_locked(state);
            return;
        }
        if state.bytes < before {
            self.metrics
                .sent_bytes
                .inc_by((before - state.bytes) as u64);
            self.record_progress(state, effects);
        }
        if state.blocked {
            state.waiting_since.get_or_insert_with(Instant::now);
            effects.watch = !mem::replace(&mut state.watched, true);
            return;
        }
        if state.bytes == 0 {
            state.waiting_since = None; // the writer had yet to flush, and has
        }
        if state.finishing && state.ready.is_empty() {
            self.end_locked(state);
        }
    }

    /// The client has taken something.
    fn record_progress(&self, state: &mut OutboxState, effects: &mut Effects) {
        if self.is_nearly_empty(state.bytes - state.newest_bytes)
            && let Some(newest) = state.newest.take()
        {
            state.bytes -= mem::take(&mut state.newest_bytes);
            for (_, frame) in *newest {
                state.queue_or_hold(frame, effects);
            }
        }
        state.waiting_since = (state.bytes > 0).then(Instant::now);
    }

    /// Releases the lock, then does what has to be done without it.
    fn apply_effects(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, OutboxState>,
        mut effects: Effects,
    ) {
        let bytes = state.bytes;
        self.bytes.store(bytes, Ordering::SeqCst);
        let most = 2 * self.limits.bytes + state.oversized;
        effects.close_slow |= bytes > most && !state.ended;
        if !state.ready.is_empty() && !state.blocked && !state.enqueued && state.writer.is_some() {
            state.enqueued = true;
            effects.enqueue = true;
        }
        if !state.held.is_empty() && state.waiting_since.is_none() {
            state.waiting_since = Some(Instant::now());
        }
        if state.waiting_since.is_some() && !state.ended && !state.watched {
            state.watched = true;
            effects.watch = true;
        }
        drop(state);
        // A waiter counts itself before it reads `bytes`: either it is seen here, or it sees the new value.
        if self.is_nearly_empty(bytes) && self.drain_waiters.load(Ordering::SeqCst) > 0 {
            self.drained.notify_waiters();
        }
        if effects.watch {
            self.queue.watch(self.clone());
        }
        if effects.enqueue {
            self.queue.enqueue(self.clone());
        }
        if effects.send_barrier {
            self.send_barrier();
        }
        if effects.close_slow {
            self.close_as_slow();
        }
    }

    fn send_barrier(&self) {
        let sent = self.owner.upgrade().map(|owner| owner.send_barrier());
        match sent {
            Some(Ok(true)) => {}
            Some(Ok(false)) => self.drop_held(),
            None => drop(self.lock().gate.cancel_barrier()),
            Some(Err(ChannelFull)) => self.close_as_slow(),
        }
    }

    /// No namespace is connected: held packets have no recipient.
    fn drop_held(&self) {
        let mut state = self.lock();
        if !state.gate.cancel_barrier() {
            return;
        }
        let held: usize = mem::take(&mut state.held).iter().map(Frame::len).sum();
        state.newest = None;
        state.bytes -= held + mem::take(&mut state.newest_bytes);
        state.oversized = state.oversized.min(state.bytes);
        state.waiting_since = state.waiting_since.filter(|_| state.bytes > 0);
        let bytes = state.bytes;
        self.bytes.store(bytes, Ordering::SeqCst);
        drop(state);
        // A connection that has left its namespace may wait for this before it leaves its rooms.
        if self.is_nearly_empty(bytes) {
            self.drained.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutboxState> {
        lock(&self.state)
    }
}

impl QueuedWriter for Outbox {
    fn write_queued(self: Arc<Self>) {
        self.flush();
    }

    fn check_stall(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let Some(since) = state.waiting_since.filter(|_| !state.ended) else {
            state.watched = false;
            return false;
        };
        let waited = now.saturating_duration_since(since);
        let is_urgent =
            state.bytes > self.limits.bytes || self.drain_waiters.load(Ordering::SeqCst) > 0;
        let timed_out = is_urgent && waited > DRAIN_TIMEOUT.min(self.limits.stall);
        if !timed_out && waited <= self.limits.stall {
            return true;
        }
        state.watched = false;
        drop(state);
        self.close_as_slow();
        false
    }
}

#[cfg(test)]
mod tests;
