//! The book alone, against a store that fails as it likes.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{super::book::Work, *};

/// What a store has of one node in one room.
type Store = HashMap<UserId, String>;

fn room() -> RoomKey {
    key("/", "r")
}

fn text(number: u8) -> Option<Arc<str>> {
    (number > 0).then(|| number.to_string().into())
}

fn take(book: &Book) -> Work {
    use futures_util::FutureExt;
    let work = book.take(Part::of(&room())).now_or_never();
    work.unwrap_or_default()
}

/// What whoever carries out work does with a store.
fn carry_out(book: &Book, work: &Work, store: &mut Store, changes: usize) {
    if work.all || !work.checks.is_empty() {
        book.compare(&room(), store);
    }
    for change in work.changes.iter().take(changes) {
        match &change.text {
            Some(text) => store.insert(change.user.clone(), text.to_string()),
            None => store.remove(&change.user),
        };
    }
}

#[derive(Clone, Debug)]
enum Step {
    Note(u8, u8),
    Done,
    /// Only so many changes were stored, and nobody knows.
    Failed(usize),
    /// Somebody else took this out of the store, and says so.
    Lost(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u8, 0..3_u8).prop_map(|(who, what)| Step::Note(who, what)),
        1 => Just(Step::Done),
        1 => (0..4_usize).prop_map(Step::Failed),
        1 => (0..4_u8).prop_map(Step::Lost),
    ]
}

proptest! {
    #[test]
    fn whatever_fails_the_store_has_in_the_end_what_was_noted_last(steps in proptest::collection::vec(step(), 0..60)) {
        let (book, mut store) = (Book::default(), Store::new());
        let mut expected = Store::new();
        for step in steps {
            match step {
                Step::Note(who, what) => {
                    let who = user(&format!("user{who}"));
                    book.note(&room(), &who, text(what));
                    match text(what) {
                        Some(text) => expected.insert(who, text.to_string()),
                        None => expected.remove(&who),
                    };
                }
                Step::Done => {
                    let work = take(&book);
                    carry_out(&book, &work, &mut store, usize::MAX);
                    book.done(Part::of(&room()), work);
                }
                Step::Failed(stored) => {
                    let work = take(&book);
                    carry_out(&book, &work, &mut store, stored);
                    book.failed(Part::of(&room()), work);
                }
                Step::Lost(who) => {
                    store.remove(&user(&format!("user{who}")));
                    book.check(&room());
                }
            }
        }
        loop {
            let work = take(&book);
            if work.is_nothing() {
                break;
            }
            carry_out(&book, &work, &mut store, usize::MAX);
            book.done(Part::of(&room()), work);
        }
        prop_assert_eq!(&store, &expected);
        // Nothing is kept of who is not here.
        prop_assert_eq!(book.rooms(Part::of(&room())).is_empty(), expected.is_empty());
    }
}

#[test]
fn users_that_come_and_go_before_anything_is_written_leave_nothing_behind() {
    let book = Book::default();
    for nth in 0..1000 {
        let who = user(&format!("user{nth}"));
        book.note(&room(), &who, text(1));
        book.note(&room(), &who, None);
    }
    assert!(take(&book).is_nothing());
    assert!(book.rooms(Part::of(&room())).is_empty());
}

#[test]
fn changes_wait_in_the_order_of_their_first_call_with_what_was_said_last() {
    let book = Book::default();
    for (who, what) in [
        ("bob", 1),
        ("alice", 1),
        ("bob", 2),
        ("carol", 1),
        ("alice", 0),
    ] {
        book.note(&room(), &user(who), text(what));
    }
    let changes = take(&book).changes;
    let said: Vec<_> = changes
        .iter()
        .map(|change| (change.user.as_str(), change.text.as_deref()))
        .collect();
    assert_eq!(said, [("bob", Some("2")), ("carol", Some("1"))]);
}
