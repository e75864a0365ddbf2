//! Reads from the database on a few threads of their own, each with its own connection: in WAL mode they see the last
//! commit and never wait for the one being made.

use std::{
    io,
    ops::Range as Span,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use super::{
    health::Health,
    read_markers,
    room_table::{self, int, nat},
    schema::{self, OpenError},
    sessions,
};
use crate::{
    backend::{
        LogTime, Missed, Page, PageSize, Range, ReadMarker, RetentionPolicy, StoredSession, closed,
        recent::PageBudget,
    },
    error::{Error, Result},
    model::{
        Epoch, EventName, Message, MessageId, Offset, Pid, RoomKey, Sender, Seq, Timestamp, UserId,
    },
};

/// How many reads may wait for a thread before callers wait to ask.
const JOBS: usize = 1024;

/// What to read.
pub(super) struct Request {
    pub(super) room: RoomKey,
    pub(super) range: Range,
    pub(super) size: PageSize,
    pub(super) keep: RetentionPolicy,
    pub(super) now: LogTime,
}

/// Which messages somebody has missed.
pub(super) struct Gap {
    pub(super) room: RoomKey,
    pub(super) after: Offset,
    pub(super) until: Offset,
    pub(super) size: PageSize,
    /// Messages from before this time are not shown.
    pub(super) cutoff: Timestamp,
}

/// What the database has of a room.
pub(super) enum Read {
    Found(Found),
    /// Nobody has written to it; how many rooms were forgotten that share its counter.
    Unwritten {
        forgotten: u64,
    },
}

/// A page from the database.
pub(super) struct Found {
    pub(super) page: Page,
    /// When `page.oldest` was stored, if it was.
    pub(super) oldest_ts: Option<Timestamp>,
    /// When the room was last written, or read after that.
    pub(super) ts: Timestamp,
}

enum Job {
    Read(Request, oneshot::Sender<Result<Read>>),
    Missed(Gap, oneshot::Sender<Result<Missed>>),
    Marked(RoomKey, UserId, oneshot::Sender<Result<ReadMarker>>),
    Session(
        Pid,
        Timestamp,
        oneshot::Sender<Result<Option<StoredSession>>>,
    ),
    /// Look whether reading works again.
    Look(oneshot::Sender<()>),
    Stop,
}

/// The threads that read.
pub(super) struct Readers {
    jobs: mpsc::Sender<Job>,
    count: usize,
}

impl Readers {
    /// Starts `count` threads on the database at `path`.
    pub(super) fn start(
        path: &Path,
        count: usize,
        busy: Duration,
        health: &Arc<Health>,
    ) -> Result<(Self, Vec<JoinHandle<()>>), OpenError> {
        let count = count.max(1);
        let (jobs, queue) = mpsc::channel(JOBS);
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let db = schema::reader(path, busy)?;
            threads.push(spawn(db, queue.clone(), health.clone()).map_err(OpenError::Threads)?);
        }
        Ok((Self { jobs, count }, threads))
    }

    /// The page asked for, if there is such a room.
    pub(super) async fn read(&self, request: Request) -> Result<Read> {
        self.ask(|answer| Job::Read(request, answer)).await
    }

    /// The messages that were missed.
    pub(super) async fn missed(&self, gap: Gap) -> Result<Missed> {
        self.ask(|answer| Job::Missed(gap, answer)).await
    }

    /// Where a user's mark stands.
    pub(super) async fn marked(&self, room: RoomKey, user: UserId) -> Result<ReadMarker> {
        self.ask(|answer| Job::Marked(room, user, answer)).await
    }

    /// The session, unless it ended before `expired`.
    pub(super) async fn session(
        &self,
        pid: Pid,
        expired: Timestamp,
    ) -> Result<Option<StoredSession>> {
        self.ask(|answer| Job::Session(pid, expired, answer)).await
    }

    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<Result<T>>) -> Job) -> Result<T> {
        let (answer, found) = oneshot::channel();
        self.jobs.send(job(answer)).await.map_err(|_| closed())?;
        found.await.map_err(|_| closed())?
    }

    /// Looks whether reading works again.
    pub(super) async fn look(&self) {
        let (done, looked) = oneshot::channel();
        if self.jobs.send(Job::Look(done)).await.is_ok() {
            let _ = looked.await;
        }
    }

    /// Answers what was asked so far, then ends the threads.
    pub(super) async fn stop(&self) {
        for _ in 0..self.count {
            // They may have ended already.
            let _ = self.jobs.send(Job::Stop).await;
        }
    }
}

fn spawn(
    mut db: Connection,
    queue: Arc<Mutex<mpsc::Receiver<Job>>>,
    health: Arc<Health>,
) -> io::Result<JoinHandle<()>> {
    let run = move || {
        let failed = |db: &Connection, room: Option<&RoomKey>, error: rusqlite::Error| {
            health.not_read(db, room, &error);
            Error::unavailable("the log cannot be read now; try again").caused_by(error)
        };
        loop {
            // One thread waits for a job and the others for their turn to wait.
            let job = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .blocking_recv();
            // Whoever asked may be gone.
            match job {
                Some(Job::Read(request, answer)) => {
                    let found = find(&mut db, &request);
                    let _ =
                        answer.send(found.map_err(|error| failed(&db, Some(&request.room), error)));
                }
                Some(Job::Missed(gap, answer)) => {
                    let missed = find_missed(&mut db, &gap);
                    let _ =
                        answer.send(missed.map_err(|error| failed(&db, Some(&gap.room), error)));
                }
                Some(Job::Marked(room, user, answer)) => {
                    let mark = read_markers::find(&db, &room, &user);
                    let _ = answer.send(mark.map_err(|error| failed(&db, Some(&room), error)));
                }
                Some(Job::Session(pid, expired, answer)) => {
                    let session = sessions::find(&db, pid, expired);
                    let _ = answer.send(session.map_err(|error| failed(&db, None, error)));
                }
                Some(Job::Look(done)) => {
                    health.look_again(&db);
                    let _ = done.send(());
                }
                Some(Job::Stop) | None => return,
            }
        }
    };
    std::thread::Builder::new()
        .name("log-reader".into())
        .spawn(run)
}

fn find(db: &mut Connection, request: &Request) -> rusqlite::Result<Read> {
    // One transaction, so that the room's row and its messages are of one moment.
    let db = db.transaction()?;
    let Some(row) = room_row(&db, &request.room)? else {
        let forgotten = room_table::forgotten(&db, &request.room)?;
        return Ok(Read::Unwritten { forgotten });
    };
    let (id, head) = (row.id, row.head);
    let oldest = first_since(&db, id, row.oldest, head, request.keep.cutoff(request.now))?;
    let (span, query) = match request.range {
        Range::After(seq) => (seq.min(head).next().max(oldest)..head.next(), FORWARD),
        Range::Before(seq) => (oldest..seq.min(head.next()), BACKWARD),
        Range::Last => (oldest..head.next(), BACKWARD),
    };
    let (messages, more) = messages(&db, id, &request.room, span, query, request.size)?;
    let page = Page {
        epoch: row.epoch,
        head,
        offset: row.offset,
        oldest,
        messages,
        more,
    };
    Ok(Read::Found(Found {
        oldest_ts: time_of(&db, id, oldest)?,
        page,
        ts: row.ts,
    }))
}

fn find_missed(db: &mut Connection, gap: &Gap) -> rusqlite::Result<Missed> {
    let db = db.transaction()?;
    let row = match room_row(&db, &gap.room)? {
        Some(row) if row.offset > gap.after => row,
        _ => return Ok(Missed::nothing()),
    };
    let (id, oldest, head) = (row.id, row.oldest, row.head);
    let start = first_beyond(&db, id, oldest, head, gap.after)?;
    let end = if row.offset <= gap.until {
        head.next()
    } else {
        first_beyond(&db, id, start, head, gap.until)?
    };
    let young = first_since(&db, id, oldest, head, gap.cutoff)?;
    let span = start.max(young)..end;
    let (messages, more) = messages(&db, id, &gap.room, span, FORWARD, gap.size)?;
    Ok(Missed {
        messages,
        more,
        complete: row.trimmed <= gap.after && young <= start,
    })
}

/// What is known of a room without looking at its messages.
struct RoomRow {
    id: i64,
    epoch: Epoch,
    head: Seq,
    oldest: Seq,
    ts: Timestamp,
    offset: Offset,
    trimmed: Offset,
}

fn room_row(db: &Connection, room: &RoomKey) -> rusqlite::Result<Option<RoomRow>> {
    db.prepare_cached(
        r#"SELECT rooms.id, epoch, head, oldest, ts, rooms."offset", trimmed
           FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
           WHERE namespaces.name = ?1 AND rooms.name = ?2"#,
    )?
    .query_row(
        params![room.namespace.as_str(), room.room.as_str()],
        |row| {
            Ok(RoomRow {
                id: row.get(0)?,
                epoch: Epoch::from_text(row.get_ref(1)?.as_str()?),
                head: Seq(nat(row.get(2)?)),
                oldest: Seq(nat(row.get(3)?)),
                ts: Timestamp(nat(row.get(4)?)),
                offset: Offset(nat(row.get(5)?)),
                trimmed: Offset(nat(row.get(6)?)),
            })
        },
    )
    .optional()
}

/// The first of `oldest..=head` that is not from before `cutoff`, or `head + 1`. Times never fall within a room, so
/// the too old ones are the beginning.
pub(super) fn first_since(
    db: &Connection,
    room: i64,
    oldest: Seq,
    head: Seq,
    cutoff: Timestamp,
) -> rusqlite::Result<Seq> {
    first_not(oldest, head, |seq| {
        Ok(time_of(db, room, seq)?.is_none_or(|ts| ts < cutoff))
    })
}

/// The first of `oldest..=head` with an offset greater than `after`, or `head + 1`. Offsets grow within a room.
fn first_beyond(
    db: &Connection,
    room: i64,
    oldest: Seq,
    head: Seq,
    after: Offset,
) -> rusqlite::Result<Seq> {
    first_not(oldest, head, |seq| {
        Ok(offset_of(db, room, seq)?.is_none_or(|offset| offset <= after))
    })
}

/// The first of `oldest..=head` that `passed` is not true of, or `head + 1`; it is true of those at the beginning only.
fn first_not(
    oldest: Seq,
    head: Seq,
    passed: impl Fn(Seq) -> rusqlite::Result<bool>,
) -> rusqlite::Result<Seq> {
    // Mostly it is true of none.
    if oldest > head || !passed(oldest)? {
        return Ok(oldest);
    }
    let (mut low, mut high) = (oldest.next(), head.next());
    while low < high {
        let middle = Seq(low.0.midpoint(high.0));
        if passed(middle)? {
            low = middle.next();
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn time_of(db: &Connection, room: i64, seq: Seq) -> rusqlite::Result<Option<Timestamp>> {
    db.prepare_cached("SELECT ts FROM messages WHERE room = ?1 AND seq = ?2")?
        .query_row(params![room, int(seq.0)], |row| {
            Ok(Timestamp(nat(row.get(0)?)))
        })
        .optional()
}

fn offset_of(db: &Connection, room: i64, seq: Seq) -> rusqlite::Result<Option<Offset>> {
    db.prepare_cached(r#"SELECT "offset" FROM messages WHERE room = ?1 AND seq = ?2"#)?
        .query_row(params![room, int(seq.0)], |row| {
            Ok(Offset(nat(row.get(0)?)))
        })
        .optional()
}

const FORWARD: &str = r#"SELECT seq, "offset", ts, id, event, user, name, data, "except" FROM messages
       WHERE room = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq LIMIT ?4"#;
const BACKWARD: &str = r#"SELECT seq, "offset", ts, id, event, user, name, data, "except" FROM messages
       WHERE room = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"#;

/// The messages of a span that fit, oldest first, and whether there are more of them.
fn messages(
    db: &Connection,
    id: i64,
    room: &RoomKey,
    Span { start, end }: Span<Seq>,
    query: &'static str,
    size: PageSize,
) -> rusqlite::Result<(Vec<Arc<Message>>, bool)> {
    if start >= end || size.messages == 0 {
        return Ok((Vec::new(), start < end));
    }
    let mut statement = db.prepare_cached(query)?;
    let most = int(u64::try_from(size.messages).unwrap_or(u64::MAX));
    let mut rows = statement.query(params![id, int(start.0), int(end.0), most])?;
    let mut space = PageBudget::new(size);
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if !space.admits(row.get_ref(7)?.as_str()?.len()) {
            break;
        }
        found.push(Arc::new(message(room, row)?));
    }
    if query == BACKWARD {
        found.reverse();
    }
    let more = (found.len() as u64) < end.0 - start.0;
    Ok((found, more))
}

fn message(room: &RoomKey, row: &Row<'_>) -> rusqlite::Result<Message> {
    let user = row.get_ref(5)?.as_str_or_null()?;
    let name = row.get_ref(6)?.as_str_or_null()?;
    let data = RawValue::from_string(row.get(7)?).map_err(|error| damaged(7, error))?;
    let except = row.get_ref(8)?.as_str_or_null()?.map(str::parse);
    Ok(Message {
        room: room.clone(),
        seq: Seq(nat(row.get(0)?)),
        offset: Offset(nat(row.get(1)?)),
        ts: Timestamp(nat(row.get(2)?)),
        id: MessageId::from_log(row.get_ref(3)?.as_str()?),
        event: EventName::from_log(row.get_ref(4)?.as_str()?),
        from: user.map(|user| Sender {
            user: UserId::from_log(user),
            name: name.map(Into::into),
        }),
        data: data.into(),
        except: except
            .transpose()
            .map_err(|error: Error| damaged(8, error))?,
    })
}

/// A column holds what was never written there.
pub(super) fn damaged(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
