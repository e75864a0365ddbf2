//! The channels between nodes: plain publish and subscribe over a connection of their own.
//!
//! Redis Cluster carries plain channels to all of its nodes, so any of them will do. Nothing here is kept by Redis: what is
//! published while a node is cut off does not come to it. What this node publishes while it is cut off waits, and is
//! published once the others have had time to listen again. What was under way when a connection was lost may have come or
//! not; it is not repeated, because nobody could tell.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use redis::{RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{
    Shared,
    inflow::{Inflow, Push},
    line,
};
use crate::{
    backend::{PubSub, PubSubMessages},
    repeat::{Backoff, LogRate, log_at, log_rarely},
};

/// How often Redis is asked for a sign of life.
const PING: Duration = Duration::from_secs(1);

/// How long the other nodes have to listen again after Redis was away, and how often it is looked whether they do.
const RETURN: Duration = Duration::from_millis(600);
const LOOK: Duration = Duration::from_millis(20);

/// Bytes that may wait to be published, what a word costs besides its text, and how many are published together.
const WAITING: usize = 16 << 20;
const OVERHEAD: usize = 128;
const BATCH: usize = 256;

/// Words of one channel that may wait for whoever listens.
const HEARD: usize = 1024;

/// What the task is asked to do.
enum Order {
    Publish(Word),
    Subscribe(String, mpsc::Sender<(String, Vec<u8>)>, oneshot::Sender<()>),
    Unsubscribe(String),
    /// Publish what waits and end.
    Close,
}

struct Word {
    channel: String,
    text: Vec<u8>,
}

impl Word {
    fn cost(&self) -> usize {
        self.channel.len() + self.text.len() + OVERHEAD
    }
}

/// The channels, for whoever uses them; they end when the last has let go.
pub(super) struct RedisChannels {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    up: AtomicBool,
    /// Connections so far.
    connections: AtomicU64,
    /// Bytes that wait to be published.
    waiting: AtomicUsize,
    /// By reason, as in [`Loss::ALL`].
    dropped: [AtomicU64; Loss::ALL.len()],
    lines: LogRate,
}

impl State {
    fn note_dropped(&self, count: usize, why: Loss) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.dropped[why as usize].fetch_add(count, Ordering::Relaxed);
        let reason = why.as_str();
        log_at!(
            self.lines,
            warn,
            count,
            reason,
            "dropped messages to or from other nodes"
        );
    }
}

/// Why a word is dropped.
#[derive(Clone, Copy)]
enum Loss {
    /// Too many bytes wait to be published.
    Full,
    /// More came than could be taken.
    Overrun,
    /// Redis answered with an error.
    Refused,
    /// The connection was lost while it was under way.
    Lost,
}

impl Loss {
    const ALL: [Self; 4] = [Self::Full, Self::Overrun, Self::Refused, Self::Lost];

    /// The word for logs and metrics.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Overrun => "overrun",
            Self::Refused => "refused",
            Self::Lost => "lost",
        }
    }
}

impl RedisChannels {
    /// Channels over where everything else is.
    pub(super) fn open(shared: Arc<Shared>) -> Self {
        let (orders, ordered) = mpsc::unbounded_channel();
        let state = Arc::<State>::default();
        let carrier = Carrier {
            shared: shared.clone(),
            orders: ordered,
            state: state.clone(),
            listeners: HashMap::new(),
            listened: Vec::new(),
            waiting: VecDeque::new(),
            again: line::AGAIN,
            wait: None,
        };
        tokio::spawn(carrier.run());
        Self {
            shared,
            orders,
            state,
        }
    }

    /// Publishes what waits, if Redis is there, and hears nothing more.
    pub(super) fn close(&self) {
        let _ = self.orders.send(Order::Close);
    }

    /// Which connection this is, counted from the first; `None` while there is none.
    pub(super) fn connection(&self) -> Option<u64> {
        let up = self.state.up.load(Ordering::Acquire);
        up.then(|| self.state.connections.load(Ordering::Acquire))
    }
}

impl PubSub for RedisChannels {
    fn publish(&self, channel: String, text: Vec<u8>) {
        let word = Word { channel, text };
        let cost = word.cost();
        if self.state.waiting.fetch_add(cost, Ordering::AcqRel) + cost > WAITING {
            self.state.waiting.fetch_sub(cost, Ordering::AcqRel);
            return self.state.note_dropped(1, Loss::Full);
        }
        // The task ends after this.
        let _ = self.orders.send(Order::Publish(word));
    }

    fn subscribe(&self, channel: String) -> BoxFuture<'static, PubSubMessages> {
        let (sender, words) = mpsc::channel(HEARD);
        let (done, listened) = oneshot::channel();
        let _ = self.orders.send(Order::Subscribe(channel, sender, done));
        Box::pin(async move {
            let _ = listened.await;
            words
        })
    }

    fn unsubscribe(&self, channel: String) {
        let _ = self.orders.send(Order::Unsubscribe(channel));
    }

    fn node_count(&self) -> usize {
        match self.connection() {
            Some(_) => 1 + self.shared.others.count(),
            None => 1,
        }
    }

    fn prefix(&self) -> String {
        self.shared.keys.prefix().to_owned()
    }

    fn dropped(&self) -> Vec<(&'static str, u64)> {
        let count = |why: Loss| self.state.dropped[why as usize].load(Ordering::Relaxed);
        Loss::ALL.map(|why| (why.as_str(), count(why))).into()
    }
}

/// Why a connection is not used any more.
enum End {
    Lost,
    Closed,
}

impl From<RedisError> for End {
    fn from(error: RedisError) -> Self {
        tracing::debug!(%error, "the channels between nodes broke off");
        Self::Lost
    }
}

/// The task behind the channels.
struct Carrier {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedReceiver<Order>,
    state: Arc<State>,
    listeners: HashMap<String, mpsc::Sender<(String, Vec<u8>)>>,
    /// Who waits until a channel is listened to; told by dropping these.
    listened: Vec<oneshot::Sender<()>>,
    /// What is to be published, oldest first.
    waiting: VecDeque<Word>,
    /// How long to wait before the next attempt, until a connection has lasted for a moment.
    again: Backoff,
    wait: Option<Duration>,
}

impl Carrier {
    /// Works until nobody can give orders any more.
    async fn run(mut self) {
        let mut returning = false;
        loop {
            let inflow = Inflow::new(1);
            let Some(connection) = self.connect(&inflow).await else {
                return;
            };
            if returning {
                log_rarely!(
                    info,
                    "connected again to what carries messages between nodes"
                );
            }
            let end = self.carry(connection, inflow, returning).await;
            self.state.up.store(false, Ordering::Release);
            if matches!(end, Err(End::Closed)) {
                return;
            }
            returning = true;
            log_rarely!(
                warn,
                "lost the connection that carries messages between nodes"
            );
        }
    }

    /// Connects, however long that takes; `None` if it is to end.
    async fn connect(&mut self, inflow: &Inflow) -> Option<MultiplexedConnection> {
        let mut attempt = 0;
        loop {
            if let Some(wait) = self.wait {
                let mut pause = std::pin::pin!(tokio::time::sleep(wait));
                loop {
                    tokio::select! {
                        () = &mut pause => break,
                        order = self.orders.recv() => self.note(order?)?,
                    }
                }
            }
            // Until a connection has lasted.
            self.wait = Some(self.again.next_wait());
            let site = self.shared.site.clone();
            let pushes = inflow.sender(String::new());
            let mut connecting =
                std::pin::pin!(async move { line::open(&site.any(attempt).await?, pushes).await });
            let connected = loop {
                tokio::select! {
                    connected = &mut connecting => break connected,
                    order = self.orders.recv() => self.note(order?)?,
                }
            };
            match connected {
                Ok(connection) => return Some(connection),
                Err(error) => tracing::debug!(%error, "no connection to the other nodes"),
            }
            self.listened.clear();
            attempt += 1;
        }
    }

    /// Notes an order for when there is a connection; `None` if it is to end.
    fn note(&mut self, order: Order) -> Option<()> {
        match order {
            Order::Publish(word) => self.waiting.push_back(word),
            Order::Subscribe(channel, sender, listened) => {
                self.listeners.insert(channel, sender);
                self.listened.push(listened);
            }
            Order::Unsubscribe(channel) => {
                self.listeners.remove(&channel);
            }
            Order::Close => return None,
        }
        Some(())
    }

    /// Carries words over one connection, until it is lost.
    async fn carry(
        &mut self,
        mut connection: MultiplexedConnection,
        mut inflow: Inflow,
        returning: bool,
    ) -> Result<(), End> {
        let channels: Vec<_> = self.listeners.keys().cloned().collect();
        if !channels.is_empty() {
            connection.subscribe(&channels).await?;
        }
        self.listened.clear();
        let begun = Instant::now();
        let mut returning = returning.then_some(begun);
        let mut orders = Vec::new();
        let (mut ping, mut look) = (interval(PING), interval(LOOK));
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if returning.is_none() {
                self.publish(&mut connection).await?;
            }
            tokio::select! {
                push = inflow.recv() => match push {
                    Some(Push::Published(channel, word)) => self.hear(channel, word, &mut connection).await?,
                    Some(Push::Lost) => self.state.note_dropped(1, Loss::Overrun),
                    Some(Push::Over) | None => return Err(End::Lost),
                },
                count = self.orders.recv_many(&mut orders, BATCH) => {
                    if count == 0 {
                        return Err(End::Closed);
                    }
                    self.answer(&mut orders, &mut connection).await?;
                }
                _ = look.tick(), if returning.is_some() => {
                    let over = returning.is_some_and(|since| since.elapsed() > RETURN);
                    if over || self.others_listen(&mut connection).await {
                        returning = None;
                    }
                }
                _ = ping.tick() => {
                    // An answer is a sign of life even if it is an error: with a full disk Redis answers PING with one.
                    line::exchange(&mut connection, &[redis::cmd("PING")]).await?;
                    if begun.elapsed() >= PING {
                        self.wait = None;
                        self.again.reset();
                    }
                }
            }
        }
    }

    /// Publishes what waits, and whatever is ordered meanwhile.
    async fn publish(&mut self, connection: &mut MultiplexedConnection) -> Result<(), End> {
        if !self.state.up.load(Ordering::Acquire) {
            self.state.connections.fetch_add(1, Ordering::AcqRel);
            self.state.up.store(true, Ordering::Release);
        }
        while !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH);
            let mut pipeline = redis::pipe();
            let mut cost = 0;
            for word in self.waiting.drain(..count) {
                cost += word.cost();
                let publish = pipeline.cmd("PUBLISH");
                publish.arg(word.channel).arg(word.text);
            }
            let answers = connection.send_packed_commands(&pipeline, 0, count).await;
            self.state.waiting.fetch_sub(cost, Ordering::AcqRel);
            match answers {
                Ok(answers) => {
                    let refused = answers
                        .into_iter()
                        .filter_map(|it| it.extract_error().err());
                    for error in refused {
                        tracing::debug!(%error, "Redis refused a word to other nodes");
                        self.state.note_dropped(1, Loss::Refused);
                    }
                }
                Err(error) => {
                    self.state.note_dropped(count, Loss::Lost);
                    return Err(error.into());
                }
            }
        }
        Ok(())
    }

    async fn answer(
        &mut self,
        orders: &mut Vec<Order>,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), End> {
        let (mut changed, mut closing) = (Vec::new(), false);
        // All are noted before Redis is told: if the connection is lost over that, the next one begins with them.
        for order in orders.drain(..) {
            if let Order::Subscribe(channel, ..) | Order::Unsubscribe(channel) = &order {
                changed.push(channel.clone());
            }
            closing |= self.note(order).is_none();
        }
        for channel in changed {
            match self.listeners.contains_key(&channel) {
                true => connection.subscribe(channel).await?,
                false => connection.unsubscribe(channel).await?,
            }
        }
        self.listened.clear();
        if closing {
            self.publish(connection).await?;
            return Err(End::Closed);
        }
        Ok(())
    }

    /// ManualClock on what was said.
    async fn hear(
        &mut self,
        channel: String,
        word: Vec<u8>,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), End> {
        let Some(listener) = self.listeners.get(&channel) else {
            return Ok(());
        };
        if let Err(gone) = listener.send((channel, word)).await {
            let (channel, _) = gone.0;
            self.listeners.remove(&channel);
            connection.unsubscribe(&channel).await?;
        }
        Ok(())
    }

    /// Whether all nodes that are known to live listen. A node of a Cluster knows only of its own listeners.
    async fn others_listen(&self, connection: &mut MultiplexedConnection) -> bool {
        let mut ask = redis::cmd("PUBSUB");
        ask.arg("NUMSUB").arg(self.shared.keys.questions());
        // If it cannot be told, the time decides.
        let (_, count): (String, usize) = ask.query_async(connection).await.unwrap_or_default();
        let others = self.shared.others.count();
        others > 0 && count > others
    }
}
