//! Opens a log of each kind with a clock that a test controls, and makes drafts for it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::value::RawValue;
use tempfile::TempDir;

use super::LogUnderTest;
use crate::{
    backend::{
        Appended, Bus, Clock, DEFAULT_IDEMPOTENCY_WINDOW, DEFAULT_OUTBOX_EVENTS,
        DEFAULT_SESSION_WINDOW, Deliveries, Delivery, Draft, LocalBus, MessageEntries, Page,
        PageSize, Range, Retention, RetentionPolicy, Synchronous, memory,
        redis::{
            RedisConfig,
            testing::{Cluster, Server, following},
        },
        sqlite,
    },
    model::{
        ConnectionId, EventName, Message, MessageId, Namespace, Offset, RoomKey, RoomName, Seq,
        Timestamp,
    },
};

/// A clock that stands still until a test advances it.
#[derive(Clone)]
pub(in crate::backend) struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    pub(in crate::backend) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_711_000_000_000)))
    }

    pub(in crate::backend) fn clock(&self) -> Clock {
        let clock = self.0.clone();
        Arc::new(move || Timestamp(clock.load(Ordering::SeqCst)).into())
    }

    pub(in crate::backend) fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    pub(in crate::backend) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    pub(in crate::backend) fn turn_back(&self, by: Duration) {
        self.0.fetch_sub(by.as_millis() as u64, Ordering::SeqCst);
    }
}

/// A log under test, with its bus, deliveries and clock.
pub(in crate::backend) struct Fixture {
    pub(in crate::backend) log: Arc<dyn LogUnderTest>,
    pub(in crate::backend) bus: Arc<dyn Bus>,
    pub(in crate::backend) deliveries: Deliveries,
    pub(in crate::backend) clock: ManualClock,
    /// The offsets of the messages sent so far, in a log whose offsets have gaps.
    offsets: Option<Mutex<Vec<u64>>>,
    _folder: Option<TempDir>,
    _server: Option<Server>,
}

/// Which implementation, and for the embedded log how much of it is cached.
#[derive(Clone, Copy)]
pub(in crate::backend) enum LogKind {
    Memory,
    /// Every read queries the database.
    Cold,
    /// Some reads do.
    Warm,
    /// Most reads are served from the hot cache.
    Hot,
    /// A Redis of its own.
    Redis,
    /// The Redis Cluster with these nodes, flushed.
    Cluster(&'static str),
}

impl LogKind {
    pub(in crate::backend) async fn open(self, retention: Retention) -> Fixture {
        self.open_with(retention, DEFAULT_OUTBOX_EVENTS).await
    }

    /// As [`open`](Self::open), with an outbox that keeps so many events.
    pub(in crate::backend) async fn open_with(
        self,
        retention: Retention,
        outbox_events: usize,
    ) -> Fixture {
        let hot_bytes = match self {
            LogKind::Memory => return open_memory(retention, outbox_events),
            LogKind::Redis => {
                let server = Server::start().await;
                let url = server.url();
                return open_redis(url, (retention, outbox_events), Some(server)).await;
            }
            LogKind::Cluster(urls) => {
                Cluster::empty(urls).await;
                return open_redis(urls.to_owned(), (retention, outbox_events), None).await;
            }
            LogKind::Cold => 0,
            LogKind::Warm => 20_000,
            LogKind::Hot => 1 << 30,
        };
        let clock = ManualClock::new();
        let folder = tempfile::tempdir().unwrap();
        let config = sqlite::SqliteConfig {
            hot_bytes,
            retention,
            outbox_events,
            synchronous: Synchronous::Off,
            ..sqlite::SqliteConfig::new(folder.path())
        };
        let (log, bus, deliveries) = sqlite::tests::open(config, clock.clock());
        Fixture {
            log,
            bus,
            deliveries,
            clock,
            offsets: None,
            _folder: Some(folder),
            _server: None,
        }
    }
}

fn open_memory(retention: Retention, outbox_events: usize) -> Fixture {
    let clock = ManualClock::new();
    let config = memory::MemoryConfig {
        retention,
        idempotency: DEFAULT_IDEMPOTENCY_WINDOW,
        session_window: DEFAULT_SESSION_WINDOW,
        outbox_events,
    };
    let (log, stream, deliveries) = memory::open_with(config, clock.clock());
    Fixture {
        log,
        bus: Arc::new(LocalBus::new(stream)),
        deliveries,
        clock,
        offsets: None,
        _folder: None,
        _server: None,
    }
}

async fn open_redis(
    url: String,
    (retention, outbox_events): (Retention, usize),
    server: Option<Server>,
) -> Fixture {
    let clock = ManualClock::new();
    let config = RedisConfig {
        retention,
        outbox_events,
        ..RedisConfig::new(url)
    };
    let (log, bus, deliveries) = following(config, clock.clock()).await;
    Fixture {
        log,
        bus,
        deliveries,
        clock,
        offsets: server.is_none().then(Mutex::default),
        _folder: None,
        _server: server,
    }
}

impl Fixture {
    /// Accepts a draft and waits until it is stored.
    pub(in crate::backend) async fn send(&self, draft: Draft) -> Appended {
        let room = draft.room.clone();
        let receipt = self.log.append(draft).await.unwrap();
        let appended = receipt.wait().await.unwrap();
        if let Some(offsets) = &self.offsets {
            let page = self.log.read(&room, Range::Last, PageSize::NOTHING).await;
            offsets.lock().unwrap().push(page.unwrap().offset.0);
        }
        appended
    }

    /// The offset of the `nth` message sent.
    pub(in crate::backend) fn at(&self, nth: u64) -> Offset {
        let Some(offsets) = &self.offsets else {
            return Offset(nth);
        };
        let sent = offsets.lock().unwrap();
        let before = (nth as usize).checked_sub(1);
        Offset(before.map_or(0, |nth| sent.get(nth).copied().unwrap_or(u64::MAX)))
    }

    /// How many messages were sent up to an offset.
    pub(in crate::backend) fn nth(&self, offset: Offset) -> u64 {
        let Some(offsets) = &self.offsets else {
            return offset.0;
        };
        let sent = offsets.lock().unwrap();
        sent.partition_point(|sent| *sent <= offset.0) as u64
    }

    pub(in crate::backend) async fn page(&self, room: &str, range: Range, messages: usize) -> Page {
        let size = PageSize {
            messages,
            bytes: usize::MAX,
        };
        self.log.read(&key("/", room), range, size).await.unwrap()
    }

    /// The numbers of all stored messages of a room.
    pub(in crate::backend) async fn stored_seqs(&self, room: &str) -> Vec<u64> {
        seqs(&self.page(room, Range::After(Seq(0)), usize::MAX).await)
    }

    /// The next delivered message, if there is one already.
    pub(in crate::backend) fn delivered(&mut self) -> Option<(Arc<Message>, Option<ConnectionId>)> {
        match self.next_now() {
            Some(Delivery::Message(message)) => {
                let except = message.except;
                Some((message, except))
            }
            Some(other) => panic!("expected a message, got {other:?}"),
            None => None,
        }
    }

    /// The next delivery, if there is one already. What other nodes do is skipped.
    pub(in crate::backend) fn next_now(&mut self) -> Option<Delivery> {
        loop {
            match self.deliveries.try_recv() {
                Ok(Delivery::Remote(..) | Delivery::NodeGone(_)) => {}
                next => return next.ok(),
            }
        }
    }

    /// Waits for the next delivery. What other nodes do is skipped.
    pub(in crate::backend) async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.deliveries.recv().await {
                Some(Delivery::Remote(..) | Delivery::NodeGone(_)) => {}
                next => return next,
            }
        }
    }
}

pub(in crate::backend) fn key(namespace: &str, room: &str) -> RoomKey {
    RoomKey {
        namespace: Namespace::parse(namespace).unwrap(),
        room: RoomName::parse(room).unwrap(),
    }
}

/// A draft to a room of the default namespace.
pub(in crate::backend) fn draft(room: &str, data: &str) -> Draft {
    Draft {
        room: key("/", room),
        id: None,
        event: EventName::message(),
        from: None,
        data: RawValue::from_string(data.to_owned()).unwrap().into(),
        except: None,
        entries: MessageEntries::default(),
    }
}

/// A draft whose sender chose its id.
pub(in crate::backend) fn named(room: &str, id: &str) -> Draft {
    Draft {
        id: Some(MessageId::parse(id).unwrap()),
        ..draft(room, "1")
    }
}

pub(in crate::backend) fn seqs(page: &Page) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq.0).collect()
}

pub(in crate::backend) fn policy(messages: u64, age: Duration) -> RetentionPolicy {
    RetentionPolicy { messages, age }
}
