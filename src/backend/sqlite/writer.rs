//! The one thread that writes: all queued commands are stored in one transaction, then published and replied to.
//!
//! In that order: a reply is sent only when the message is safely stored, can be read, and has been delivered to the hub's
//! stream.

use std::sync::Arc;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::mpsc;

use super::{
    commands::WriteCommand,
    health::{self, FileHealth},
    offsets::Offsets,
    progress_file::ProgressFile,
    room_table::{AppendOutcome, RoomTable},
    tables::log_state,
    trim::{self, TrimPass, Trimmed},
};
use crate::{
    backend::{Clock, Delivery, LogTime, ReadMarker, hot_cache::HotCache},
    error::Error,
    model::Incarnation,
};

/// How many commands one transaction takes at most.
const MAX_BATCH: usize = 4096;

/// How many transactions may fail over one batch before everything left of it is rejected.
const MAX_FAILURES: usize = 16;

pub(super) struct LogWriter {
    pub(super) db: Connection,
    pub(super) queue: mpsc::Receiver<WriteCommand>,
    pub(super) rooms: RoomTable,
    pub(super) trim_pass: TrimPass,
    pub(super) cache: Arc<HotCache>,
    pub(super) offsets: Arc<Offsets>,
    pub(super) stream: mpsc::Sender<Delivery>,
    pub(super) health: Arc<FileHealth>,
    pub(super) clock: Clock,
    /// The name of the log's incarnation.
    pub(super) incarnation: Incarnation,
    /// Keeps other processes out until this thread ends.
    pub(super) progress: ProgressFile,
}

/// What a transaction did, to be published once it is committed.
#[derive(Default)]
struct Committed {
    /// One for each append, in order.
    appends: Vec<AppendOutcome>,
    /// One for each advanced read marker, in order.
    markers: Vec<ReadMarker>,
    trimmed: Vec<Trimmed>,
    more_to_trim: bool,
    /// Something was certainly written; an empty transaction succeeds on a full disk, too.
    wrote: bool,
}

impl LogWriter {
    /// Runs until it is closed, or all senders of commands are dropped.
    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
            #[cfg(test)]
            self.run_test_hooks(&mut batch);
            self.execute(std::mem::take(&mut batch), &mut 0);
        }
        // The next start is faster when the WAL is empty; safety does not need it.
        if let Err(error) = self
            .db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        {
            tracing::warn!(%error, "final checkpoint of the log failed; nothing is lost");
        }
        self.progress
            .record(&self.incarnation, self.offsets.total());
    }

    /// Executes a batch in one transaction. If that fails, and the failure may concern one room only, the batch is halved, so
    /// that other rooms are served; after [`MAX_FAILURES`] failures the rest is rejected.
    fn execute(&mut self, mut batch: Vec<WriteCommand>, failures: &mut usize) {
        let error = match self.commit(&batch) {
            Ok(committed) => {
                self.health.record_commit(committed.wrote);
                return self.publish(batch.into_iter(), committed);
            }
            Err(error) => error,
        };
        self.rooms.discard();
        *failures += 1;
        if batch.len() > 1 && *failures < MAX_FAILURES && health::may_concern_one_room(&error) {
            let second = batch.split_off(batch.len() / 2);
            self.execute(batch, failures);
            return self.execute(second, failures);
        }
        let room = batch.iter().find_map(WriteCommand::room);
        self.health.record_write_failure(&self.db, room, &error);
        self.reject(batch.into_iter(), error);
    }

    fn commit(&mut self, batch: &[WriteCommand]) -> rusqlite::Result<Committed> {
        let now = (self.clock)();
        let mut committed = Committed::default();
        let db = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        // First the touches: a room that is being read must not be deleted by the trimming below.
        for command in batch {
            if let WriteCommand::TouchRoom { room } = command {
                self.rooms.touch(&db, room, now)?;
            }
        }
        self.rooms.flush(&db)?;
        // Then the trimming: on a full disk this may be what makes the appends succeed.
        for command in batch {
            if let WriteCommand::Trim { now, .. } = command {
                log_state::save_retention_clock(&db, now.retention_clock)?;
                committed.wrote = true;
                let (rooms, trimmed) = (&mut self.rooms, &mut committed.trimmed);
                committed.more_to_trim = self.trim_pass.step(&db, rooms, *now, trimmed)?;
            }
        }
        trim::trim_over_limit(&db, &mut self.rooms, batch.len(), &mut committed.trimmed)?;
        for command in batch {
            write(&db, &mut self.rooms, command, now, &mut committed)?;
        }
        self.rooms.flush(&db)?;
        db.commit()?;
        Ok(committed)
    }

    fn publish(&mut self, batch: impl Iterator<Item = WriteCommand>, committed: Committed) {
        for trimmed in committed.trimmed {
            match trimmed {
                Trimmed::Messages(room, oldest, offset) => self.cache.trim(&room, oldest, offset),
                Trimmed::Room(room) => self.cache.remove_room(&room),
            }
        }
        let appends = &committed.appends;
        self.cache
            .extend(appends.iter().filter_map(AppendOutcome::for_cache));
        self.offsets
            .advance(appends.iter().filter_map(|it| it.stored.as_deref()));
        let mut appends = committed.appends.into_iter();
        let mut markers = committed.markers.into_iter();
        for command in batch {
            // The caller may have gone away; what it requested is done all the same.
            match command {
                WriteCommand::Append { reply, permit, .. } => {
                    drop(permit);
                    let outcome = appends.next().expect("one outcome for each append");
                    if let Some(message) = outcome.stored {
                        // Blocks while the hub is behind, and so do all appends.
                        let _ = self.stream.blocking_send(Delivery::Message(message));
                    }
                    let _ = reply.send(Ok(outcome.appended));
                }
                WriteCommand::AdvanceMarker { reply, .. } => {
                    let marker = markers.next().expect("one result for each marker");
                    let _ = reply.send(Ok(marker));
                }
                WriteCommand::TouchRoom { .. } => {}
                WriteCommand::ChangeSession { reply, .. } | WriteCommand::Probe { reply } => {
                    let _ = reply.send(Ok(()));
                }
                WriteCommand::Trim { reply, .. } => {
                    // Once per pass, which is once a minute.
                    if !committed.more_to_trim {
                        self.progress
                            .record(&self.incarnation, self.offsets.total());
                    }
                    let _ = reply.send(Ok(committed.more_to_trim));
                }
                WriteCommand::Close => self.queue.close(),
                #[cfg(test)]
                WriteCommand::WithConnection(_) => {}
            }
        }
    }

    fn reject(&mut self, batch: impl Iterator<Item = WriteCommand>, cause: rusqlite::Error) {
        let error = Error::unavailable("the log cannot store it now; retry with the same id")
            .caused_by(cause);
        for command in batch {
            match command {
                WriteCommand::Append { reply, .. } => {
                    let _ = reply.send(Err(error.clone()));
                }
                WriteCommand::AdvanceMarker { reply, .. } => {
                    let _ = reply.send(Err(error.clone()));
                }
                WriteCommand::TouchRoom { .. } => {}
                WriteCommand::ChangeSession { reply, .. } | WriteCommand::Probe { reply } => {
                    let _ = reply.send(Err(error.clone()));
                }
                WriteCommand::Trim { reply, .. } => {
                    let _ = reply.send(Err(error.clone()));
                }
                WriteCommand::Close => self.queue.close(),
                #[cfg(test)]
                WriteCommand::WithConnection(_) => {}
            }
        }
    }

    #[cfg(test)]
    fn run_test_hooks(&self, batch: &mut Vec<WriteCommand>) {
        let is_hook =
            |command: &mut WriteCommand| matches!(command, WriteCommand::WithConnection(_));
        for command in batch.extract_if(.., is_hook) {
            if let WriteCommand::WithConnection(hook) = command {
                hook(&self.db);
            }
        }
    }
}

/// Writes what one command stores, in its place among the others.
fn write(
    db: &Connection,
    rooms: &mut RoomTable,
    command: &WriteCommand,
    now: LogTime,
    committed: &mut Committed,
) -> rusqlite::Result<()> {
    match command {
        WriteCommand::Append { draft, .. } => {
            let outcome = rooms.append(db, draft, now)?;
            committed.wrote |= outcome.stored.is_some();
            committed.appends.push(outcome);
        }
        WriteCommand::AdvanceMarker {
            room, user, seq, ..
        } => {
            let marker = rooms.advance_marker(db, room, user, *seq, now)?;
            committed.wrote |= marker.moved;
            committed.markers.push(marker);
        }
        WriteCommand::ChangeSession { change, .. } => committed.wrote |= change.apply(db, now)?,
        WriteCommand::Probe { .. } => {
            health::probe_write(db, now)?;
            committed.wrote = true;
        }
        WriteCommand::Close => log_state::save_retention_clock(db, now.retention_clock)?,
        _ => {}
    }
    Ok(())
}
