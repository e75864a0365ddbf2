//! Which messages a read returns.

use std::ops::Range as Span;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use super::*;

pub(super) async fn a_settled_message_is_seen_by_every_later_read(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    for nth in 1..=300 {
        let room = format!("r{}", nth % 3);
        let seq = fixture.send(draft(&room, "1")).await.seq;
        assert_eq!(fixture.page(&room, Range::Last, 0).await.head, seq);
        let page = fixture.page(&room, Range::After(Seq(seq.0 - 1)), 10).await;
        assert_eq!(seqs(&page), [seq.0]);
        let page = fixture.page(&room, Range::Before(seq), 2).await;
        assert_eq!(
            seqs(&page),
            (seq.0.saturating_sub(2).max(1)..seq.0).collect::<Vec<_>>()
        );
    }
}

/// What a room should hold: the size and the time of each message.
type List = Vec<(usize, Timestamp)>;

/// The numbers a page should have, and whether there are more.
fn expected(list: &List, oldest: u64, range: Range, size: PageSize) -> (Vec<u64>, bool) {
    let end = list.len() as u64 + 1;
    let wanted: Span<u64> = match range {
        Range::After(seq) => oldest.max(seq.0.saturating_add(1))..end,
        Range::Before(seq) => oldest..end.min(seq.0),
        Range::Last => oldest..end,
    };
    let all: Vec<u64> = wanted.collect();
    let mut bytes = 0;
    let mut fits = |seq: &u64| {
        let first = bytes == 0;
        bytes += list[*seq as usize - 1].0;
        first || bytes <= size.bytes
    };
    let mut taken: Vec<u64> = if matches!(range, Range::After(_)) {
        let page = all.iter().copied().take(size.messages);
        page.take_while(&mut fits).collect()
    } else {
        let page = all.iter().rev().copied().take(size.messages);
        page.take_while(&mut fits).collect()
    };
    taken.sort_unstable();
    let more = taken.len() < all.len();
    (taken, more)
}

fn any_range(most: u64) -> impl Strategy<Value = Range> {
    let seq = prop_oneof![9 => 0..most + 5, 1 => Just(u64::MAX)].prop_map(Seq);
    prop_oneof![
        seq.clone().prop_map(Range::After),
        seq.prop_map(Range::Before),
        Just(Range::Last),
    ]
}

fn any_size() -> impl Strategy<Value = PageSize> {
    let messages = prop_oneof![Just(0), 1..8usize, Just(1000)];
    let bytes = prop_oneof![Just(0), 1..600usize, Just(usize::MAX)];
    (messages, bytes).prop_map(|(messages, bytes)| PageSize { messages, bytes })
}

pub(super) async fn every_page_matches_a_plain_list(kind: LogKind) {
    let age = Duration::from_secs(30);
    let fixture = kind
        .open(Retention {
            default: policy(10_000, age),
            policies: Vec::new(),
            rules: Vec::new(),
        })
        .await;
    let mut runner = TestRunner::deterministic();
    let mut lists: [List; 3] = Default::default();
    let moves = (
        0..3usize,
        1..120usize,
        0..1000u64,
        any_range(130),
        any_size(),
    );
    // Writing, reading and the passing of time take turns.
    for round in 0..1500 {
        let (room, length, wait, range, size) = moves.new_tree(&mut runner).unwrap().current();
        let name = format!("r{room}");
        fixture.clock.advance(Duration::from_millis(wait));
        if round % 4 == 0 {
            let data = format!("\"{}\"", "x".repeat(length));
            let ts = fixture.send(draft(&name, &data)).await.ts;
            lists[room].push((data.len(), ts));
        }
        if round % 500 == 499 {
            fixture.log.trim_all(fixture.clock.now()).await;
        }
        let list = &lists[room];
        let cutoff = fixture.clock.now().before(age);
        let old = list.iter().take_while(|(_, ts)| *ts < cutoff).count();
        let oldest = old as u64 + 1;
        let page = fixture
            .log
            .read(&key("/", &name), range, size)
            .await
            .unwrap();
        let case = format!(
            "round {round}: {range:?} {size:?} of {} from {oldest}",
            list.len()
        );
        assert_eq!(
            (page.head.0, page.oldest.0),
            (list.len() as u64, oldest),
            "{case}"
        );
        assert_eq!(
            (seqs(&page), page.more),
            expected(list, oldest, range, size),
            "{case}"
        );
    }
    assert!(
        lists.iter().all(|list| list.len() > 100),
        "too little was written to mean much"
    );
}
