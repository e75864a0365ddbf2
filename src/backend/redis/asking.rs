//! Questions to all other nodes, over the channels between them.
//!
//! A question and its answers are one line, who asks or answers and the question's number, and a text. Whoever has nothing to
//! say answers with an empty text, so that nobody waits for it; a question numbered 0 is not answered at all.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::{Shared, channels::RedisChannels};
use crate::{
    backend::{Delivery, PeerRequest, PubSub, PubSubMessages},
    error::{Error, Result},
    model::NodeId,
    repeat::log_rarely,
};

/// Questions of this node, and of others here, that may wait for answers.
const UNDER_WAY: usize = 4096;

/// Bytes of answers that may be held until their questions are through.
const ANSWERS: usize = 32 << 20;

/// The number of questions that nobody waits for the answers of, and what a node says so that begins to live, or stops.
const TELLING: u64 = 0;
const HELLO: &str = "";
const GOODBYE: &str = "goodbye";

/// What this node asks the others and is asked by them.
pub(super) struct Asking {
    shared: Arc<Shared>,
    channels: Arc<RedisChannels>,
    last: AtomicU64,
    // A std mutex: it is held to note an answer, and never across an await.
    open: Mutex<Open>,
    answering: Arc<Semaphore>,
}

/// The questions that wait for answers.
#[derive(Default)]
struct Open {
    questions: HashMap<u64, Waiting>,
    bytes: usize,
}

struct Waiting {
    awaited: HashSet<NodeId>,
    answers: Vec<String>,
    done: Option<oneshot::Sender<()>>,
}

impl Waiting {
    fn waits_no_more_for(&mut self, node: NodeId) {
        self.awaited.remove(&node);
        if self.awaited.is_empty() {
            self.done = None;
        }
    }
}

/// A question that is forgotten when nobody waits for it any more.
struct Asked<'a> {
    asking: &'a Asking,
    number: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.asking.take(self.number);
    }
}

impl Asking {
    /// Begins to answer what other nodes ask; questions go up `stream`.
    pub(super) async fn begin(
        shared: Arc<Shared>,
        channels: Arc<RedisChannels>,
        stream: mpsc::Sender<Delivery>,
    ) -> Arc<Self> {
        let questions = channels.subscribe(shared.keys.questions());
        let answers = channels.subscribe(shared.keys.answers(shared.node));
        let (questions, answers) = tokio::join!(questions, answers);
        let asking = Arc::new(Self {
            shared,
            channels,
            last: AtomicU64::new(0),
            open: Mutex::default(),
            answering: Arc::new(Semaphore::new(UNDER_WAY)),
        });
        // Two tasks: the first waits while the hub is behind, and answers must not wait with it.
        tokio::spawn(hear_questions(Arc::downgrade(&asking), questions, stream));
        tokio::spawn(hear_answers(Arc::downgrade(&asking), answers));
        let leased = asking.shared.leased.subscribe();
        tokio::spawn(say_hello(Arc::downgrade(&asking), leased));
        asking
    }

    /// Tells the others not to wait for this node any more: it stops, and its lease goes on for a while.
    pub(super) fn say_goodbye(&self) {
        let goodbye = word(self.shared.node, TELLING, GOODBYE);
        self.channels.publish(self.shared.keys.questions(), goodbye);
    }

    /// Asks all other nodes, and waits until all that live have answered, or so long. Those that had nothing to say are
    /// not among the answers.
    pub(super) async fn ask(&self, text: &str, within: Duration) -> Result<Vec<String>> {
        let connection = self.channels.connection();
        if connection.is_none() {
            return Err(unreachable());
        }
        if within.is_zero() {
            let word = word(self.shared.node, TELLING, text);
            self.channels.publish(self.shared.keys.questions(), word);
            return Ok(Vec::new());
        }
        let (asked, done) = self.open(self.shared.others.living())?;
        let word = word(self.shared.node, asked.number, text);
        self.channels.publish(self.shared.keys.questions(), word);
        if let Some(done) = done {
            // Whoever has not answered by then is left out.
            let _ = tokio::time::timeout(within, done).await;
        }
        let Some(waited) = self.take(asked.number) else {
            return Ok(Vec::new());
        };
        // What was said around the loss of a connection may have come to nobody.
        if !waited.awaited.is_empty() && self.channels.connection() != connection {
            return Err(unreachable());
        }
        Ok(waited.answers)
    }

    /// Notes a question; what it answers is ready once all of these have answered, at once if that is nobody.
    fn open(&self, awaited: HashSet<NodeId>) -> Result<(Asked<'_>, Option<oneshot::Receiver<()>>)> {
        let mut open = self.lock();
        if open.questions.len() >= UNDER_WAY {
            return Err(Error::unavailable(
                "too many questions to other nodes wait for answers; try again",
            ));
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (done, answered) = oneshot::channel();
        let answered = (!awaited.is_empty()).then_some(answered);
        let waiting = Waiting {
            awaited,
            answers: Vec::new(),
            done: Some(done),
        };
        open.questions.insert(number, waiting);
        let asked = Asked {
            asking: self,
            number,
        };
        Ok((asked, answered))
    }

    /// Notes what a node answered.
    fn note(&self, node: NodeId, number: u64, text: &str) {
        let mut open = self.lock();
        let bytes = open.bytes + text.len();
        let Some(waiting) = open.questions.get_mut(&number) else {
            tracing::debug!(%node, "a node answered too late");
            return;
        };
        waiting.waits_no_more_for(node);
        if text.is_empty() {
            return;
        }
        if bytes > ANSWERS {
            log_rarely!(warn, %node, "an answer is let go of: too many wait to be read");
            return;
        }
        waiting.answers.push(text.to_owned());
        open.bytes = bytes;
    }

    /// Waits no more for what a node that stops might answer.
    fn part(&self, node: NodeId) {
        self.shared.others.part(node);
        for waiting in self.lock().questions.values_mut() {
            waiting.waits_no_more_for(node);
        }
    }

    fn take(&self, number: u64) -> Option<Waiting> {
        let mut open = self.lock();
        let waiting = open.questions.remove(&number)?;
        open.bytes -= waiting.answers.iter().map(String::len).sum::<usize>();
        Some(waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a question answered, and publishes the answer when it is there.
    async fn put(
        self: &Arc<Self>,
        asker: NodeId,
        number: u64,
        text: &str,
        stream: &mpsc::Sender<Delivery>,
    ) {
        let (answer, answered) = oneshot::channel();
        let Ok(permit) = self.answering.clone().try_acquire_owned() else {
            log_rarely!(warn, "other nodes ask more than can be answered");
            return self.answer(asker, number, "");
        };
        let question = PeerRequest {
            text: text.to_owned(),
            answer,
        };
        // Nobody may be listening any more: then there is no answer.
        let _ = stream.send(Delivery::Request(question)).await;
        let asking = Arc::downgrade(self);
        tokio::spawn(async move {
            let _permit = permit;
            let text = answered.await.unwrap_or_default();
            if let Some(asking) = asking.upgrade() {
                asking.answer(asker, number, &text);
            }
        });
    }

    fn answer(&self, asker: NodeId, number: u64, text: &str) {
        if number == TELLING {
            return;
        }
        let word = word(self.shared.node, number, text);
        self.channels.publish(self.shared.keys.answers(asker), word);
    }
}

/// Now, and whenever this node has taken its lease again, the others hear at once that it is to be waited for, not when they renew
/// theirs.
async fn say_hello(asking: Weak<Asking>, mut leased: watch::Receiver<()>) {
    while let Some(asking) = asking.upgrade() {
        let hello = word(asking.shared.node, TELLING, HELLO);
        asking
            .channels
            .publish(asking.shared.keys.questions(), hello);
        drop(asking);
        if leased.changed().await.is_err() {
            return;
        }
    }
}

async fn hear_questions(
    asking: Weak<Asking>,
    mut questions: PubSubMessages,
    stream: mpsc::Sender<Delivery>,
) {
    while let Some((_, word)) = questions.recv().await {
        let Some(asking) = asking.upgrade() else {
            return;
        };
        match read(&word) {
            Some((asker, ..)) if asker == asking.shared.node => {}
            Some((asker, TELLING, HELLO)) => asking.shared.others.meet(asker),
            Some((asker, TELLING, GOODBYE)) => asking.part(asker),
            Some((asker, number, text)) => asking.put(asker, number, text, &stream).await,
            None => log_rarely!(warn, "something else than a question was published"),
        }
    }
}

async fn hear_answers(asking: Weak<Asking>, mut answers: PubSubMessages) {
    while let Some((_, word)) = answers.recv().await {
        let Some(asking) = asking.upgrade() else {
            return;
        };
        match read(&word) {
            Some((node, number, text)) => asking.note(node, number, text),
            None => log_rarely!(warn, "something else than an answer was published"),
        }
    }
}

fn word(node: impl Display, number: u64, text: &str) -> Vec<u8> {
    format!("{node} {number}\n{text}").into_bytes()
}

fn read(word: &[u8]) -> Option<(NodeId, u64, &str)> {
    let (line, text) = std::str::from_utf8(word).ok()?.split_once('\n')?;
    let (node, number) = line.split_once(' ')?;
    Some((node.parse().ok()?, number.parse().ok()?, text))
}

fn unreachable() -> Error {
    Error::unavailable("other nodes cannot be reached now; try again")
}
