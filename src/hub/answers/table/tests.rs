use bytes::Bytes;

use super::*;

const WINDOW: Duration = Duration::from_secs(60);

fn key(n: usize) -> AnswerKey {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    AnswerKey(digest)
}

fn answer(text: &str) -> EventPayload {
    EventPayload {
        text: text.into(),
        attachments: vec![Bytes::from_static(b"attached")],
    }
}

fn begin(table: &AnswerTable, n: usize) -> PendingAnswer {
    match table.begin(key(n)) {
        Begun::First(pending) => {
            pending.begin();
            pending
        }
        _ => panic!("somebody else answers"),
    }
}

fn given(table: &AnswerTable, n: usize) -> Option<EventPayload> {
    match table.begin(key(n)) {
        Begun::Given(answer) => Some(answer),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_event_has_the_first_answer_until_the_window_ends() {
    let table = AnswerTable::new(WINDOW);
    begin(&table, 1).give(&answer("[1]"));
    assert_eq!(given(&table, 1), Some(answer("[1]")));
    tokio::time::advance(WINDOW).await;
    assert_eq!(given(&table, 1), Some(answer("[1]")));
    tokio::time::advance(Duration::from_millis(1)).await;
    begin(&table, 1).give(&answer("[2]"));
    assert_eq!(given(&table, 1), Some(answer("[2]")));
}

#[tokio::test(start_paused = true)]
async fn whoever_repeats_an_event_waits_for_its_answer() {
    let table = AnswerTable::new(WINDOW);
    let pending = begin(&table, 1);
    let Begun::Pending(settled) = table.begin(key(1)) else {
        panic!("nobody answers");
    };
    let waiting = tokio::spawn(settled);
    pending.give(&answer("[1]"));
    pending.give(&answer("[2]"));
    drop(pending);
    waiting.await.expect("settled");
    assert_eq!(given(&table, 1), Some(answer("[1]")));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_was_not_answered_is_answered_by_the_next() {
    let table = AnswerTable::new(WINDOW);
    drop(begin(&table, 1));
    begin(&table, 1).give(&answer(&"x".repeat(MAX_ANSWER)));
    begin(&table, 1).give(&answer("[1]"));
    assert_eq!(given(&table, 1), Some(answer("[1]")));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_given_does_not_end_a_later_turn() {
    let table = AnswerTable::new(WINDOW);
    let first = begin(&table, 1);
    first.give(&answer("[1]"));
    tokio::time::advance(WINDOW * 2).await;
    let second = begin(&table, 1);
    drop(first);
    assert!(matches!(table.begin(key(1)), Begun::Pending(_)));
    second.give(&answer("[2]"));
    assert_eq!(given(&table, 1), Some(answer("[2]")));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_answers_are_forgotten_when_there_are_too_many_bytes() {
    let table = AnswerTable::new(WINDOW);
    let long = "x".repeat(MAX_ANSWER / 2);
    let fitting = MAX_BYTES / size(&answer(&long));
    begin(&table, 0).give(&answer(&long));
    for n in 1..fitting {
        begin(&table, n).give(&answer(&long));
    }
    assert!(given(&table, 0).is_some());
    begin(&table, fitting).give(&answer(&long));
    assert!(given(&table, 0).is_none());
    assert!(given(&table, 1).is_some());
}

#[tokio::test(start_paused = true)]
async fn another_node_waits_for_an_answer_that_is_being_found_and_for_no_other() {
    let table = AnswerTable::new(WINDOW);
    let soon = || Instant::now() + Duration::from_secs(1);
    assert_eq!(table.wait(key(1), soon()).await, Known::Nothing);
    let Begun::First(pending) = table.begin(key(1)) else {
        panic!("somebody else answers");
    };
    assert_eq!(table.wait(key(1), soon()).await, Known::Nothing);
    pending.begin();
    assert_eq!(table.wait(key(1), soon()).await, Known::Pending);
    pending.give(&answer("[1]"));
    drop(pending);
    assert_eq!(
        table.wait(key(1), soon()).await,
        Known::Given(answer("[1]"))
    );
}
