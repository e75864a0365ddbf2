//! What happens when Redis, or the network to it, fails.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::*;

/// The maximum time until everything works again once Redis is back.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(2);

/// A TCP proxy to Redis that can cut its connections.
struct Proxy {
    port: u16,
    /// Connections are cut when this changes; 0 rejects new ones.
    gate: watch::Sender<u64>,
}

impl Proxy {
    async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (gate, open) = watch::channel(1);
        let target = server.port();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut open = open.clone();
                let now = *open.borrow_and_update();
                tokio::spawn(async move {
                    if now == 0 {
                        return;
                    }
                    let mut redis = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut redis) => {}
                        _ = open.wait_for(|gate| *gate != now) => {}
                    }
                });
            }
        });
        Self { port, gate }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Cuts all connections; accepts new ones if `open`.
    fn cut(&self, open: bool) {
        self.gate.send_modify(|gate| {
            *gate = if open { *gate + 2 } else { 0 };
        });
    }
}

#[tokio::test]
async fn a_burst_of_one_node_is_delivered_completely_and_in_order_to_another() {
    const BURST: usize = 20_000;
    let server = Server::start().await;
    let writer = TestNode::at(server.url(), &[]).await;
    let mut reader = TestNode::at(server.url(), &["r"]).await;
    let log = writer.log.clone();
    let sending = tokio::spawn(async move {
        let mut receipts = Vec::new();
        for nth in 0..BURST {
            receipts.push(log.append(draft("r", &nth.to_string())).await.unwrap());
        }
        for receipt in receipts {
            receipt.wait().await.unwrap();
        }
    });
    let delivered = reader.next_messages(BURST).await;
    for (nth, message) in delivered.iter().enumerate() {
        assert_eq!(
            (message.seq.0, message.data.get()),
            (nth as u64 + 1, &*nth.to_string())
        );
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn nodes_that_write_concurrently_are_delivered_the_same_order() {
    const EACH: usize = 1000;
    let server = Server::start().await;
    let mut one = TestNode::at(server.url(), &["a", "b"]).await;
    let mut two = TestNode::at(server.url(), &["b", "a"]).await;
    let write = |node: &TestNode| {
        let log = node.log.clone();
        tokio::spawn(async move {
            for nth in 0..EACH {
                let receipt = log.append(draft(["a", "b"][nth % 2], "1")).await.unwrap();
                if nth % 10 == 0 {
                    receipt.wait().await.unwrap();
                }
            }
        })
    };
    let writing = [write(&one), write(&two)];
    let all = (1..=2 * EACH as u64).collect::<Vec<_>>();
    // Concurrently: a node whose deliveries nobody takes stops writing.
    let (one, two) = tokio::join!(one.next_messages(2 * EACH), two.next_messages(2 * EACH));
    assert_eq!(offsets(&one), all);
    assert_eq!(offsets(&two), all);
    for writing in writing {
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn rooms_that_are_not_followed_delay_nothing() {
    let server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["a", "b"]).await;
    let mut sent = Vec::new();
    for nth in 0..300 {
        let room = ["a", "other", "b"][nth % 3];
        node.send(draft(room, "1")).await.unwrap();
        if room != "other" {
            sent.push(nth as u64 + 1);
        }
    }
    assert_eq!(offsets(&node.next_messages(200).await), sent);
    node.log.unsubscribe(&key("/", "b"));
    node.send(draft("b", "1")).await.unwrap();
    node.nothing_more("a").await;
}

#[tokio::test]
async fn a_room_is_followed_from_its_end() {
    let server = Server::start().await;
    let writer = TestNode::at(server.url(), &[]).await;
    let log = writer.log.clone();
    let sending = tokio::spawn(async move {
        for nth in 0..2000 {
            let stored = log.append(draft("r", &nth.to_string())).await.unwrap();
            stored.wait().await.unwrap();
        }
    });
    let mut reader = TestNode::at(server.url(), &["r"]).await;
    let size = PageSize {
        messages: 0,
        bytes: 0,
    };
    let page = reader
        .log
        .read(&key("/", "r"), Range::Last, size)
        .await
        .unwrap();
    let mut next = page.head.next();
    while next <= Seq(2000) {
        let message = reader.next_messages(1).await.remove(0);
        if message.seq >= next {
            assert_eq!(message.seq, next);
            next = next.next();
        }
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn messages_sent_while_redis_restarts_are_delivered_once_and_in_order() {
    let mut server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["r", "s"]).await;
    let writer = TestNode::at(server.url(), &[]).await;
    let drafts: Vec<_> = (0..4000)
        .map(|nth| named(["r", "s"][nth % 2], &format!("id{nth}")))
        .collect();
    let sender = async {
        let mut receipts = Vec::new();
        for draft in &drafts {
            receipts.push(writer.log.append(draft.clone()).await.unwrap());
        }
        let mut refused = 0;
        for (draft, receipt) in drafts.iter().zip(receipts) {
            if receipt.wait().await.is_err() {
                refused += 1;
                writer.send_until_stored(draft).await;
            }
        }
        assert!(refused > 0, "everything was stored before Redis was killed");
    };
    let killer = async {
        // While messages are being sent.
        let first = node.next_messages(100).await;
        server.kill();
        let refused = node.send(draft("r", "1")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        server.restart().await;
        first
    };
    let ((), mut delivered) = tokio::join!(sender, killer);
    delivered.extend(node.next_messages(drafts.len() - delivered.len()).await);
    assert!(offsets(&delivered).is_sorted());
    let mut ids: Vec<_> = delivered
        .iter()
        .map(|message| message.id.to_string())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), drafts.len());
    node.nothing_more("r").await;
}

#[tokio::test]
async fn messages_that_a_disconnected_node_missed_are_delivered_in_the_order_of_offsets() {
    let server = Server::start().await;
    let proxy = Proxy::to(&server).await;
    let rooms: Vec<_> = (0..40).map(|nth| format!("r{nth}")).collect();
    let names: Vec<_> = rooms.iter().map(String::as_str).collect();
    let mut node = TestNode::at(proxy.url(), &names).await;
    let writer = TestNode::at(server.url(), &[]).await;
    for round in 0..5 {
        proxy.cut(false);
        for nth in 0..1500 {
            writer
                .send(draft(names[(nth * 7 + round) % 40], "1"))
                .await
                .unwrap();
        }
        let began = Instant::now();
        proxy.cut(true);
        let before = round as u64 * 1501;
        let delivered = offsets(&node.next_messages(1500).await);
        assert_eq!(delivered, (before + 1..=before + 1500).collect::<Vec<_>>());
        let took = began.elapsed();
        assert!(took < RECOVERY_TIMEOUT, "resumed after {took:?}");
        node.nothing_more("r0").await;
    }
}

#[tokio::test]
async fn connections_that_are_cut_repeatedly_lose_and_duplicate_nothing() {
    let server = Server::start().await;
    let proxy = Proxy::to(&server).await;
    let mut node = TestNode::at(proxy.url(), &["a", "b", "c"]).await;
    let writer = TestNode::at(server.url(), &[]).await;
    let log = writer.log.clone();
    let sending = tokio::spawn(async move {
        for nth in 0..3000 {
            let stored = log
                .append(draft(["a", "b", "c"][nth % 3], "1"))
                .await
                .unwrap();
            stored.wait().await.unwrap();
        }
    });
    let mut delivered = Vec::new();
    while delivered.len() < 3000 {
        delivered.extend(node.next_messages(100).await);
        proxy.cut(true);
    }
    assert_eq!(offsets(&delivered), (1..=3000).collect::<Vec<_>>());
    sending.await.unwrap();
}

#[tokio::test]
async fn while_redis_is_paused_appends_fail_and_work_afterwards() {
    let server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["r"]).await;
    node.send(named("r", "before")).await.unwrap();
    server.signal("STOP");
    let began = Instant::now();
    let refused = node.send(named("r", "during")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(5));
    server.signal("CONT");
    let began = Instant::now();
    node.send_until_stored(&named("r", "during")).await;
    let took = began.elapsed();
    assert!(took < RECOVERY_TIMEOUT, "resumed after {took:?}");
    let ids = node.next_messages(2).await;
    let ids: Vec<_> = ids.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["before", "during"]);
    node.nothing_more("r").await;
}

#[tokio::test]
async fn a_slow_hub_is_delivered_everything_later() {
    let server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["r", "s"]).await;
    let writer = TestNode::at(server.url(), &[]).await;
    // More than the queues of this process hold.
    let data = format!("\"{}\"", "x".repeat(60_000));
    for nth in 0..1800 {
        writer
            .send(draft(["r", "s"][nth % 2], &data))
            .await
            .unwrap();
    }
    let began = Instant::now();
    assert_eq!(
        offsets(&node.next_messages(1800).await),
        (1..=1800).collect::<Vec<_>>()
    );
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "found only by the regular comparison"
    );
    node.nothing_more("r").await;
}

#[tokio::test]
async fn scripts_that_redis_no_longer_has_are_loaded_again() {
    let server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["r"]).await;
    for nth in 1..=3 {
        let mut flush = redis::cmd("SCRIPT");
        flush.arg("FLUSH");
        node.log
            .connections
            .of(Partition::FIRST)
            .query(flush)
            .await
            .unwrap();
        assert_eq!(node.send(draft("r", "1")).await.unwrap().seq, Seq(nth));
    }
    assert_eq!(offsets(&node.next_messages(3).await), [1, 2, 3]);
}

#[tokio::test]
async fn when_redis_has_lost_all_data_nodes_continue_in_a_new_incarnation() {
    let mut server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["r", "s"]).await;
    let incarnation = node.log.incarnation();
    let before = node.send(draft("r", "1")).await.unwrap();
    node.send(draft("s", "1")).await.unwrap();
    let last = node.next_messages(2).await[1].offset;
    server.kill();
    std::fs::remove_dir_all(server.folder.path().join("appendonlydir")).unwrap();
    server.restart().await;
    let deadline = Instant::now() + TEST_TIMEOUT;
    while node.log.incarnation() == incarnation {
        assert!(Instant::now() < deadline, "the loss was not noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = node.send_until_stored(&draft("r", "2")).await;
    assert_ne!(after.epoch, before.epoch);
    let delivered = node.next_messages(1).await.remove(0);
    assert_eq!((delivered.seq, delivered.data.get()), (Seq(1), "2"));
    assert!(delivered.offset > last);
}

#[tokio::test]
async fn reading_the_end_of_the_log_detects_lost_data() {
    let server = Server::start().await;
    let one = TestNode::at(server.url(), &["r"]).await;
    let two = TestNode::at(server.url(), &["r"]).await;
    let first = one.log.incarnation();
    one.send(draft("r", "1")).await.unwrap();
    let namespace = Namespace::root();
    one.log.last_offset(&namespace).await.unwrap();
    let flush = || {
        one.log
            .connections
            .of(Partition::FIRST)
            .query(redis::cmd("FLUSHALL"))
    };
    flush().await.unwrap();
    one.log.last_offset(&namespace).await.unwrap();
    let second = one.log.incarnation();
    assert_ne!(second, first);
    assert_eq!(two.log.incarnation(), first, "it has not noticed yet");
    let offset = two.log.last_offset(&namespace).await.unwrap();
    assert_eq!(two.log.incarnation(), second);
    assert_eq!(one.log.last_offset(&namespace).await.unwrap(), offset);
    assert_eq!(
        one.log.incarnation(),
        second,
        "the incarnation does not change twice"
    );
}

/// Stores a message without publishing it.
async fn store_silently(node: &TestNode, room: &str) {
    let room = key("/", room);
    let mut append = scripts::append([
        &node.log.context.keys.offset(Partition::FIRST),
        &node.log.context.keys.room(&room),
        &node.log.context.keys.messages(&room),
        &node.log.context.keys.rooms(Partition::of(&room)),
        &node.log.context.keys.rooms(Partition::of(&room)),
        "nowhere",
        &node.log.context.keys.shard_incarnation(Partition::FIRST),
        &node.log.context.keys.forgotten(Partition::of(&room)),
        &node.log.context.keys.outbox(Partition::FIRST),
    ]);
    let id = MessageId::generate();
    let data = draft("-", "1").data;
    let event = EventName::message();
    append
        .arg(Timestamp::now().0)
        .arg(Incarnation::generate().as_str())
        .arg(keys::room_name(&room))
        .arg(0)
        .arg(1)
        .arg(codec::encode(Some(&id), &event, None, &data, None));
    for number in [1000, 1 << 40, 1 << 40, 0_u64] {
        append.arg(number);
    }
    append.arg("PUBLISH").arg(epoch::slot(&room));
    let clock = &node.log.shards.of(Partition::FIRST).clock;
    clock.add_clock_args(&mut append);
    clock.add_shard_args(&mut append);
    append.arg("");
    node.log
        .context
        .outbox
        .add_args(&mut append, Partition::FIRST);
    let connections = node.log.connections.of(Partition::FIRST);
    connections.query(append).await.unwrap();
}

#[tokio::test]
async fn a_message_that_was_not_published_is_found_with_the_next_one() {
    let server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["r", "s"]).await;
    node.send(draft("r", "1")).await.unwrap();
    store_silently(&node, "r").await;
    store_silently(&node, "s").await;
    node.send(draft("r", "1")).await.unwrap();
    assert_eq!(offsets(&node.next_messages(4).await), [1, 2, 3, 4]);
    node.nothing_more("s").await;
}

#[tokio::test]
async fn a_message_that_was_not_published_is_found_in_a_silent_room() {
    let server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["r"]).await;
    store_silently(&node, "r").await;
    assert_eq!(offsets(&node.next_messages(1).await), [1]);
    node.nothing_more("r").await;
}

#[tokio::test]
async fn an_ephemeral_event_reaches_the_own_members_while_redis_is_down() {
    let mut server = Server::start().await;
    let mut node = TestNode::at(server.url(), &["r"]).await;
    let mut other = TestNode::at(server.url(), &["r"]).await;
    node.log.send(ephemeral("r")).await.unwrap();
    assert_eq!(other.event().await, "r");
    assert_eq!(node.event().await, "r");
    server.kill();
    let began = Instant::now();
    node.log.send(ephemeral("r")).await.unwrap();
    assert_eq!(node.event().await, "r");
    assert!(began.elapsed() < Duration::from_secs(2));
    server.restart().await;
    node.nothing_more("r").await;
    other.next_messages(1).await;
}
