//! How an outbox ends: at once, behind a last frame, or once everything is sent.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    task::Waker,
};

use super::{
    super::frame::Frame,
    Outbox,
    state::{Effects, OutboxState},
};
use crate::hub::CloseReason;

impl Outbox {
    /// Accepts nothing more but a `last` frame, and ends once that has been sent. With `drain` everything that is queued goes
    /// before it; otherwise the last frame replaces everything that has not begun to be sent.
    pub(in crate::transport) fn finish_with(self: &Arc<Self>, last: Option<Frame>, drain: bool) {
        let mut effects = Effects::default();
        let mut state = self.lock();
        if state.ended || mem::replace(&mut state.finishing, true) {
            return;
        }
        if !drain {
            state.drop_unsent();
        }
        if let Some(last) = last {
            state.queue_or_hold(last, &mut effects);
        }
        self.write(&mut state, &mut effects);
        self.apply_effects(state, effects);
    }

    /// Ends a WebSocket with its last frame, whatever state it is in: packets that are still held are never sent.
    pub(in crate::transport) fn close_with(self: &Arc<Self>, last: Frame) {
        let mut effects = Effects::default();
        let mut state = self.lock();
        if state.ended || mem::replace(&mut state.finishing, true) {
            return;
        }
        state.queue_frame(last);
        self.write(&mut state, &mut effects);
        self.apply_effects(state, effects);
    }

    /// Ends the outbox now: readers see the end of the stream, and nothing more is written.
    pub(in crate::transport) fn end(&self) {
        let mut state = self.lock();
        self.end_locked(&mut state);
    }

    /// Ends the outbox now, after one attempt to write what is queued and a `last` frame.
    pub(in crate::transport) fn end_after(self: &Arc<Self>, last: Frame) {
        let mut state = self.lock();
        if state.writer.is_some() && !state.ended {
            state.queue_frame(last);
            self.write(&mut state, &mut Effects::default());
        }
        self.end_locked(&mut state);
    }

    /// socketioxide is done with the stream: sends what is queued, then ends.
    pub(in crate::transport::wire) fn finish(self: &Arc<Self>) {
        let mut effects = Effects::default();
        let mut state = self.lock();
        state.finishing = true;
        self.write(&mut state, &mut effects);
        self.apply_effects(state, effects);
    }

    /// The session is over. A WebSocket is still sent what is queued; a session that polls takes nothing more.
    pub(in crate::transport) fn end_unless_attached(&self) {
        let mut state = self.lock();
        if state.writer.is_none() {
            self.end_locked(&mut state);
        }
    }

    pub(super) fn close_as_slow(&self) {
        self.close_as(CloseReason::Slow);
    }

    /// Closes the session.
    pub(in crate::transport) fn close_as(&self, why: CloseReason) {
        match self.owner.upgrade() {
            Some(owner) => owner.close(why),
            None => self.end(),
        }
    }

    pub(super) fn end_locked(&self, state: &mut OutboxState) {
        let reader = state.end();
        self.ended.store(true, Ordering::SeqCst);
        self.bytes.store(0, Ordering::SeqCst);
        self.drained.notify_waiters();
        // Waking only schedules a task; that task then finds the end.
        reader.into_iter().for_each(Waker::wake);
    }
}
