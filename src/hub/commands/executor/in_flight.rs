//! Requests of one connection that have been started and not been replied to.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc};

use futures_util::{
    Stream, StreamExt,
    stream::{FuturesOrdered, FuturesUnordered},
};

use crate::{
    error::Result,
    hub::commands::{Reply, signal::reply_budget::ReplyBudget},
};

/// Messages of one connection that may be on their way to the log.
const MAX_MESSAGES: usize = 1024;

type ReplyFuture<T> = Pin<Box<dyn Future<Output = (T, Result<Reply>)> + Send>>;

/// What waits for the log and for other clients.
pub(super) struct InFlight<T> {
    /// Messages on their way to the log, replied to in order. Made with the first one, like `signals`: an empty queue of futures
    /// takes memory, too, and most connections are idle.
    stored: Option<FuturesOrdered<ReplyFuture<T>>>,
    /// Signals that wait for their receivers, replied to as these reply.
    signals: Option<FuturesUnordered<ReplyFuture<T>>>,
    /// Replies to signals that are sent once the client reads what it has been sent: others must not make it slow.
    signal_replies: VecDeque<(T, Result<Reply>)>,
    /// Bytes that all of those replies may have together.
    signal_budget: Arc<ReplyBudget>,
}

impl<T: Send + 'static> InFlight<T> {
    pub(super) fn new(signal_budget: Arc<ReplyBudget>) -> Self {
        Self {
            stored: None,
            signals: None,
            signal_replies: VecDeque::new(),
            signal_budget,
        }
    }

    /// Whether one more message may be on its way to the log.
    pub(super) fn has_room(&self) -> bool {
        self.stored
            .as_ref()
            .is_none_or(|stored| stored.len() < MAX_MESSAGES)
    }

    /// Adds a reply that comes behind those to all messages before it.
    pub(super) fn push_stored(
        &mut self,
        reply: impl Future<Output = (T, Result<Reply>)> + Send + 'static,
    ) {
        let stored = self.stored.get_or_insert_default();
        stored.push_back(Box::pin(reply));
    }

    /// The reply to the next message, once it is stored; `None` if none is on its way.
    pub(super) async fn next_stored(&mut self) -> Option<(T, Result<Reply>)> {
        // With each event that is no message: cheaper than to poll.
        let stored = self.stored.as_mut().filter(|stored| !stored.is_empty())?;
        stored.next().await
    }

    pub(super) fn push_signal(
        &mut self,
        replies: impl Future<Output = (T, Result<Reply>)> + Send + 'static,
    ) {
        let signals = self.signals.get_or_insert_default();
        signals.push(Box::pin(replies));
    }

    /// Waits until a message is stored, and returns its reply, or until a signal is replied to: its replies are queued then.
    pub(super) async fn progress(&mut self) -> Option<(T, Result<Reply>)> {
        tokio::select! {
            biased;
            Some(stored) = next(self.stored.as_mut()) => Some(stored),
            Some(replies) = next(self.signals.as_mut()) => {
                self.signal_replies.push_back(replies);
                None
            }
            else => std::future::pending().await,
        }
    }

    /// Whether nothing is on its way; the memory that was needed for it is freed then.
    pub(super) fn release_if_empty(&mut self) -> bool {
        let empty =
            self.stored.as_ref().is_none_or(FuturesOrdered::is_empty) && self.signals() == 0;
        if empty {
            (self.stored, self.signals) = (None, None);
            self.signal_replies = VecDeque::new();
        }
        empty
    }

    /// The replies to a signal that are to be sent next.
    pub(super) fn next_signal_reply(&mut self) -> Option<(T, Result<Reply>)> {
        self.signal_replies.pop_front()
    }

    /// Signals that have not been replied to.
    pub(super) fn signals(&self) -> usize {
        let waiting = self.signals.as_ref().map_or(0, FuturesUnordered::len);
        waiting + self.signal_replies.len()
    }

    pub(super) fn signal_budget(&self) -> Arc<ReplyBudget> {
        self.signal_budget.clone()
    }
}

/// The next of `futures` to be ready; `None` without any.
async fn next<S: Stream + Unpin>(futures: Option<&mut S>) -> Option<S::Item> {
    futures?.next().await
}
