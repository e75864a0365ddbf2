//! The answers of one node.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{model::EventPayload, sync::lock};

/// Bytes of all answers that are kept; beyond that the oldest is forgotten.
const MAX_BYTES: usize = 16 << 20;

/// Bytes of an answer that is kept. A client that repeats an event with a longer one has it answered anew.
const MAX_ANSWER: usize = 64 << 10;

/// What an answer takes besides its own bytes.
const OVERHEAD: usize = 200;

/// An event by its sender, name and arguments: a digest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct AnswerKey(pub(crate) [u8; 32]);

/// The answers that were given within a window, and those that are about to be.
pub(in crate::hub) struct AnswerTable {
    answers: Arc<Mutex<Answers>>,
}

struct Answers {
    window: Duration,
    entries: HashMap<AnswerKey, Entry>,
    /// Those that were given, oldest first.
    given: VecDeque<(Instant, AnswerKey)>,
    bytes: usize,
}

enum Entry {
    /// Somebody is about to answer; the channel closes when that is settled.
    Pending {
        settled: watch::Receiver<()>,
        /// No other node is asked any more.
        begun: bool,
    },
    Given(EventPayload),
}

/// What comes of an event.
pub(super) enum Begun {
    /// The caller answers it.
    First(PendingAnswer),
    /// Somebody answers it already: ready when that is settled.
    Pending(Settled),
    /// It has been answered.
    Given(EventPayload),
}

/// What is known of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nobody has begun to find it.
    Nothing,
    /// It is being found.
    Pending,
    Given(EventPayload),
}

/// Ready when an answer has been given, or given up.
type Settled = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The turn to answer an event. Dropped without an answer, the next one answers it.
#[must_use = "dropped, the event is not answered"]
pub(crate) struct PendingAnswer {
    key: AnswerKey,
    answers: Arc<Mutex<Answers>>,
    given: AtomicBool,
    _settled: watch::Sender<()>,
}

impl AnswerTable {
    /// No answers yet; each is kept for `window`.
    pub(in crate::hub) fn new(window: Duration) -> Self {
        let answers = Answers {
            window,
            entries: HashMap::new(),
            given: VecDeque::new(),
            bytes: 0,
        };
        Self {
            answers: Arc::new(Mutex::new(answers)),
        }
    }

    /// Begins to answer an event, if nobody has.
    pub(super) fn begin(&self, key: AnswerKey) -> Begun {
        let mut answers = lock(&self.answers);
        answers.forget_old();
        match answers.entries.get(&key) {
            Some(Entry::Given(answer)) => Begun::Given(answer.clone()),
            Some(Entry::Pending { settled, .. }) => Begun::Pending(until_settled(settled)),
            None => {
                let (sender, settled) = watch::channel(());
                let begun = false;
                answers
                    .entries
                    .insert(key, Entry::Pending { settled, begun });
                Begun::First(PendingAnswer {
                    key,
                    answers: self.answers.clone(),
                    given: AtomicBool::new(false),
                    _settled: sender,
                })
            }
        }
    }

    /// What is known of the answer to an event; waits until `deadline` for one that is being found.
    pub(super) async fn wait(&self, key: AnswerKey, deadline: Instant) -> Known {
        loop {
            let settled = {
                let answers = lock(&self.answers);
                match answers.entries.get(&key) {
                    Some(Entry::Given(answer)) => return Known::Given(answer.clone()),
                    // Two nodes that ask each other about the same event would wait for each other.
                    None | Some(Entry::Pending { begun: false, .. }) => return Known::Nothing,
                    Some(Entry::Pending { settled, .. }) => until_settled(settled),
                }
            };
            if timeout_at(deadline, settled).await.is_err() {
                return Known::Pending;
            }
        }
    }
}

fn until_settled(settled: &watch::Receiver<()>) -> Settled {
    let mut settled = settled.clone();
    Box::pin(async move { while settled.changed().await.is_ok() {} })
}

impl PendingAnswer {
    /// The answer is being found now: other nodes that ask have to wait for it.
    pub(super) fn begin(&self) {
        if let Some(Entry::Pending { begun, .. }) = lock(&self.answers).entries.get_mut(&self.key) {
            *begun = true;
        }
    }

    /// Gives the answer. Only the first one counts.
    pub(crate) fn give(&self, answer: &EventPayload) {
        let bytes = size(answer);
        if bytes > MAX_ANSWER || self.given.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut answers = lock(&self.answers);
        answers
            .entries
            .insert(self.key, Entry::Given(answer.clone()));
        answers.given.push_back((Instant::now(), self.key));
        answers.bytes += bytes;
        answers.forget_old();
    }
}

impl Drop for PendingAnswer {
    fn drop(&mut self) {
        // What was given is forgotten later, and the same event may be pending again by then.
        if !*self.given.get_mut() {
            lock(&self.answers).entries.remove(&self.key);
        }
    }
}

impl Answers {
    /// Forgets answers that were given before the window, and the oldest of too many.
    fn forget_old(&mut self) {
        let now = Instant::now();
        while let Some((given, key)) = self.given.front().copied() {
            let is_old = now - given > self.window;
            if !is_old && self.bytes <= MAX_BYTES {
                break;
            }
            self.given.pop_front();
            if let Some(Entry::Given(answer)) = self.entries.remove(&key) {
                self.bytes -= size(&answer);
            }
        }
    }
}

fn size(answer: &EventPayload) -> usize {
    let attached: usize = answer.attachments.iter().map(bytes::Bytes::len).sum();
    OVERHEAD + answer.text.len() + attached
}

#[cfg(test)]
mod tests;
