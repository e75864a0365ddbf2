//! The one thread that writes: whatever waits is stored in one transaction, then shown, delivered and answered.
//!
//! In that order: a receipt is settled only when the message is safely stored, can be read, and is on its way.

use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    health::{self, Health},
    offsets::Offsets,
    read_markers,
    room_table::{Outcome, RoomTable},
    schema,
    sessions::{self, Change},
    trim::{self, Pass, Taken},
    witness::Witness,
};
use crate::{
    backend::{Appended, Clock, Delivery, Draft, LogTime, ReadMarker, hot_cache::HotCache},
    error::{Error, Result},
    model::{Epoch, RoomKey, Seq, UserId},
};

/// How many commands one transaction takes at most.
const BATCH: usize = 4096;

/// How many transactions may fail over one batch until all that is left of it is refused.
const FAILURES: usize = 16;

/// What the writer is asked to do.
pub(super) enum Command {
    /// Store a draft.
    Append {
        draft: Draft,
        settle: oneshot::Sender<Result<Appended>>,
        /// The draft's share of the bytes that may wait; given back when this is dropped.
        space: OwnedSemaphorePermit,
    },
    /// Move a user's mark forward, in order with the drafts.
    Mark {
        room: RoomKey,
        user: UserId,
        seq: Seq,
        done: oneshot::Sender<Result<ReadMarker>>,
    },
    /// Change a stored session.
    Session {
        change: Change,
        done: oneshot::Sender<Result<()>>,
    },
    /// Note that a room is still in use.
    Visit { room: RoomKey },
    /// Take one step of a pass over all rooms; answers whether there is more to do.
    Trim {
        now: LogTime,
        done: oneshot::Sender<Result<bool>>,
    },
    /// Find out whether storing works again.
    Probe { done: oneshot::Sender<Result<()>> },
    /// Store what was accepted and end.
    Close,
    /// Whatever a test wants to do to the connection.
    #[cfg(test)]
    Meddle(Box<dyn FnOnce(&Connection) + Send>),
}

impl Command {
    /// The room that it is about.
    fn room(&self) -> Option<&RoomKey> {
        match self {
            Self::Append { draft, .. } => Some(&draft.room),
            Self::Mark { room, .. } | Self::Visit { room, .. } => Some(room),
            _ => None,
        }
    }
}

pub(super) struct Writer {
    pub(super) db: Connection,
    pub(super) queue: mpsc::Receiver<Command>,
    pub(super) rooms: RoomTable,
    pub(super) pass: Pass,
    pub(super) tail: Arc<HotCache>,
    pub(super) offsets: Arc<Offsets>,
    pub(super) stream: mpsc::Sender<Delivery>,
    pub(super) health: Arc<Health>,
    pub(super) clock: Clock,
    /// The name of the log's incarnation.
    pub(super) incarnation: Epoch,
    /// Keeps other processes out for as long as this thread lives.
    pub(super) witness: Witness,
}

/// What a transaction did, to be told once it is committed.
#[derive(Default)]
struct Done {
    /// One for each append, in order.
    appends: Vec<Outcome>,
    /// One for each mark, in order.
    marks: Vec<ReadMarker>,
    taken: Vec<Taken>,
    more_to_trim: bool,
    /// Something was surely written; an empty transaction succeeds on a full disk too.
    wrote: bool,
}

impl Writer {
    /// Works until nobody can ask any more.
    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.blocking_recv_many(&mut batch, BATCH) > 0 {
            #[cfg(test)]
            self.meddle(&mut batch);
            self.carry_out(std::mem::take(&mut batch), &mut 0);
        }
        // A later start is quicker when the log proper holds everything; it is not needed for safety.
        if let Err(error) = self
            .db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        {
            tracing::warn!(%error, "cannot tidy the log while closing; nothing is lost");
        }
        self.witness.note(&self.incarnation, self.offsets.total());
    }

    /// Does it in one transaction. If that fails and may concern one room, half of it at a time, so that the others are served;
    /// after so many failures what is left is refused.
    fn carry_out(&mut self, mut batch: Vec<Command>, failures: &mut usize) {
        let error = match self.transact(&batch) {
            Ok(done) => {
                self.health.committed(done.wrote);
                return self.tell(batch.into_iter(), done);
            }
            Err(error) => error,
        };
        self.rooms.discard();
        *failures += 1;
        if batch.len() > 1 && *failures < FAILURES && health::may_be_of_one_room(&error) {
            let second = batch.split_off(batch.len() / 2);
            self.carry_out(batch, failures);
            return self.carry_out(second, failures);
        }
        let rooms = batch.iter().find_map(Command::room);
        self.health.not_written(&self.db, rooms, &error);
        self.refuse(batch.into_iter(), error);
    }

    fn transact(&mut self, batch: &[Command]) -> rusqlite::Result<Done> {
        let now = (self.clock)();
        let mut done = Done::default();
        let db = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        // A room that is read at this moment is not to be forgotten by the trimming.
        for command in batch {
            if let Command::Visit { room } = command {
                self.rooms.touch(&db, room, now)?;
            }
        }
        self.rooms.flush(&db)?;
        // Then what makes room: on a full disk this may be what lets the appends succeed.
        for command in batch {
            if let Command::Trim { now, .. } = command {
                schema::keep_aged(&db, now.retention_clock)?;
                done.wrote = true;
                done.more_to_trim = self
                    .pass
                    .step(&db, &mut self.rooms, *now, &mut done.taken)?;
            }
        }
        trim::overfull(&db, &mut self.rooms, batch.len(), &mut done.taken)?;
        for command in batch {
            match command {
                Command::Append { draft, .. } => {
                    let outcome = self.rooms.append(&db, draft, now)?;
                    done.wrote |= outcome.stored.is_some();
                    done.appends.push(outcome);
                }
                Command::Mark {
                    room, user, seq, ..
                } => {
                    let mark = read_markers::set(&db, &mut self.rooms, room, user, *seq, now)?;
                    done.wrote |= mark.moved;
                    done.marks.push(mark);
                }
                Command::Session { change, .. } => {
                    done.wrote |= sessions::apply(&db, change, now)?;
                }
                Command::Probe { .. } => {
                    health::probe(&db, now)?;
                    done.wrote = true;
                }
                Command::Close => schema::keep_aged(&db, now.retention_clock)?,
                _ => {}
            }
        }
        self.rooms.flush(&db)?;
        db.commit()?;
        Ok(done)
    }

    fn tell(&mut self, batch: impl Iterator<Item = Command>, done: Done) {
        for taken in done.taken {
            match taken {
                Taken::Messages(room, oldest, trimmed) => self.tail.trim(&room, oldest, trimmed),
                Taken::Room(room) => self.tail.forget(&room),
            }
        }
        self.tail
            .extend(done.appends.iter().filter_map(Outcome::for_tail));
        let stored = done.appends.iter().filter_map(|it| it.stored.as_deref());
        self.offsets.advance(stored);
        let mut appends = done.appends.into_iter();
        let mut marks = done.marks.into_iter();
        for command in batch {
            // Whoever asked may be gone; what was asked is done all the same.
            match command {
                Command::Append { settle, space, .. } => {
                    drop(space);
                    let outcome = appends.next().expect("one outcome for each append");
                    if let Some(message) = outcome.stored {
                        // Waits while the hub is behind, and with it all who append.
                        let _ = self.stream.blocking_send(Delivery::Message(message));
                    }
                    let _ = settle.send(Ok(outcome.appended));
                }
                Command::Mark { done, .. } => {
                    let mark = marks.next().expect("one answer for each mark");
                    let _ = done.send(Ok(mark));
                }
                Command::Visit { .. } => {}
                Command::Session { done, .. } | Command::Probe { done } => {
                    let _ = done.send(Ok(()));
                }
                Command::Trim { done: answer, .. } => {
                    // Once a pass, which is once a minute.
                    if !done.more_to_trim {
                        self.witness.note(&self.incarnation, self.offsets.total());
                    }
                    let _ = answer.send(Ok(done.more_to_trim));
                }
                Command::Close => self.queue.close(),
                #[cfg(test)]
                Command::Meddle(_) => {}
            }
        }
    }

    fn refuse(&mut self, batch: impl Iterator<Item = Command>, cause: rusqlite::Error) {
        let error = Error::unavailable("the log cannot store it now; retry with the same id")
            .caused_by(cause);
        for command in batch {
            match command {
                Command::Append { settle, .. } => {
                    let _ = settle.send(Err(error.clone()));
                }
                Command::Mark { done, .. } => {
                    let _ = done.send(Err(error.clone()));
                }
                Command::Visit { .. } => {}
                Command::Session { done, .. } | Command::Probe { done } => {
                    let _ = done.send(Err(error.clone()));
                }
                Command::Trim { done, .. } => {
                    let _ = done.send(Err(error.clone()));
                }
                Command::Close => self.queue.close(),
                #[cfg(test)]
                Command::Meddle(_) => {}
            }
        }
    }

    #[cfg(test)]
    fn meddle(&self, batch: &mut Vec<Command>) {
        for command in batch.extract_if(.., |command| matches!(command, Command::Meddle(_))) {
            if let Command::Meddle(meddle) = command {
                meddle(&self.db);
            }
        }
    }
}
