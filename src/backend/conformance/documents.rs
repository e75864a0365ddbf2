//! Documents: what is appended is there, whatever is merged meanwhile.

use bytes::Bytes;
use futures_util::future::join_all;

use super::*;
use crate::{error::Code, model::RoomName};

const UNLIMITED: UpdateTerms = UpdateTerms {
    max_bytes: u64::MAX >> 1,
    is_told: false,
};

const TEN_BYTES: UpdateTerms = UpdateTerms {
    max_bytes: 10,
    is_told: false,
};

/// Back ends are told of it.
const TOLD: UpdateTerms = UpdateTerms {
    is_told: true,
    ..UNLIMITED
};

fn name(text: &str) -> RoomName {
    RoomName::parse(text).unwrap()
}

impl Fixture {
    async fn update(&self, document: &str, text: &'static [u8]) -> u64 {
        self.append_update(document, Bytes::from_static(text)).await
    }

    async fn append_update(&self, document: &str, bytes: Bytes) -> u64 {
        let appended = self
            .log
            .documents()
            .append_update(&name(document), bytes, UNLIMITED)
            .await;
        appended.unwrap()
    }

    async fn compacted(&self, document: &str, through: u64, text: &'static [u8]) -> bool {
        let bytes = Bytes::from_static(text);
        let compacted = self
            .log
            .documents()
            .compact_document(&name(document), through, bytes)
            .await;
        compacted.unwrap()
    }

    async fn document(&self, document: &str, after: u64) -> Option<StoredDocument> {
        self.log
            .documents()
            .read_document(&name(document), after)
            .await
            .unwrap()
    }

    /// The parts of a document behind a number, each with its number.
    async fn parts(&self, document: &str, after: u64) -> Vec<(u64, Bytes)> {
        let document = self.document(document, after).await.unwrap();
        let parts = document.parts();
        parts.map(|it| (it.number, it.bytes.clone())).collect()
    }

    async fn info(&self, document: &str) -> Option<(u64, u64)> {
        let info = self
            .log
            .documents()
            .find_document(&name(document))
            .await
            .unwrap();
        info.map(|info| (info.updates, info.bytes))
    }
}

pub(super) async fn updates_are_numbered_without_gaps_and_come_back_as_they_were(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    assert_eq!(fixture.document("d", 0).await, None);
    assert_eq!(fixture.info("d").await, None);
    let first = fixture.update("d", b"one").await;
    assert!(first > 0);
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(fixture.update("d", b"\0\xff").await, first + 1);
    assert_eq!(fixture.update("d", b"three").await, first + 2);
    let all = [
        (first, Bytes::from_static(b"one")),
        (first + 1, Bytes::from_static(b"\0\xff")),
        (first + 2, Bytes::from_static(b"three")),
    ];
    assert_eq!(fixture.parts("d", 0).await, all);
    assert_eq!(fixture.parts("d", first).await, all[1..]);
    assert_eq!(fixture.parts("d", first + 2).await, []);
    assert_eq!(fixture.info("d").await, Some((3, 10)));
    let info = fixture
        .log
        .documents()
        .find_document(&name("d"))
        .await
        .unwrap();
    let info = info.unwrap();
    assert_eq!((info.name, info.last), (name("d"), first + 2));
}

pub(super) async fn documents_are_apart_from_each_other_and_from_rooms(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.send(draft("d", "1")).await;
    fixture.update("d", b"in d").await;
    fixture.update("d:2", b"in d:2").await;
    assert_eq!(fixture.parts("d", 0).await[0].1, &b"in d"[..]);
    assert_eq!(fixture.parts("d:2", 0).await[0].1, &b"in d:2"[..]);
    assert_eq!(fixture.document("e", 0).await, None);
    let size = PageSize {
        messages: 10,
        bytes: 1000,
    };
    let page = fixture.log.read(&key("/", "d"), Range::Last, size).await;
    assert_eq!(page.unwrap().messages.len(), 1);
}

pub(super) async fn updates_that_come_together_get_different_numbers(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let update = |n: u32| fixture.append_update("d", n.to_string().into());
    let numbers = join_all((0..200).map(update)).await;
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    let first = sorted[0];
    assert_eq!(sorted, (first..first + 200).collect::<Vec<_>>());
    assert_eq!(fixture.parts("d", 0).await.len(), 200);
}

pub(super) async fn a_snapshot_takes_the_place_of_the_updates_before_it(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let first = fixture.update("d", b"a").await;
    for text in [b"b", b"c", b"d"] {
        fixture.update("d", text).await;
    }
    assert!(fixture.compacted("d", first + 2, b"abc").await);
    let merged = [
        (first + 2, Bytes::from_static(b"abc")),
        (first + 3, Bytes::from_static(b"d")),
    ];
    assert_eq!(fixture.parts("d", 0).await, merged);
    assert_eq!(fixture.parts("d", first).await, merged);
    assert_eq!(fixture.parts("d", first + 2).await, merged[1..]);
    assert_eq!(fixture.info("d").await, Some((1, 4)));
    assert_eq!(fixture.update("d", b"e").await, first + 4);
    assert!(fixture.compacted("d", first + 4, b"abcde").await);
    let merged = [(first + 4, Bytes::from_static(b"abcde"))];
    assert_eq!(fixture.parts("d", 0).await, merged);
    assert_eq!(fixture.parts("d", first + 4).await, []);
    assert_eq!(fixture.info("d").await, Some((0, 5)));
}

pub(super) async fn a_snapshot_of_what_is_merged_already_changes_nothing(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    assert!(!fixture.compacted("d", 1, b"of nothing").await);
    assert_eq!(fixture.document("d", 0).await, None);
    let first = fixture.update("d", b"a").await;
    fixture.update("d", b"b").await;
    assert!(!fixture.compacted("d", first + 2, b"of the future").await);
    assert!(fixture.compacted("d", first + 1, b"ab").await);
    assert!(!fixture.compacted("d", first, b"late").await);
    assert!(!fixture.compacted("d", first + 1, b"again").await);
    assert_eq!(
        fixture.parts("d", 0).await,
        [(first + 1, Bytes::from_static(b"ab"))]
    );
}

pub(super) async fn a_document_that_is_full_takes_no_update_until_it_is_compacted(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let append = async |bytes: &'static [u8]| {
        let bytes = Bytes::from_static(bytes);
        fixture
            .log
            .documents()
            .append_update(&name("d"), bytes, TEN_BYTES)
            .await
    };
    assert_eq!(
        append(b"elevenbytes").await.unwrap_err().code(),
        Code::TooLarge
    );
    assert_eq!(fixture.document("d", 0).await, None);
    let first = append(b"12345678").await.unwrap();
    assert_eq!(append(b"abc").await.unwrap_err().code(), Code::TooLarge);
    assert_eq!(append(b"ab").await.unwrap(), first + 1);
    assert!(fixture.compacted("d", first + 1, b"12").await);
    assert_eq!(append(b"abcdefgh").await.unwrap(), first + 2);
}

pub(super) async fn a_document_that_was_deleted_continues_with_higher_numbers(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    let first = fixture.update("d", b"a").await;
    fixture.update("d", b"b").await;
    fixture.update("e", b"other").await;
    assert!(fixture.compacted("d", first, b"a").await);
    assert!(
        fixture
            .log
            .documents()
            .delete_document(&name("d"))
            .await
            .unwrap()
    );
    assert!(
        !fixture
            .log
            .documents()
            .delete_document(&name("d"))
            .await
            .unwrap()
    );
    assert_eq!(fixture.document("d", 0).await, None);
    assert_eq!(fixture.info("d").await, None);
    fixture.clock.advance(Duration::from_millis(1));
    let again = fixture.update("d", b"c").await;
    assert!(again > first + 1, "{again} after {first}");
    assert_eq!(
        fixture.parts("d", 0).await,
        [(again, Bytes::from_static(b"c"))]
    );
    assert_eq!(fixture.parts("e", 0).await.len(), 1);
}

pub(super) async fn documents_are_listed_by_name_page_by_page(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    for document in ["b:1", "a", "b:3", "b:2", "c", "B:4"] {
        fixture.update(document, b"x").await;
    }
    let list = async |prefix: &str, after: Option<&str>, limit| {
        let after = after.map(name);
        let found = fixture
            .log
            .documents()
            .list_documents(prefix, after.as_ref(), limit)
            .await;
        let found = found.unwrap().into_iter();
        found.map(|info| info.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        list("", None, 10).await,
        ["B:4", "a", "b:1", "b:2", "b:3", "c"]
    );
    assert_eq!(list("b:", None, 2).await, ["b:1", "b:2"]);
    assert_eq!(list("b:", Some("b:2"), 2).await, ["b:3"]);
    assert_eq!(list("b:", Some("z"), 2).await, Vec::<String>::new());
}

pub(super) async fn documents_are_not_deleted_with_the_messages_of_rooms(kind: LogKind) {
    let fixture = kind
        .open(Retention {
            default: policy(1, Duration::from_secs(60)),
            ..Retention::default()
        })
        .await;
    fixture.send(draft("d", "1")).await;
    fixture.update("d", b"x").await;
    fixture.clock.advance(Duration::from_secs(60 * 24 * 3600));
    fixture.log.trim_all(fixture.clock.now()).await;
    assert_eq!(fixture.parts("d", 0).await.len(), 1);
}

pub(super) async fn a_closed_log_rejects_documents(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.update("d", b"x").await;
    fixture.log.close().await;
    let appended = fixture
        .log
        .documents()
        .append_update(&name("d"), Bytes::from_static(b"y"), UNLIMITED)
        .await;
    assert_eq!(appended.unwrap_err().code(), Code::Unavailable);
    let read = fixture.log.documents().read_document(&name("d"), 0).await;
    assert_eq!(read.unwrap_err().code(), Code::Unavailable);
}

impl Fixture {
    /// The documents that the outbox tells of, in its order.
    async fn told_documents(&self) -> Vec<String> {
        let mut told = Vec::new();
        for stream in 0..self.log.streams() {
            let page = self.log.read_events(stream, 0, 1 << 20, 1 << 20).await;
            let events = page.unwrap().events.into_iter();
            let of_documents = events.filter(|it| it.kind == OutboxKind::DocumentChanged);
            told.extend(of_documents.map(|it| it.room.room.to_string()));
        }
        told
    }

    async fn change(&self, document: &str, terms: UpdateTerms) {
        // No two are the same: that would be one that was sent again.
        let (document, update) = (name(document), self.clock.now().0.to_string().into());
        let changed = self.log.documents().append_update(&document, update, terms);
        changed.await.unwrap();
    }

    /// Tells of what has changed at least a second ago.
    async fn tell(&self) {
        let now = self.clock.clock()().now;
        let before = now.before(Duration::from_secs(1));
        self.log.documents().tell_changes(before).await.unwrap();
    }
}

pub(super) async fn changes_are_told_of_once_after_a_while_and_again_after_the_next(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.change("quiet", UNLIMITED).await;
    fixture.change("d", TOLD).await;
    fixture.tell().await;
    assert_eq!(fixture.told_documents().await, [""; 0]);
    fixture.clock.advance(Duration::from_millis(600));
    fixture.change("d", TOLD).await;
    fixture.clock.advance(Duration::from_millis(600));
    fixture.tell().await;
    fixture.tell().await;
    assert_eq!(fixture.told_documents().await, ["d"]);
    fixture.change("d", TOLD).await;
    fixture.clock.advance(Duration::from_secs(2));
    fixture.tell().await;
    assert_eq!(fixture.told_documents().await, ["d", "d"]);
}

pub(super) async fn a_deleted_document_is_not_told_of(kind: LogKind) {
    let fixture = kind.open(Retention::default()).await;
    fixture.change("kept", TOLD).await;
    fixture.change("deleted", TOLD).await;
    let documents = fixture.log.documents();
    assert!(documents.delete_document(&name("deleted")).await.unwrap());
    fixture.clock.advance(Duration::from_secs(2));
    fixture.tell().await;
    assert_eq!(fixture.told_documents().await, ["kept"]);
}
