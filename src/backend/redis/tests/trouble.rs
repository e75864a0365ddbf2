//! What happens when Redis, or the way to it, is in trouble.

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::{
    node::{Node, event, offsets},
    *,
};
use crate::{
    backend::conformance::{draft, key, named},
    error::Code,
};

/// Redis back, all goes on within this.
const RESUME: Duration = Duration::from_secs(2);

/// A way to Redis that can be cut.
struct Proxy {
    port: u16,
    /// Connections last while it says what it said when they began; 0 lets nobody in.
    gate: watch::Sender<u64>,
}

impl Proxy {
    async fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (gate, open) = watch::channel(1);
        let target = server.port;
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

    /// Ends every connection; new ones come through if it is `open`.
    fn cut(&self, open: bool) {
        self.gate.send_modify(|gate| {
            *gate = if open { *gate + 2 } else { 0 };
        });
    }
}

#[tokio::test]
async fn a_burst_of_one_node_arrives_whole_and_in_order_at_another() {
    const BURST: usize = 20_000;
    let server = Server::start().await;
    let writer = Node::at(server.url(), &[]).await;
    let mut reader = Node::at(server.url(), &["r"]).await;
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
    let came = reader.next(BURST).await;
    for (nth, message) in came.iter().enumerate() {
        assert_eq!(
            (message.seq.0, message.data.get()),
            (nth as u64 + 1, &*nth.to_string())
        );
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn nodes_that_write_at_once_are_delivered_the_same_order() {
    const EACH: usize = 1000;
    let server = Server::start().await;
    let mut one = Node::at(server.url(), &["a", "b"]).await;
    let mut two = Node::at(server.url(), &["b", "a"]).await;
    let write = |node: &Node| {
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
    // At once: a node whose deliveries nobody takes writes nothing more.
    let (one, two) = tokio::join!(one.next(2 * EACH), two.next(2 * EACH));
    assert_eq!(offsets(&one), all);
    assert_eq!(offsets(&two), all);
    for writing in writing {
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn rooms_that_nobody_follows_here_hold_up_nothing() {
    let server = Server::start().await;
    let mut node = Node::at(server.url(), &["a", "b"]).await;
    let mut sent = Vec::new();
    for nth in 0..300 {
        let room = ["a", "other", "b"][nth % 3];
        node.send(draft(room, "1")).await.unwrap();
        if room != "other" {
            sent.push(nth as u64 + 1);
        }
    }
    assert_eq!(offsets(&node.next(200).await), sent);
    node.log.unsubscribe(&key("/", "b"));
    node.send(draft("b", "1")).await.unwrap();
    node.nothing_more("a").await;
}

#[tokio::test]
async fn a_room_is_followed_from_where_it_ended() {
    let server = Server::start().await;
    let writer = Node::at(server.url(), &[]).await;
    let log = writer.log.clone();
    let sending = tokio::spawn(async move {
        for nth in 0..2000 {
            let stored = log.append(draft("r", &nth.to_string())).await.unwrap();
            stored.wait().await.unwrap();
        }
    });
    let mut reader = Node::at(server.url(), &["r"]).await;
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
        let message = reader.next(1).await.remove(0);
        if message.seq >= next {
            assert_eq!(message.seq, next);
            next = next.next();
        }
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn what_is_sent_while_redis_is_killed_and_started_again_comes_once_and_in_order() {
    let mut server = Server::start().await;
    let mut node = Node::at(server.url(), &["r", "s"]).await;
    let writer = Node::at(server.url(), &[]).await;
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
                writer.insist(draft).await;
            }
        }
        assert!(refused > 0, "all was over before it was killed");
    };
    let killer = async {
        // In the middle of it.
        let first = node.next(100).await;
        server.kill();
        let refused = node.send(draft("r", "1")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        server.restart().await;
        first
    };
    let ((), mut came) = tokio::join!(sender, killer);
    came.extend(node.next(drafts.len() - came.len()).await);
    assert!(offsets(&came).is_sorted());
    let mut ids: Vec<_> = came.iter().map(|message| message.id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), drafts.len());
    node.nothing_more("r").await;
}

#[tokio::test]
async fn what_a_node_missed_while_it_was_cut_off_comes_in_the_order_of_offsets() {
    let server = Server::start().await;
    let proxy = Proxy::to(&server).await;
    let rooms: Vec<_> = (0..40).map(|nth| format!("r{nth}")).collect();
    let names: Vec<_> = rooms.iter().map(String::as_str).collect();
    let mut node = Node::at(proxy.url(), &names).await;
    let writer = Node::at(server.url(), &[]).await;
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
        let came = offsets(&node.next(1500).await);
        assert_eq!(came, (before + 1..=before + 1500).collect::<Vec<_>>());
        let took = began.elapsed();
        assert!(took < RESUME, "resumed after {took:?}");
        node.nothing_more("r0").await;
    }
}

#[tokio::test]
async fn connections_that_are_cut_again_and_again_lose_and_double_nothing() {
    let server = Server::start().await;
    let proxy = Proxy::to(&server).await;
    let mut node = Node::at(proxy.url(), &["a", "b", "c"]).await;
    let writer = Node::at(server.url(), &[]).await;
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
    let mut came = Vec::new();
    while came.len() < 3000 {
        came.extend(node.next(100).await);
        proxy.cut(true);
    }
    assert_eq!(offsets(&came), (1..=3000).collect::<Vec<_>>());
    sending.await.unwrap();
}

#[tokio::test]
async fn while_redis_stands_still_publishing_is_refused_and_then_goes_on() {
    let server = Server::start().await;
    let mut node = Node::at(server.url(), &["r"]).await;
    node.send(named("r", "before")).await.unwrap();
    server.signal("STOP");
    let began = Instant::now();
    let refused = node.send(named("r", "during")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(began.elapsed() < Duration::from_secs(5));
    server.signal("CONT");
    let began = Instant::now();
    node.insist(&named("r", "during")).await;
    let took = began.elapsed();
    assert!(took < RESUME, "resumed after {took:?}");
    let ids = node.next(2).await;
    let ids: Vec<_> = ids.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["before", "during"]);
    node.nothing_more("r").await;
}

#[tokio::test]
async fn a_node_whose_hub_is_slow_is_delivered_all_of_it_later() {
    let server = Server::start().await;
    let mut node = Node::at(server.url(), &["r", "s"]).await;
    let writer = Node::at(server.url(), &[]).await;
    // More than may wait in this process.
    let data = format!("\"{}\"", "x".repeat(60_000));
    for nth in 0..1800 {
        writer
            .send(draft(["r", "s"][nth % 2], &data))
            .await
            .unwrap();
    }
    let began = Instant::now();
    assert_eq!(
        offsets(&node.next(1800).await),
        (1..=1800).collect::<Vec<_>>()
    );
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "found only by the way");
    node.nothing_more("r").await;
}

#[tokio::test]
async fn scripts_that_redis_has_forgotten_are_loaded_again() {
    let server = Server::start().await;
    let mut node = Node::at(server.url(), &["r"]).await;
    for nth in 1..=3 {
        let mut flush = redis::cmd("SCRIPT");
        flush.arg("FLUSH");
        node.log.reads.of(Part::FIRST).ask(flush).await.unwrap();
        assert_eq!(node.send(draft("r", "1")).await.unwrap().seq, Seq(nth));
    }
    assert_eq!(offsets(&node.next(3).await), [1, 2, 3]);
}

#[tokio::test]
async fn when_redis_has_lost_everything_nodes_go_on_in_another_life() {
    let mut server = Server::start().await;
    let mut node = Node::at(server.url(), &["r", "s"]).await;
    let life = node.log.incarnation();
    let before = node.send(draft("r", "1")).await.unwrap();
    node.send(draft("s", "1")).await.unwrap();
    let last = node.next(2).await[1].offset;
    server.kill();
    std::fs::remove_dir_all(server.folder.path().join("appendonlydir")).unwrap();
    server.restart().await;
    let deadline = Instant::now() + PATIENCE;
    while node.log.incarnation() == life {
        assert!(Instant::now() < deadline, "nobody noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = node.insist(&draft("r", "2")).await;
    assert_ne!(after.epoch, before.epoch);
    let came = node.next(1).await.remove(0);
    assert_eq!((came.seq, came.data.get()), (Seq(1), "2"));
    assert!(came.offset > last);
}

#[tokio::test]
async fn whoever_asks_where_the_log_ends_knows_that_it_has_lost_something() {
    let server = Server::start().await;
    let one = Node::at(server.url(), &["r"]).await;
    let two = Node::at(server.url(), &["r"]).await;
    let first = one.log.incarnation();
    one.send(draft("r", "1")).await.unwrap();
    let namespace = Namespace::root();
    one.log.last_offset(&namespace).await.unwrap();
    let flush = || one.log.reads.of(Part::FIRST).ask(redis::cmd("FLUSHALL"));
    flush().await.unwrap();
    one.log.last_offset(&namespace).await.unwrap();
    let second = one.log.incarnation();
    assert_ne!(second, first);
    assert_eq!(two.log.incarnation(), first, "nobody has told it");
    let offset = two.log.last_offset(&namespace).await.unwrap();
    assert_eq!(two.log.incarnation(), second);
    assert_eq!(one.log.last_offset(&namespace).await.unwrap(), offset);
    assert_eq!(one.log.incarnation(), second, "it is not begun twice");
}

/// Stores a message that nobody is told of.
async fn store_silently(node: &Node, room: &str) {
    let room = key("/", room);
    let mut append = scripts::append([
        &node.log.shared.keys.offset(Part::FIRST),
        &node.log.shared.keys.room(&room),
        &node.log.shared.keys.messages(&room),
        &node.log.shared.keys.rooms(Part::of(&room)),
        &node.log.shared.keys.rooms(Part::of(&room)),
        "nowhere",
        &node.log.shared.keys.incarnation(Part::FIRST),
        &node.log.shared.keys.forgotten(Part::of(&room)),
    ]);
    let id = crate::model::MessageId::fresh();
    let data = draft("-", "1").data;
    let event = crate::model::EventName::message();
    append
        .arg(Timestamp::now().0)
        .arg(Epoch::fresh().as_str())
        .arg(keys::name(&room))
        .arg(0)
        .arg(1)
        .arg(entry::write(Some(&id), &event, None, &data, None));
    for number in [1000, 1 << 40, 1 << 40, 0_u64] {
        append.arg(number);
    }
    append.arg("PUBLISH").arg(epoch::slot(&room));
    let order = &node.log.lanes.of(Part::FIRST).order;
    order.tell(&mut append);
    order.tell_lane(&mut append);
    let reads = node.log.reads.of(Part::FIRST);
    reads.ask(append).await.unwrap();
}

#[tokio::test]
async fn what_is_lost_without_a_word_is_found_when_the_room_goes_on() {
    let server = Server::start().await;
    let mut node = Node::at(server.url(), &["r", "s"]).await;
    node.send(draft("r", "1")).await.unwrap();
    store_silently(&node, "r").await;
    store_silently(&node, "s").await;
    node.send(draft("r", "1")).await.unwrap();
    assert_eq!(offsets(&node.next(4).await), [1, 2, 3, 4]);
    node.nothing_more("s").await;
}

#[tokio::test]
async fn what_is_lost_without_a_word_in_a_room_that_falls_silent_is_found_in_time() {
    let server = Server::start().await;
    let mut node = Node::at(server.url(), &["r"]).await;
    store_silently(&node, "r").await;
    assert_eq!(offsets(&node.next(1).await), [1]);
    node.nothing_more("r").await;
}

#[tokio::test]
async fn an_event_that_is_not_kept_reaches_the_members_here_while_redis_is_away() {
    let mut server = Server::start().await;
    let mut node = Node::at(server.url(), &["r"]).await;
    let mut other = Node::at(server.url(), &["r"]).await;
    node.log.send(event("r"), None).await.unwrap();
    assert_eq!(other.event().await, "r");
    assert_eq!(node.event().await, "r");
    server.kill();
    let began = Instant::now();
    node.log.send(event("r"), None).await.unwrap();
    assert_eq!(node.event().await, "r");
    assert!(began.elapsed() < Duration::from_secs(2));
    server.restart().await;
    node.nothing_more("r").await;
    other.next(1).await;
}
