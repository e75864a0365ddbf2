//! The promises of [`Log`], [`Marks`] and [`Sessions`] as tests that every implementation passes: what is said in the traits'
//! documentation, and nothing that only one of them does.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::value::RawValue;
use tempfile::TempDir;

use super::*;
use crate::{
    backend::redis::{
        RedisConfig,
        testing::{Cluster, Server, following},
    },
    model::{Namespace, RoomName},
};

mod appending;
mod keeping;
mod marking;
mod missing;
mod paging;
pub(super) mod sessions;
mod unwritten;

/// A log that can be told to take away at once what it would take away by and by.
#[async_trait]
pub(super) trait LogUnderTest: Log + ReadMarkers + SessionStore {
    async fn trim_all(&self, now: Timestamp);

    /// How many rows, keys or entries are kept.
    async fn stored(&self) -> usize;
}

#[async_trait]
impl LogUnderTest for memory::MemoryLog {
    async fn trim_all(&self, now: Timestamp) {
        self.trim(now.into());
    }

    async fn stored(&self) -> usize {
        self.entries()
    }
}

/// A clock that stands still until it is moved.
#[derive(Clone)]
pub(super) struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_711_000_000_000)))
    }

    pub(super) fn clock(&self) -> Clock {
        let hands = self.0.clone();
        Arc::new(move || Timestamp(hands.load(Ordering::SeqCst)).into())
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    pub(super) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    pub(super) fn turn_back(&self, by: Duration) {
        self.0.fetch_sub(by.as_millis() as u64, Ordering::SeqCst);
    }
}

/// One log under test.
pub(super) struct Rig {
    pub(super) log: Arc<dyn LogUnderTest>,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) deliveries: Deliveries,
    pub(super) hands: ManualClock,
    /// The offsets of what was sent, where they skip.
    skipping: Option<Mutex<Vec<u64>>>,
    _folder: Option<TempDir>,
    _server: Option<Server>,
}

/// Which implementation, and for the embedded one how much of it is in memory.
#[derive(Clone, Copy)]
enum Kind {
    Memory,
    /// Every read comes from the database.
    Cold,
    /// Some do.
    Warm,
    /// Most come from memory.
    Hot,
    /// A Redis of its own.
    Redis,
    /// The Cluster with these nodes, emptied.
    Cluster(&'static str),
}

impl Kind {
    async fn rig(self, retention: Retention) -> Rig {
        let hot_bytes = match self {
            Kind::Memory => return memory_rig(retention),
            Kind::Redis => {
                let server = Server::start().await;
                let url = server.url();
                return redis_rig(url, retention, Some(server)).await;
            }
            Kind::Cluster(urls) => {
                Cluster::empty(urls).await;
                return redis_rig(urls.to_owned(), retention, None).await;
            }
            Kind::Cold => 0,
            Kind::Warm => 20_000,
            Kind::Hot => 1 << 30,
        };
        let hands = ManualClock::new();
        let folder = tempfile::tempdir().unwrap();
        let config = sqlite::SqliteConfig {
            hot_bytes,
            retention,
            synchronous: crate::backend::Synchronous::Off,
            ..sqlite::SqliteConfig::new(folder.path())
        };
        let (log, stream, deliveries) = sqlite::tests::open(config, hands.clock());
        Rig {
            log,
            bus: Arc::new(LocalBus::new(stream)),
            deliveries,
            hands,
            skipping: None,
            _folder: Some(folder),
            _server: None,
        }
    }
}

fn memory_rig(retention: Retention) -> Rig {
    let hands = ManualClock::new();
    let config = memory::MemoryConfig {
        retention,
        idempotency: DEFAULT_IDEMPOTENCY_WINDOW,
        session_window: DEFAULT_SESSION_WINDOW,
    };
    let (log, stream, deliveries) = memory::open_with(config, hands.clock());
    Rig {
        log,
        bus: Arc::new(LocalBus::new(stream)),
        deliveries,
        hands,
        skipping: None,
        _folder: None,
        _server: None,
    }
}

async fn redis_rig(url: String, retention: Retention, server: Option<Server>) -> Rig {
    let hands = ManualClock::new();
    let config = RedisConfig {
        retention,
        ..RedisConfig::new(url)
    };
    let (log, bus, deliveries) = following(config, hands.clock()).await;
    Rig {
        log,
        bus,
        deliveries,
        hands,
        skipping: server.is_none().then(Mutex::default),
        _folder: None,
        _server: server,
    }
}

impl Rig {
    /// Accepts a draft and waits until it is stored.
    pub(super) async fn send(&self, draft: Draft) -> Appended {
        let room = draft.room.clone();
        let receipt = self.log.append(draft).await.unwrap();
        let appended = receipt.wait().await.unwrap();
        if let Some(skipping) = &self.skipping {
            let page = self.log.read(&room, Range::Last, PageSize::NOTHING).await;
            skipping.lock().unwrap().push(page.unwrap().offset.0);
        }
        appended
    }

    /// The offset of the message that was sent so many-th.
    pub(super) fn at(&self, nth: u64) -> Offset {
        let Some(skipping) = &self.skipping else {
            return Offset(nth);
        };
        let sent = skipping.lock().unwrap();
        let before = (nth as usize).checked_sub(1);
        Offset(before.map_or(0, |nth| sent.get(nth).copied().unwrap_or(u64::MAX)))
    }

    /// How many were sent up to an offset.
    pub(super) fn nth(&self, offset: Offset) -> u64 {
        let Some(skipping) = &self.skipping else {
            return offset.0;
        };
        let sent = skipping.lock().unwrap();
        sent.partition_point(|sent| *sent <= offset.0) as u64
    }

    pub(super) async fn page(&self, room: &str, range: Range, messages: usize) -> Page {
        let size = PageSize {
            messages,
            bytes: usize::MAX,
        };
        self.log.read(&key("/", room), range, size).await.unwrap()
    }

    /// The numbers of everything that is kept of a room.
    pub(super) async fn kept(&self, room: &str) -> Vec<u64> {
        seqs(&self.page(room, Range::After(Seq(0)), usize::MAX).await)
    }

    /// The next message on its way, which must be there already.
    pub(super) fn delivered(&mut self) -> Option<(Arc<Message>, Option<ConnectionId>)> {
        match self.next_now() {
            Some(Delivery::Message(message)) => {
                let except = message.except;
                Some((message, except))
            }
            Some(other) => panic!("{other:?} is no message"),
            None => None,
        }
    }

    /// The next delivery, if it is there already. What other nodes have is not what is tested here.
    pub(super) fn next_now(&mut self) -> Option<Delivery> {
        loop {
            match self.deliveries.try_recv() {
                Ok(Delivery::Remote(..)) => {}
                next => return next.ok(),
            }
        }
    }

    /// The next delivery, once it comes.
    pub(super) async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.deliveries.recv().await {
                Some(Delivery::Remote(..)) => {}
                next => return next,
            }
        }
    }
}

pub(super) fn key(namespace: &str, room: &str) -> RoomKey {
    RoomKey {
        namespace: Namespace::parse(namespace).unwrap(),
        room: RoomName::parse(room).unwrap(),
    }
}

/// A draft to a room of the default namespace.
pub(super) fn draft(room: &str, data: &str) -> Draft {
    Draft {
        room: key("/", room),
        id: None,
        event: EventName::message(),
        from: None,
        data: RawValue::from_string(data.to_owned()).unwrap().into(),
        except: None,
    }
}

/// A draft whose sender chose its id.
pub(super) fn named(room: &str, id: &str) -> Draft {
    Draft {
        id: Some(MessageId::parse(id).unwrap()),
        ..draft(room, "1")
    }
}

pub(super) fn seqs(page: &Page) -> Vec<u64> {
    page.messages.iter().map(|message| message.seq.0).collect()
}

pub(super) fn policy(messages: u64, age: Duration) -> RetentionPolicy {
    RetentionPolicy { messages, age }
}

/// Makes one test of each function for each kind of log.
macro_rules! suite {
    (@kind $module:ident $kind:ident $($test:path => $name:ident,)*) => {
        mod $module {
            use super::*;
            $(
                #[tokio::test]
                async fn $name() {
                    $test(Kind::$kind).await;
                }
            )*
        }
    };
    ($($from:ident: $($name:ident),* $(,)?;)*) => {
        suite!(@kind in_memory Memory $($($from::$name => $name,)*)*);
        suite!(@kind in_sqlite_cold Cold $($($from::$name => $name,)*)*);
        suite!(@kind in_sqlite_warm Warm $($($from::$name => $name,)*)*);
        suite!(@kind in_sqlite_hot Hot $($($from::$name => $name,)*)*);
        suite!(@kind in_redis Redis $($($from::$name => $name,)*)*);

        // One after another: a Cluster takes seconds to start.
        #[tokio::test]
        async fn in_redis_cluster() {
            let cluster = Cluster::start().await;
            let urls = cluster.urls().leak();
            $($(
                println!("{}", stringify!($name));
                Box::pin($from::$name(Kind::Cluster(urls))).await;
            )*)*
        }
    };
}

suite! {
    appending:
        drafts_are_stored_in_the_order_they_were_accepted,
        offsets_grow_over_all_rooms_of_a_namespace_and_namespaces_are_apart,
        an_id_again_is_answered_with_the_first_result_and_stored_once,
        an_id_is_remembered_when_its_message_is_gone_and_no_longer_than_its_window,
        a_message_is_on_its_way_before_its_receipt_is_settled,
        a_draft_whose_receipt_is_dropped_is_stored,
        everything_about_a_message_comes_back_as_it_was_sent,
        an_event_sent_after_a_settled_append_is_delivered_after_it,
        appends_go_on_when_nobody_takes_the_deliveries_any_more,
        closing_stores_what_was_accepted_and_refuses_the_rest;
    paging:
        a_settled_message_is_seen_by_every_later_read,
        every_page_is_what_a_plain_list_would_give;
    keeping:
        each_room_keeps_the_number_its_first_matching_rule_says,
        a_message_too_old_is_not_shown_even_before_it_is_taken_away,
        a_room_that_keeps_nothing_numbers_and_delivers_all_the_same,
        a_room_over_its_limit_is_trimmed_while_it_is_written,
        a_room_is_forgotten_when_it_was_empty_and_unused_for_a_week,
        times_never_fall_within_a_room;
    marking:
        a_mark_moves_only_forward,
        a_mark_stops_at_the_last_message,
        what_comes_after_a_mark_is_unread_even_when_it_is_no_longer_kept,
        marks_of_users_rooms_and_namespaces_are_apart,
        a_room_never_written_holds_no_mark,
        a_mark_that_was_answered_is_seen_by_every_later_read,
        a_mark_has_its_place_among_the_drafts,
        a_forgotten_room_takes_its_marks_along,
        a_room_whose_messages_are_marked_is_in_use,
        a_mark_is_forgotten_when_it_was_not_set_for_a_month,
        a_mark_is_remembered_as_long_as_its_room_keeps_messages,
        a_closed_log_refuses_marks;
    unwritten:
        asking_about_rooms_that_nobody_wrote_to_stores_nothing,
        a_room_has_the_epoch_that_it_was_first_read_with,
        a_forgotten_room_never_has_an_epoch_again_that_it_had;
    missing:
        what_was_missed_is_what_was_sent_between_two_offsets,
        what_was_missed_can_be_read_in_parts,
        what_is_gone_by_count_makes_earlier_offsets_incomplete,
        what_is_too_old_is_gone_even_before_it_is_taken_away,
        a_room_whose_messages_have_all_gone_knows_up_to_where,
        in_a_room_that_keeps_nothing_every_message_is_gone_at_once,
        nothing_is_missed_in_a_room_never_written,
        a_page_has_the_offset_of_the_last_message,
        the_offset_of_a_namespace_goes_along_with_what_can_be_read_and_is_delivered,
        a_closed_log_tells_nobody_what_was_missed,
        what_was_missed_is_what_a_plain_list_would_give;
    sessions:
        a_saved_session_is_found_as_it_was_saved_last,
        changes_of_a_session_take_effect_in_the_order_they_were_asked,
        a_session_is_found_as_long_as_it_goes_on_and_for_a_window_after_that,
        a_session_saved_after_it_ended_goes_on_again,
        a_forgotten_session_is_not_found_and_ending_an_unknown_one_does_nothing,
        a_user_is_forgotten_with_all_of_its_sessions_and_nobody_else_is,
        a_user_is_taken_out_of_a_room_in_all_of_its_sessions_and_nobody_else_is,
        a_closed_log_refuses_sessions;
}
