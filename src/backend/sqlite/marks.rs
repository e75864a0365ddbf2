//! The read marks in the database: set by the writer among the messages, read by the readers, swept once a day.

use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};

use super::{
    SqliteLog,
    books::{Books, int, nat},
    trim::STEP,
    writer::Command,
};
use crate::{
    backend::{Mark, Marks, Retention, Time, marks::Kept},
    error::Result,
    model::{RoomKey, RoomName, Seq, Timestamp, UserId},
};

/// How long a sweep rests when it has looked at every mark. Marks live for weeks, so that looking more often, or an
/// index that every mark would have to pay for, would gain little.
const REST: Duration = Duration::from_secs(24 * 3600);

#[async_trait]
impl Marks for SqliteLog {
    async fn mark(&self, room: &RoomKey, user: &UserId, seq: Seq) -> Result<Mark> {
        self.check_open()?;
        self.ask(|done| Command::Mark {
            room: room.clone(),
            user: user.clone(),
            seq,
            done,
        })
        .await
    }

    async fn marked(&self, room: &RoomKey, user: &UserId) -> Result<Mark> {
        self.check_open()?;
        self.readers.marked(room.clone(), user.clone()).await
    }
}

/// Moves a mark forward as far as the room goes at this point of the transaction.
pub(super) fn set(
    db: &Connection,
    books: &mut Books,
    room: &RoomKey,
    user: &UserId,
    seq: Seq,
    now: Time,
) -> rusqlite::Result<Mark> {
    books.visit(db, room, now)?;
    let Some(row) = books.find(db, room)? else {
        return Ok(Mark::default());
    };
    let (room, head) = (row.id, row.head);
    let old = kept(db, room, user)?;
    let Some(new) = old.set(seq, head, now) else {
        return Ok(Mark::at(old.seq, head, false));
    };
    db.prepare_cached(
        "INSERT INTO marks (room, user, seq, ts) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (room, user) DO UPDATE SET seq = excluded.seq, ts = excluded.ts",
    )?
    .execute(params![room, user.as_str(), int(new.seq.0), int(new.ts.0)])?;
    Ok(Mark::at(new.seq, head, new.seq > old.seq))
}

fn kept(db: &Connection, room: i64, user: &UserId) -> rusqlite::Result<Kept> {
    let row = db
        .prepare_cached("SELECT seq, ts FROM marks WHERE room = ?1 AND user = ?2")?
        .query_row(params![room, user.as_str()], |row| {
            Ok(Kept {
                seq: Seq(nat(row.get(0)?)),
                ts: Timestamp(nat(row.get(1)?)),
            })
        })
        .optional()?;
    Ok(row.unwrap_or(Kept::NEVER))
}

/// Where a mark stands as of the last commit.
pub(super) fn find(db: &Connection, room: &RoomKey, user: &UserId) -> rusqlite::Result<Mark> {
    let row = db
        .prepare_cached(
            "SELECT coalesce(marks.seq, 0), head
             FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
             LEFT JOIN marks ON marks.room = rooms.id AND marks.user = ?3
             WHERE namespaces.name = ?1 AND rooms.name = ?2",
        )?
        .query_row(
            params![room.namespace.as_str(), room.room.as_str(), user.as_str()],
            |row| {
                let (seq, head) = (nat(row.get(0)?), nat(row.get(1)?));
                Ok(Mark::at(Seq(seq), Seq(head), false))
            },
        )
        .optional()?;
    Ok(row.unwrap_or_default())
}

/// Where the sweep over all marks stands.
#[derive(Default)]
pub(super) struct Sweep {
    /// The last mark that was looked at: its room and user.
    after: (i64, String),
    /// When the last one came to its end.
    ended: Option<Timestamp>,
}

struct Candidate {
    room: i64,
    user: String,
    stale: bool,
}

impl Sweep {
    /// Looks at the next few marks, if it is time to; whether there are more.
    pub(super) fn step(
        &mut self,
        db: &Connection,
        retention: &Retention,
        now: Time,
    ) -> rusqlite::Result<bool> {
        if self
            .ended
            .is_some_and(|ended| ended > now.aged.before(REST))
        {
            return Ok(false);
        }
        let marks = candidates(db, &self.after, retention, now)?;
        let mut delete = db.prepare_cached("DELETE FROM marks WHERE room = ?1 AND user = ?2")?;
        for mark in marks.iter().filter(|mark| mark.stale) {
            delete.execute(params![mark.room, mark.user])?;
        }
        let more = marks.len() == STEP;
        match marks.into_iter().last() {
            Some(last) if more => self.after = (last.room, last.user),
            _ => {
                *self = Self {
                    ended: Some(now.aged),
                    ..Self::default()
                }
            }
        }
        Ok(more)
    }
}

fn candidates(
    db: &Connection,
    (room, user): &(i64, String),
    retention: &Retention,
    now: Time,
) -> rusqlite::Result<Vec<Candidate>> {
    // CROSS JOIN keeps the marks outermost, in the order of their key, so that a step reads no more than its share.
    db.prepare_cached(
        "SELECT marks.room, user, marks.ts, rooms.name FROM marks CROSS JOIN rooms ON rooms.id = marks.room
         WHERE (marks.room, user) > (?1, ?2) ORDER BY marks.room, user LIMIT ?3",
    )?
    .query_map(params![room, user, int(STEP as u64)], |row| {
        let keep = retention.keep(&RoomName::from_log(row.get_ref(3)?.as_str()?));
        Ok(Candidate {
            room: row.get(0)?,
            user: row.get(1)?,
            stale: keep.stale(Timestamp(nat(row.get(2)?)), now),
        })
    })?
    .collect()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use futures_util::future::join_all;

    use super::super::{
        QUEUE,
        tests::{alone, send, with_database},
    };
    use crate::{
        backend::{
            Log, Mark, Marks,
            conformance::{draft, key},
        },
        error::Code,
        model::{Seq, UserId},
    };

    fn user(nth: u64) -> UserId {
        UserId::parse(&format!("user{nth}")).unwrap()
    }

    #[tokio::test]
    async fn marks_are_there_when_the_log_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let room = key("/", "r");
        let log = alone(folder.path(), 0);
        for _ in 0..5 {
            send(&log, draft("r", "1")).await.unwrap();
        }
        for nth in 1..=4 {
            log.mark(&room, &user(nth), Seq(nth)).await.unwrap();
        }
        log.close().await;

        let log = alone(folder.path(), 0);
        send(&log, draft("r", "1")).await.unwrap();
        for nth in 1..=4 {
            let mark = log.marked(&room, &user(nth)).await.unwrap();
            assert_eq!(mark, Mark::at(Seq(nth), Seq(6), false));
        }
        let mark = log.mark(&room, &user(4), Seq(3)).await.unwrap();
        assert_eq!(mark, Mark::at(Seq(4), Seq(6), false));
        log.close().await;
    }

    #[tokio::test]
    async fn marks_that_wait_are_stored_together_and_reading_them_does_not_wait() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(alone(folder.path(), 0));
        let room = key("/", "r");
        for _ in 0..1000 {
            // Stored all the same when nobody waits for the receipt.
            let _ = log.append(draft("r", "1")).await.unwrap();
        }
        assert_eq!(log.mark(&room, &user(1), Seq(1)).await.unwrap().unread, 999);
        let (release, stuck) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel();
        log.meddle(move |_| {
            begun.send(()).unwrap();
            let _ = stuck.recv();
        })
        .await;
        // From here on nothing is taken out of the queue.
        begins.await.unwrap();
        let before = log.health.commits();
        let waiting = log.clone();
        let waiting = tokio::spawn(async move {
            let room = key("/", "r");
            let users: Vec<_> = (1..=1000).map(user).collect();
            let marks = users.iter().zip(1..);
            let marks = marks.map(|(user, seq)| waiting.mark(&room, user, Seq(seq)));
            // Otherwise the runtime would interrupt it with places in the queue taken and nothing put there.
            tokio::task::unconstrained(join_all(marks)).await
        });
        let all_wait = async {
            while QUEUE - log.queue.capacity() < 1000 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all_wait)
            .await
            .unwrap();
        let mark = log.marked(&room, &user(1000)).await.unwrap();
        assert_eq!(mark, Mark::at(Seq(0), Seq(1000), false));
        drop(release);
        for (mark, seq) in waiting.await.unwrap().into_iter().zip(1..) {
            assert_eq!(mark.unwrap(), Mark::at(Seq(seq), Seq(1000), seq > 1));
        }
        let commits = log.health.commits() - before;
        assert!(commits <= 3, "{commits} commits for 1000 marks");
        log.close().await;
    }

    #[tokio::test]
    async fn a_mark_that_cannot_be_stored_is_refused_and_stays_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let log = alone(folder.path(), 0);
        let room = key("/", "r");
        for _ in 0..3 {
            send(&log, draft("r", "1")).await.unwrap();
        }
        log.mark(&room, &user(1), Seq(1)).await.unwrap();
        let other = with_database(folder.path());
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = log.mark(&room, &user(1), Seq(2)).await.unwrap_err();
        assert_eq!(error.code(), Code::Unavailable);
        let stands = Mark::at(Seq(1), Seq(3), false);
        assert_eq!(log.marked(&room, &user(1)).await.unwrap(), stands);
        other.execute_batch("ROLLBACK").unwrap();
        let mark = log.mark(&room, &user(1), Seq(2)).await.unwrap();
        assert_eq!(mark, Mark::at(Seq(2), Seq(3), true));
        log.close().await;
    }

    #[tokio::test]
    async fn marking_a_room_that_was_never_written_stores_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let log = alone(folder.path(), 0);
        log.mark(&key("/", "r"), &user(1), Seq(1)).await.unwrap();
        log.close().await;
        let stored: i64 = with_database(folder.path())
            .query_row(
                "SELECT (SELECT count(*) FROM rooms) + (SELECT count(*) FROM marks)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert_eq!(stored, 0);
    }
}
