//! What waits for one client, and how it gets on its way.
//!
//! **What must stay true**
//!
//! 1. `out` holds whole WebSocket frames in the order in which they go; of the first, `written` bytes have gone.
//! 2. Packets of ours go to `out` while the [`Lane`] is open and to `held` while it is not; both keep their order, and what
//!    was held goes to `out`, or into a poll's answer, before anything newer does.
//! 3. A frame of socketioxide's goes to `out` at once, and those of a binary event go there together: nothing comes between
//!    a packet and its attachments.
//! 4. Whenever `out` is not empty, somebody will write: it is on the list of its [`Shard`], or the system has our waker and
//!    puts it there, or the stall is noticed. Nobody else registers for writing: not even the task in
//!    [`Wire`](super::Wire), which only queues and then writes as anybody does, with that same waker.
//! 5. That waker takes no lock of this one: it may be called from inside a write.
//! 6. What waits stays within its bound: past half of it the hub is told to send no more, past all of it the client has a
//!    moment to take something, past twice of it, or after the stall, it is closed as slow.
//!
//! The one lock is held for queue operations and for one write that does not block; never across an await. It is taken after
//! the hub's, and before the session's.

use std::{
    io, mem,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Waker},
    time::{Duration, Instant},
};

use tokio::{io::AsyncWrite, sync::Notify};

use super::{
    Session,
    flusher::{Rouse, Shard},
    frame::Frame,
    lane::Lane,
    state::{FirstPing, State, Todo, broken},
};
use crate::{
    hub::{CloseReason, Keep},
    telemetry::{BEHIND, Metrics, NEWER},
    transport::lock,
};

mod waits;

/// Where bytes go.
pub(in crate::transport) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// Bytes that may wait before whoever adds to them writes, too: a sender that never rests would fill the queue of a client
/// that reads well.
const EAGER: usize = 64 << 10;

/// How long a client past its bound, or for which the hub waits, has to take something.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a client may be behind.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct Bounds {
    pub(in crate::transport) bytes: usize,
    pub(in crate::transport) stall: Duration,
}

/// One session's way out.
pub(in crate::transport) struct Outbox {
    state: Mutex<State>,
    /// What waits, to be looked at without the lock.
    bytes: AtomicUsize,
    ended: AtomicBool,
    /// Inboxes that are full: nothing is read meanwhile.
    brakes: AtomicUsize,
    /// How often one had room again.
    eases: AtomicUsize,
    eased: Notify,
    drained: Notify,
    /// How many wait for that: they have more for the client than fits.
    awaited: AtomicUsize,
    bounds: Bounds,
    shard: Arc<Shard>,
    session: Weak<dyn Session>,
    metrics: Arc<Metrics>,
    waker: OnceLock<Waker>,
}

impl Outbox {
    pub(in crate::transport) fn new(
        bounds: Bounds,
        shard: Arc<Shard>,
        session: Weak<dyn Session>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            bytes: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            brakes: AtomicUsize::new(0),
            eases: AtomicUsize::new(0),
            eased: Notify::new(),
            drained: Notify::new(),
            awaited: AtomicUsize::new(0),
            bounds,
            shard,
            session,
            metrics,
            waker: OnceLock::new(),
        })
    }

    /// Queues a packet of ours.
    pub(in crate::transport) fn push(self: &Arc<Self>, frame: Frame, keep: &Keep) {
        let mut state = self.lock();
        if state.ended || state.finishing {
            return;
        }
        match keep {
            Keep::Always => {}
            Keep::WhileInTime if self.behind(state.bytes) => {
                self.metrics.dropped(BEHIND, 1);
                return;
            }
            Keep::Newest(key) if self.behind(state.bytes) => {
                let dropped = state.replace(key, frame, self.bounds.bytes / 4);
                self.metrics.dropped(NEWER, dropped);
                return self.release(state, Todo::default());
            }
            // An older one may wait for better times, which have come.
            Keep::Newest(key) => state.forget(key),
            Keep::WhileInTime => {}
        }
        let mut todo = Todo::default();
        state.place(frame, &mut todo);
        if state.lane.is_open() && state.bytes > EAGER && !state.blocked {
            self.write(&mut state, &mut todo);
        }
        self.release(state, todo);
    }

    /// Counts events that were dropped before they came here: the client is behind.
    pub(in crate::transport) fn count_dropped(&self, events: u64) {
        self.metrics.dropped(BEHIND, events);
    }

    /// A namespace's CONNECT has been answered: what comes now is to come behind that answer.
    pub(in crate::transport) fn fence(self: &Arc<Self>) {
        self.lock().lane.fence();
        self.send_mark();
    }

    /// Takes what socketioxide writes.
    pub(super) fn native(self: &Arc<Self>, bytes: &[u8]) -> io::Result<()> {
        // Let go of behind the lock: were it the last, the session's end would take that lock, too.
        let session = self.session.upgrade();
        let mut state = self.lock();
        if state.ended {
            return Err(broken());
        }
        if state.finishing {
            return Ok(()); // nothing comes behind the last word
        }
        let mut splitter = mem::take(&mut state.native);
        splitter.split(bytes, |native| {
            state.take_native(native, session.as_deref());
        });
        state.native = splitter;
        self.release(state, Todo::default());
        Ok(())
    }

    /// The session is about to go on in this WebSocket; fails if it goes on in another one.
    pub(super) fn upgrade(self: &Arc<Self>, writer: Writer) -> io::Result<()> {
        let mut state = self.lock();
        if state.ended || state.writer.is_some() {
            return Err(broken());
        }
        state.writer = Some(writer);
        state.lane.upgraded();
        let todo = Todo {
            mark: true,
            ..Todo::default()
        };
        self.release(state, todo);
        Ok(())
    }

    /// Writes as much as is taken now; from the shard's list, and when socketioxide flushes.
    pub(in crate::transport) fn flush(self: &Arc<Self>) {
        let mut todo = Todo::default();
        let mut state = self.lock();
        state.listed = false;
        self.write(&mut state, &mut todo);
        self.release(state, todo);
    }

    /// A mark came by in a poll's answer: what goes in its place, with at most `budget` bytes if it is more than one.
    pub(super) fn spliced(self: &Arc<Self>, budget: usize) -> Vec<Frame> {
        let mut todo = Todo::default();
        let mut state = self.lock();
        let mut taken = Vec::new();
        if state.lane.passed() {
            let mut left = budget;
            while let Some(first) = state.held.front()
                && (taken.is_empty() || first.len() <= left)
            {
                left = left.saturating_sub(first.len());
                state.bytes -= first.len();
                taken.extend(state.held.pop_front());
            }
            taken.iter().for_each(|frame| state.note(frame));
        }
        if !taken.is_empty() {
            self.moved(&mut state, &mut todo);
        }
        if !state.held.is_empty() {
            todo.mark |= state.lane.waits();
        }
        self.release(state, todo);
        taken
    }

    /// A packet of socketioxide's comes by in a poll's answer: what goes in its place, if it does not go as it is.
    pub(super) fn rewritten(&self, text: &str) -> Option<String> {
        let session = self.session.upgrade();
        self.lock().rewritten(text, session.as_deref())
    }

    /// Whether so much waits that the hub had better read it from the log later.
    pub(in crate::transport) fn is_behind(&self) -> bool {
        self.behind(self.bytes.load(Ordering::Relaxed))
    }

    /// The session is to begin as a WebSocket of socketioxide's.
    pub(super) fn attach(&self, writer: Writer) {
        self.begin(writer, Lane::websocket());
    }

    /// The first ping that socketioxide writes is not to reach the client.
    pub(super) fn swallow_first_ping(&self) {
        self.lock().first_ping = FirstPing::Awaited;
    }

    /// Whether socketioxide's first ping has come, or the stream has ended; the task is woken then.
    pub(super) fn has_swallowed_ping(&self, context: &Context<'_>) -> bool {
        let ended = self.waits_to_read(context, true);
        ended || self.lock().first_ping == FirstPing::Swallowed
    }

    /// The session is to begin as a stream that socketioxide does not know: packets of ours go at once.
    pub(in crate::transport) fn open(&self, writer: Writer) {
        self.begin(writer, Lane::open());
    }

    fn begin(&self, writer: Writer, lane: Lane) {
        let mut state = self.lock();
        if !state.ended {
            state.writer = Some(writer);
            state.lane = lane;
        }
    }

    /// Adds nothing more but a `last` word, and ends once that has gone; unless the client is to be given `all` that waits,
    /// it goes in the place of whatever has not begun to go.
    pub(in crate::transport) fn conclude(self: &Arc<Self>, last: Option<Frame>, all: bool) {
        let mut todo = Todo::default();
        let mut state = self.lock();
        if state.ended || mem::replace(&mut state.finishing, true) {
            return;
        }
        if !all {
            state.drop_waiting();
        }
        if let Some(last) = last {
            state.place(last, &mut todo);
        }
        self.write(&mut state, &mut todo);
        self.release(state, todo);
    }

    /// Ends a WebSocket with its last frame, whatever state it is in: packets of ours that may not go yet never go.
    pub(in crate::transport) fn close(self: &Arc<Self>, last: Frame) {
        let mut todo = Todo::default();
        let mut state = self.lock();
        if state.ended || mem::replace(&mut state.finishing, true) {
            return;
        }
        state.queue(last.bytes);
        self.write(&mut state, &mut todo);
        self.release(state, todo);
    }

    /// Ends the stream now: whoever reads sees the end, and nothing more is written.
    pub(in crate::transport) fn end(&self) {
        let mut state = self.lock();
        self.end_with(&mut state);
    }

    /// As [`end`](Self::end), behind what the client takes at once of all that waits and of a `last` frame.
    pub(in crate::transport) fn end_behind(self: &Arc<Self>, last: Frame) {
        let mut state = self.lock();
        if state.writer.is_some() && !state.ended {
            state.queue(last.bytes);
            self.write(&mut state, &mut Todo::default());
        }
        self.end_with(&mut state);
    }

    /// socketioxide is done with the stream: what waits still goes, then it ends.
    pub(super) fn finish(self: &Arc<Self>) {
        let mut todo = Todo::default();
        let mut state = self.lock();
        state.finishing = true;
        self.write(&mut state, &mut todo);
        self.release(state, todo);
    }

    /// The session is over. What its WebSocket still has to take it gets; a session by polling takes nothing more.
    pub(in crate::transport) fn abandon(&self) {
        let mut state = self.lock();
        if state.writer.is_none() {
            self.end_with(&mut state);
        }
    }

    /// Looks for a stall; false if there is nothing to watch any more.
    pub(super) fn keeps_waiting(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let Some(since) = state.since.filter(|_| !state.ended) else {
            state.watched = false;
            return false;
        };
        let waited = now.saturating_duration_since(since);
        let more = state.bytes > self.bounds.bytes || self.awaited.load(Ordering::SeqCst) > 0;
        let full = more && waited > PATIENCE.min(self.bounds.stall);
        if !full && waited <= self.bounds.stall {
            return true;
        }
        state.watched = false;
        drop(state);
        self.close_as_slow();
        false
    }

    /// Whether no WebSocket has the session yet.
    pub(super) fn polls(&self) -> bool {
        self.lock().lane.polls()
    }

    fn behind(&self, bytes: usize) -> bool {
        bytes > self.bounds.bytes / 2
    }

    /// Writes until nothing is left or the system takes no more.
    fn write(self: &Arc<Self>, state: &mut State, todo: &mut Todo) {
        state.blocked = false;
        let before = state.bytes;
        let waker = self.waker.get_or_init(|| Rouse::of(self, &self.shard));
        if state.write_out(waker).is_err() {
            self.end_with(state);
            return;
        }
        if state.bytes < before {
            self.moved(state, todo);
        }
        if state.blocked {
            state.since.get_or_insert_with(Instant::now);
            todo.watch = !mem::replace(&mut state.watched, true);
        } else if state.finishing && state.out.is_empty() {
            self.end_with(state);
        }
    }

    /// The client has taken something.
    fn moved(&self, state: &mut State, todo: &mut Todo) {
        if state.bytes - state.newest_bytes <= self.bounds.bytes / 4 && !state.newest.is_empty() {
            state.bytes -= mem::take(&mut state.newest_bytes);
            for (_, frame) in mem::take(&mut state.newest) {
                state.place(frame, todo);
            }
        }
        state.since = (state.bytes > 0).then(Instant::now);
    }

    /// Lets go of the lock and does what is due.
    fn release(self: &Arc<Self>, mut state: MutexGuard<'_, State>, mut todo: Todo) {
        let bytes = state.bytes;
        self.bytes.store(bytes, Ordering::SeqCst);
        todo.slow |= bytes > 2 * self.bounds.bytes && !state.ended;
        if !state.out.is_empty() && !state.blocked && !state.listed && state.writer.is_some() {
            state.listed = true;
            todo.list = true;
        }
        if !state.held.is_empty() && state.since.is_none() {
            state.since = Some(Instant::now());
        }
        if state.since.is_some() && !state.ended && !state.watched {
            state.watched = true;
            todo.watch = true;
        }
        drop(state);
        // Whoever waits is counted before it looks at the bytes, so it is seen here or sees them.
        if bytes <= self.bounds.bytes / 4 && self.awaited.load(Ordering::SeqCst) > 0 {
            self.drained.notify_waiters();
        }
        if todo.watch {
            self.shard.watch(self);
        }
        if todo.list {
            self.shard.list(self);
        }
        if todo.mark {
            self.send_mark();
        }
        if todo.slow {
            self.close_as_slow();
        }
    }

    fn send_mark(&self) {
        let sent = self.session.upgrade().map(|session| session.mark());
        match sent {
            Some(Ok(true)) => {}
            Some(Ok(false)) => self.unsent(),
            None => drop(self.lock().lane.unsent()),
            Some(Err(Full)) => self.close_as_slow(),
        }
    }

    /// Nobody is connected to any namespace: what is held is for nobody.
    fn unsent(&self) {
        let mut state = self.lock();
        if !state.lane.unsent() {
            return;
        }
        let held: usize = mem::take(&mut state.held).iter().map(Frame::len).sum();
        mem::take(&mut state.newest);
        state.bytes -= held + mem::take(&mut state.newest_bytes);
        state.since = state.since.filter(|_| state.bytes > 0);
        let bytes = state.bytes;
        self.bytes.store(bytes, Ordering::SeqCst);
        drop(state);
        // A connection that has left its namespace may wait for this before it leaves its rooms.
        if bytes <= self.bounds.bytes / 4 {
            self.drained.notify_waiters();
        }
    }

    fn close_as_slow(&self) {
        match self.session.upgrade() {
            Some(session) => session.close(CloseReason::Slow),
            None => self.end(),
        }
    }

    fn end_with(&self, state: &mut State) {
        let reader = state.end();
        self.ended.store(true, Ordering::SeqCst);
        self.bytes.store(0, Ordering::SeqCst);
        self.drained.notify_waiters();
        // It only schedules a task; that task then finds the end.
        reader.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// socketioxide's own channel has no place left.
pub(in crate::transport) struct Full;

#[cfg(test)]
mod tests;
