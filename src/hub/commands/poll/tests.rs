//! Polls return every message once, in order, or say that some are missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::{
    backend::{
        Draft, Log, Missed, Page, PageSize, Range, Receipt, Retention, RetentionPolicy, memory,
    },
    error::Result,
    hub::testing::{hub, hub_with_backend, hub_with_memory, publish},
    hub::{Hub, LimitSettings, PollReply, PollRequest, PollTimeout, Publish},
    model::{Epoch, Incarnation, Namespace, Offset, Position, RoomKey, RoomName, Seq},
};

/// A hub whose rooms keep `messages`.
fn hub_that_keeps(messages: u64) -> Hub {
    hub_with_memory(memory::MemoryConfig {
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

/// What a poll of room `a` is answered.
async fn poll(
    hub: &Hub,
    since: Option<&Position>,
    wait: impl Future<Output = ()> + Send + 'static,
) -> PollReply {
    let principal = hub.authority().open_principal(Some("eve")).unwrap();
    let poll = PollRequest {
        room: RoomName::parse("a").unwrap(),
        since: since.cloned(),
        limit: Some(2),
        at_once: false,
    };
    let caller = hub.stateless_caller(Namespace::root(), principal).unwrap();
    let wait = || Ok(Box::pin(wait) as PollTimeout);
    hub.poll(&caller, poll, wait).await.unwrap()
}

fn numbers(polled: &PollReply) -> Vec<u32> {
    let number = |message: &Arc<crate::model::Message>| message.data.get().parse().unwrap();
    polled.messages.iter().map(number).collect()
}

#[tokio::test]
async fn a_poll_answers_at_once_what_there_is_page_by_page_and_else_waits() {
    let hub = hub();
    let start = poll(&hub, None, std::future::pending()).await.cursor;
    for number in 1..=3 {
        publish(&hub, "a", number).await;
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
    publish(&hub, "a", 4).await;
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
        publish(&hub, "a", number).await;
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

    fn incarnation(&self) -> Incarnation {
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
    let hub = hub_with_backend(backend, deliveries, LimitSettings::default());
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
    publish(&hub, "a", 1).await;
    let mut cursor = start;
    for waiting in polls {
        let polled = waiting.await.unwrap();
        assert_eq!(numbers(&polled), [1]);
        cursor = polled.cursor;
    }
    let polls = wait_all(&cursor).await;
    publish(&hub, "a", 2).await;
    for waiting in polls {
        assert_eq!(numbers(&waiting.await.unwrap()), [2]);
    }
    assert_eq!(log.reads.load(Ordering::Relaxed), before);
}
