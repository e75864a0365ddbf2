//! Streams and polls: what they are given of the past and of the present is all, once, in order, or they are told.

use std::sync::atomic::AtomicUsize;

use super::*;
use crate::{
    auth::Permission,
    backend::{Draft, Log, Missed, Page, Range, Receipt},
    hub::{PollRequest, PollResponse, PollTimeout, PreparedStream, StreamRequest, StreamStart},
    model::{Cursor, Epoch, Position, Seq, Timestamp},
};

fn rooms(names: &[&str]) -> Vec<RoomName> {
    let parse = |name: &&str| RoomName::parse(name).unwrap();
    names.iter().map(parse).collect()
}

fn stream(names: &[&str], since: Option<StreamStart>, history: usize) -> StreamRequest {
    StreamRequest {
        rooms: rooms(names).into_iter().collect(),
        since,
        history,
    }
}

/// Begins a stream; answers its client, where it begins, and the rooms that were reset.
async fn begin(
    hub: &Hub,
    stream: StreamRequest,
) -> (Arc<Connection>, Arc<Client>, Cursor, Vec<String>) {
    let principal = hub.authority().open_principal(Some("eve")).unwrap();
    let beginning = hub
        .prepare_stream(Namespace::root(), principal, stream)
        .await;
    let PreparedStream {
        prepared,
        cursor,
        resets,
    } = beginning.unwrap();
    let (connection, client) = connect(hub, prepared).await;
    let resets = resets.iter().map(|reset| reset.room.to_string());
    (connection, client, cursor, resets.collect())
}

fn after(hub: &Hub, client: &Client) -> Option<StreamStart> {
    let offset = lock(&client.offset).expect("something was received");
    Some(StreamStart::Cursor(hub.cursor(offset, Timestamp::now())))
}

/// A hub whose rooms keep `messages`.
fn hub_that_keeps(messages: u64) -> Hub {
    hub_with(memory::MemoryConfig {
        retention: Retention {
            default: RetentionPolicy {
                messages,
                age: Duration::from_secs(3600),
            },
            ..Retention::default()
        },
        ..memory::MemoryConfig::default()
    })
}

#[tokio::test]
async fn a_stream_begins_now_and_goes_on_behind_what_it_was_given_last_of_any_room() {
    let hub = hub();
    say(&hub, "a", 1).await;
    let (eve, client, ..) = begin(&hub, stream(&["a", "b"], None, 0)).await;
    for (room, number) in [("a", 2), ("b", 3)] {
        say(&hub, room, number).await;
    }
    client.is_given(&["session", "a 2", "b 3"]).await;
    hub.disconnect(&eve);
    for (room, number) in [("b", 4), ("elsewhere", 5), ("a", 6), ("user:eve", 7)] {
        say(&hub, room, number).await;
    }
    let since = after(&hub, &client);
    let (_eve, client, _, resets) = begin(&hub, stream(&["a", "b"], since, 9)).await;
    say(&hub, "b", 8).await;
    let expected = ["session", "b 4", "a 6", "user:eve 7", "b 8"];
    client.is_given(&expected).await;
    assert!(resets.is_empty(), "{resets:?}");
}

#[tokio::test]
async fn the_last_messages_of_several_rooms_come_in_the_order_they_were_stored() {
    let hub = hub();
    for number in 1..=6 {
        say(&hub, if number % 2 == 0 { "a" } else { "b" }, number).await;
    }
    let (_eve, client, cursor, resets) = begin(&hub, stream(&["a", "b"], None, 2)).await;
    say(&hub, "a", 7).await;
    client
        .is_given(&["session", "b 3", "a 4", "b 5", "a 6", "a 7"])
        .await;
    assert!(resets.is_empty(), "{resets:?}");
    assert_eq!(cursor.offset, Offset(2), "the third is the first of these");
}

#[tokio::test]
async fn a_stream_that_was_cut_before_its_first_message_goes_on_where_it_began() {
    let hub = hub();
    let (eve, _, cursor, _) = begin(&hub, stream(&["a"], None, 0)).await;
    hub.disconnect(&eve);
    say(&hub, "a", 1).await;
    let since = Some(StreamStart::Cursor(cursor));
    let (_eve, client, ..) = begin(&hub, stream(&["a"], since, 0)).await;
    client.is_given(&["session", "a 1"]).await;
}

#[tokio::test]
async fn one_room_goes_on_behind_a_position_and_begins_anew_behind_one_that_is_none() {
    let hub = hub();
    for number in 1..=3 {
        say(&hub, "a", number).await;
    }
    let epoch = poll(&hub, None, std::future::pending()).await.epoch;
    let at = |epoch: &Epoch, seq| {
        let epoch = epoch.clone();
        Some(StreamStart::Position(Position {
            epoch,
            seq: Seq(seq),
        }))
    };
    for (since, expected, reset) in [
        (at(&epoch, 0), vec!["session", "a 1", "a 2", "a 3"], false),
        (at(&epoch, 2), vec!["session", "a 3"], false),
        (at(&epoch, 3), vec!["session"], false),
        (at(&epoch, 4), vec!["session", "a 3"], true),
        (at(&Epoch::generate(), 1), vec!["session", "a 3"], true),
    ] {
        let (eve, client, _, resets) = begin(&hub, stream(&["a"], since.clone(), 1)).await;
        client.is_given(&expected).await;
        assert_eq!(!resets.is_empty(), reset, "{since:?}");
        hub.disconnect(&eve);
    }
}

#[tokio::test]
async fn a_stream_that_begins_behind_the_last_of_its_room_is_not_given_later_what_came_before() {
    let hub = hub();
    say(&hub, "a", 1).await;
    say(&hub, "user:eve", 2).await;
    let Position { epoch, seq } = poll(&hub, None, std::future::pending()).await.cursor;
    let since = Some(StreamStart::Position(Position { epoch, seq }));
    let (eve, client, cursor, _) = begin(&hub, stream(&["a"], since, 0)).await;
    client.is_given(&["session"]).await;
    hub.disconnect(&eve);
    let since = Some(StreamStart::Cursor(cursor));
    let (_eve, client, ..) = begin(&hub, stream(&["a"], since, 0)).await;
    say(&hub, "a", 3).await;
    client.is_given(&["session", "a 3"]).await;
}

#[tokio::test]
async fn only_rooms_of_which_something_is_gone_begin_anew() {
    let hub = hub_that_keeps(2);
    say(&hub, "a", 1).await;
    let (eve, client, ..) = begin(&hub, stream(&["a", "b"], None, 0)).await;
    say(&hub, "b", 2).await;
    client.is_given(&["session", "b 2"]).await;
    hub.disconnect(&eve);
    for number in 3..200 {
        say(&hub, "a", number).await;
    }
    say(&hub, "b", 200).await;
    let since = after(&hub, &client);
    let (_eve, client, _, resets) = begin(&hub, stream(&["a", "b"], since, 1)).await;
    assert_eq!(resets, ["a"]);
    client.is_given(&["session", "a 199", "b 200"]).await;
}

#[tokio::test]
async fn a_cursor_of_another_log_or_from_the_future_or_too_old_is_none() {
    let hub = hub();
    say(&hub, "a", 1).await;
    let good = hub.cursor(Offset(0), Timestamp::now());
    let week = Duration::from_secs(7 * 24 * 3600);
    for (what, cursor) in [
        (
            "another log",
            Cursor {
                incarnation: Epoch::generate(),
                ..good.clone()
            },
        ),
        (
            "the future",
            Cursor {
                offset: Offset(99),
                ..good.clone()
            },
        ),
        (
            "too old",
            Cursor {
                ts: Timestamp::now().before(week),
                ..good.clone()
            },
        ),
    ] {
        let since = Some(StreamStart::Cursor(cursor));
        let (eve, client, _, resets) = begin(&hub, stream(&["a"], since, 0)).await;
        assert!(resets.contains(&"a".to_owned()), "{what}");
        client.is_given(&["session"]).await;
        hub.disconnect(&eve);
    }
}

#[tokio::test]
async fn who_may_not_read_the_past_begins_anew_and_may_not_ask_for_it() {
    let hub = hub();
    say(&hub, "a", 1).await;
    let mut principal = hub.authority().open_principal(Some("eve")).unwrap();
    principal.grants = Arc::new(Grants::parse("a=join").unwrap());
    assert!(!principal.may(Permission::History, &rooms(&["a"])[0]));
    let cursor = hub.cursor(Offset(0), Timestamp::now());
    let here = Namespace::root();
    let since = stream(&["a"], Some(StreamStart::Cursor(cursor)), 0);
    let beginning = hub
        .prepare_stream(here.clone(), principal.clone(), since)
        .await;
    assert_eq!(beginning.unwrap().resets.len(), 1);
    for (stream, may) in [
        (stream(&["a"], None, 0), true),
        (stream(&["a"], None, 1), false),
        (stream(&["a", "b"], None, 0), false),
        (stream(&["user:bob"], None, 0), false),
    ] {
        let begun = hub
            .prepare_stream(here.clone(), principal.clone(), stream.clone())
            .await;
        assert_eq!(begun.is_ok(), may, "{stream:?}");
    }
}

/// What a poll of room `a` is answered.
async fn poll(
    hub: &Hub,
    since: Option<&Position>,
    wait: impl Future<Output = ()> + Send + 'static,
) -> PollResponse {
    let principal = hub.authority().open_principal(Some("eve")).unwrap();
    let poll = PollRequest {
        room: RoomName::parse("a").unwrap(),
        since: since.cloned(),
        limit: Some(2),
        at_once: false,
    };
    let visitor = hub.visitor(Namespace::root(), principal).unwrap();
    let wait = || Ok(Box::pin(wait) as PollTimeout);
    hub.poll(&visitor, poll, wait).await.unwrap()
}

fn numbers(polled: &PollResponse) -> Vec<u32> {
    let number = |message: &Arc<crate::model::Message>| message.data.get().parse().unwrap();
    polled.messages.iter().map(number).collect()
}

#[tokio::test]
async fn a_poll_answers_at_once_what_there_is_page_by_page_and_else_waits() {
    let hub = hub();
    let start = poll(&hub, None, std::future::pending()).await.cursor;
    for number in 1..=3 {
        say(&hub, "a", number).await;
    }
    let first = poll(&hub, Some(&start), std::future::pending()).await;
    assert_eq!((numbers(&first), first.seq), (vec![1, 2], Seq(3)));
    let rest = poll(&hub, Some(&first.cursor), std::future::pending()).await;
    assert_eq!((numbers(&rest), rest.reset), (vec![3], false));
    let none = poll(&hub, Some(&rest.cursor), async {}).await;
    assert_eq!((numbers(&none), &none.cursor), (vec![], &rest.cursor));
    let waiting = poll(&hub, Some(&rest.cursor), std::future::pending());
    let mut waiting = std::pin::pin!(waiting);
    assert!(futures_util::poll!(&mut waiting).is_pending());
    say(&hub, "a", 4).await;
    assert_eq!(numbers(&waiting.await), [4]);
    let later = Instant::now() + Duration::from_secs(3);
    hub.rooms().run_due(later);
    assert!(hub.rooms().keys().is_empty(), "nobody watches any more");
}

#[tokio::test]
async fn a_poll_behind_what_is_gone_or_never_was_is_told_and_goes_on_from_the_newest() {
    let hub = hub_that_keeps(3);
    let start = poll(&hub, None, std::future::pending()).await.cursor;
    for number in 1..=200 {
        say(&hub, "a", number).await;
    }
    let future = Position {
        seq: Seq(201),
        ..start.clone()
    };
    let other = Position {
        epoch: Epoch::generate(),
        ..start.clone()
    };
    for since in [start, future, other] {
        let polled = poll(&hub, Some(&since), std::future::pending()).await;
        assert_eq!((numbers(&polled), polled.reset), (vec![199, 200], true));
        assert_eq!(polled.cursor.seq, Seq(200));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_message_is_lost_between_two_polls() {
    let hub = hub();
    let start = poll(&hub, None, std::future::pending()).await.cursor;
    let poller = {
        let hub = hub.clone();
        tokio::spawn(async move {
            let (mut cursor, mut received) = (start, Vec::new());
            while received.len() < 2_000 {
                let polled = poll(&hub, Some(&cursor), std::future::pending()).await;
                received.extend(numbers(&polled));
                cursor = polled.cursor;
            }
            received
        })
    };
    for number in 0..2_000 {
        let message = Publish::new(RoomName::parse("a").unwrap(), "message", &number).unwrap();
        let sent = hub.publish_as(&Namespace::root(), message, None).await;
        sent.unwrap().settled().await.unwrap();
    }
    let received = tokio::time::timeout(Duration::from_secs(60), poller).await;
    assert_eq!(received.unwrap().unwrap(), (0..2_000).collect::<Vec<_>>());
}

/// Counts how often rooms are read.
struct Counting {
    log: Arc<dyn Log>,
    reads: AtomicUsize,
}

#[async_trait::async_trait]
impl Log for Counting {
    async fn append(&self, draft: Draft) -> Result<Receipt> {
        self.log.append(draft).await
    }

    async fn read(&self, room: &RoomKey, range: Range, size: PageSize) -> Result<Page> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.log.read(room, range, size).await
    }

    async fn missed(
        &self,
        room: &RoomKey,
        after: Offset,
        until: Offset,
        size: PageSize,
    ) -> Result<Missed> {
        self.log.missed(room, after, until, size).await
    }

    async fn last_offset(&self, namespace: &Namespace) -> Result<Offset> {
        self.log.last_offset(namespace).await
    }

    fn incarnation(&self) -> Epoch {
        self.log.incarnation()
    }

    async fn ready(&self) -> Result<()> {
        self.log.ready().await
    }

    async fn close(&self) {
        self.log.close().await;
    }
}

#[tokio::test]
async fn a_message_in_a_room_of_many_polls_costs_no_read_of_the_log_and_their_coming_back_none() {
    const POLLS: usize = 1000;
    let (mut backend, deliveries) = memory::open(memory::MemoryConfig::default());
    let log = Arc::new(Counting {
        log: backend.log.clone(),
        reads: AtomicUsize::new(0),
    });
    backend.log = log.clone();
    let hub = hub_over(backend, deliveries, crate::hub::LimitSettings::default());
    let start = poll(&hub, None, std::future::pending()).await.cursor;
    let wait_all = async |since: &Position| {
        let waiting = Arc::new(AtomicUsize::new(0));
        let polls: Vec<_> = (0..POLLS)
            .map(|_| {
                let (hub, since, waiting) = (hub.clone(), since.clone(), waiting.clone());
                let waits = std::future::poll_fn(move |_| {
                    waiting.fetch_add(1, Ordering::Relaxed);
                    std::task::Poll::Pending
                });
                tokio::spawn(async move { poll(&hub, Some(&since), waits).await })
            })
            .collect();
        while waiting.load(Ordering::Relaxed) < POLLS {
            tokio::task::yield_now().await;
        }
        polls
    };
    let polls = wait_all(&start).await;
    assert!(
        log.reads.load(Ordering::Relaxed) <= 2,
        "one for the place, one for all"
    );
    let before = log.reads.load(Ordering::Relaxed);
    say(&hub, "a", 1).await;
    let mut cursor = start;
    for waiting in polls {
        let polled = waiting.await.unwrap();
        assert_eq!(numbers(&polled), [1]);
        cursor = polled.cursor;
    }
    let polls = wait_all(&cursor).await;
    say(&hub, "a", 2).await;
    for waiting in polls {
        assert_eq!(numbers(&waiting.await.unwrap()), [2]);
    }
    assert_eq!(log.reads.load(Ordering::Relaxed), before);
}
