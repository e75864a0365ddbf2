//! Reads from the database on a few threads of their own, each with its own connection: in WAL mode they see the last
//! commit and never wait for the one being made.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, params, types::Type};
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use super::{
    books::{int, nat},
    marks,
    schema::{self, OpenError},
};
use crate::{
    backend::{Keep, Mark, Page, PageSize, Range, closed, recent::Space},
    error::{Error, Result},
    model::{
        Epoch, EventName, Message, MessageId, Offset, RoomKey, Sender, Seq, Timestamp, UserId,
    },
};

/// How many reads may wait for a thread before callers wait to ask.
const JOBS: usize = 1024;

/// What to read.
pub(super) struct Request {
    pub(super) room: RoomKey,
    pub(super) range: Range,
    pub(super) size: PageSize,
    pub(super) keep: Keep,
    pub(super) now: Timestamp,
}

/// A page from the database.
pub(super) struct Found {
    pub(super) page: Page,
    /// When `page.oldest` was stored, if it was.
    pub(super) oldest_ts: Option<Timestamp>,
    /// When the room was last written, or created.
    pub(super) ts: Timestamp,
}

enum Job {
    Read(Request, oneshot::Sender<Result<Option<Found>>>),
    Marked(RoomKey, UserId, oneshot::Sender<Result<Mark>>),
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
    ) -> Result<(Self, Vec<JoinHandle<()>>), OpenError> {
        let count = count.max(1);
        let (jobs, queue) = mpsc::channel(JOBS);
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let db = schema::reader(path, busy)?;
            threads.push(spawn(db, queue.clone()).map_err(OpenError::Threads)?);
        }
        Ok((Self { jobs, count }, threads))
    }

    /// The page asked for; `None` if there is no such room.
    pub(super) async fn read(&self, request: Request) -> Result<Option<Found>> {
        let (answer, found) = oneshot::channel();
        self.jobs
            .send(Job::Read(request, answer))
            .await
            .map_err(|_| closed())?;
        found.await.map_err(|_| closed())?
    }

    /// Where a user's mark stands.
    pub(super) async fn marked(&self, room: RoomKey, user: UserId) -> Result<Mark> {
        let (answer, mark) = oneshot::channel();
        self.jobs
            .send(Job::Marked(room, user, answer))
            .await
            .map_err(|_| closed())?;
        mark.await.map_err(|_| closed())?
    }

    /// Answers what was asked so far, then ends the threads.
    pub(super) async fn stop(&self) {
        for _ in 0..self.count {
            // They may have ended already.
            let _ = self.jobs.send(Job::Stop).await;
        }
    }
}

fn spawn(mut db: Connection, queue: Arc<Mutex<mpsc::Receiver<Job>>>) -> io::Result<JoinHandle<()>> {
    let run = move || {
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
                    let _ = answer.send(found.map_err(|error| failed(&request.room, error)));
                }
                Some(Job::Marked(room, user, answer)) => {
                    let mark = marks::find(&db, &room, &user);
                    let _ = answer.send(mark.map_err(|error| failed(&room, error)));
                }
                Some(Job::Stop) | None => return,
            }
        }
    };
    std::thread::Builder::new()
        .name("log-reader".into())
        .spawn(run)
}

fn failed(room: &RoomKey, error: rusqlite::Error) -> Error {
    tracing::error!(%error, room = %room.room, "cannot read the log");
    Error::unavailable("the log cannot be read now; try again").caused_by(error)
}

fn find(db: &mut Connection, request: &Request) -> rusqlite::Result<Option<Found>> {
    // One transaction, so that the room's row and its messages are of one moment.
    let db = db.transaction()?;
    let row = db
        .prepare_cached(
            "SELECT rooms.id, epoch, head, oldest, ts
             FROM rooms JOIN namespaces ON namespaces.id = rooms.namespace
             WHERE namespaces.name = ?1 AND rooms.name = ?2",
        )?
        .query_row(
            params![request.room.namespace.as_str(), request.room.room.as_str()],
            |row| {
                let id: i64 = row.get(0)?;
                let epoch = Epoch::from_text(row.get_ref(1)?.as_str()?);
                let (head, oldest) = (Seq(nat(row.get(2)?)), Seq(nat(row.get(3)?)));
                Ok((id, epoch, head, oldest, Timestamp(nat(row.get(4)?))))
            },
        )
        .optional()?;
    let Some((id, epoch, head, oldest, ts)) = row else {
        return Ok(None);
    };
    let oldest = first_since(&db, id, oldest, head, request.keep.cutoff(request.now))?;
    let (messages, more) = messages(&db, id, request, oldest, head)?;
    let page = Page {
        epoch,
        head,
        oldest,
        messages,
        more,
    };
    Ok(Some(Found {
        oldest_ts: time_of(&db, id, oldest)?,
        page,
        ts,
    }))
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
    let old = |seq| -> rusqlite::Result<bool> {
        Ok(time_of(db, room, seq)?.is_none_or(|ts| ts < cutoff))
    };
    // Mostly nothing is too old.
    if oldest > head || !old(oldest)? {
        return Ok(oldest);
    }
    let (mut low, mut high) = (oldest.next(), head.next());
    while low < high {
        let middle = Seq(low.0.midpoint(high.0));
        if old(middle)? {
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

const FORWARD: &str = r#"SELECT seq, "offset", ts, id, event, user, name, data FROM messages
       WHERE room = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq LIMIT ?4"#;
const BACKWARD: &str = r#"SELECT seq, "offset", ts, id, event, user, name, data FROM messages
       WHERE room = ?1 AND seq >= ?2 AND seq < ?3 ORDER BY seq DESC LIMIT ?4"#;

/// The messages asked for, oldest first, and whether there are more of them.
fn messages(
    db: &Connection,
    room: i64,
    request: &Request,
    oldest: Seq,
    head: Seq,
) -> rusqlite::Result<(Vec<Arc<Message>>, bool)> {
    let (start, end, query) = match request.range {
        Range::After(seq) => (seq.min(head).next().max(oldest), head.next(), FORWARD),
        Range::Before(seq) => (oldest, seq.min(head.next()), BACKWARD),
        Range::Last => (oldest, head.next(), BACKWARD),
    };
    if start >= end || request.size.messages == 0 {
        return Ok((Vec::new(), start < end));
    }
    let mut statement = db.prepare_cached(query)?;
    let most = int(u64::try_from(request.size.messages).unwrap_or(u64::MAX));
    let mut rows = statement.query(params![room, int(start.0), int(end.0), most])?;
    let mut space = Space::new(request.size);
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if !space.admits(row.get_ref(7)?.as_str()?.len()) {
            break;
        }
        found.push(Arc::new(message(&request.room, row)?));
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
    let data = RawValue::from_string(row.get(7)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(7, Type::Text, error.into()))?;
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
    })
}
