//! The one thread that writes: all queued commands are stored in one transaction, which is then published by others.
//!
//! In that order: a reply is sent only when the message is safely stored, can be read, and has been delivered to the hub's
//! stream.

use std::{sync::Arc, thread, time::Instant};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    checkpoints::Checkpoints,
    commands::WriteCommand,
    commits::Commits,
    group_commit::{self, GroupCommit},
    health::{self, FileHealth},
    member_changes::MemberChanges,
    offsets::Offsets,
    outbox_table::OutboxTable,
    progress_file::ProgressFile,
    publisher::{Places, Publication, PublicationSender, Settled},
    room_table::{AppendOutcome, RoomTable},
    tables::{endpoints, log_state},
    transaction::Transaction,
    trim::{self, TrimPass, Trimmed},
};
use crate::{
    backend::{Clock, LogTime, ReadMarker},
    error::{Error, Result},
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
    pub(super) outbox: OutboxTable,
    pub(super) members: Arc<MemberChanges>,
    pub(super) offsets: Arc<Offsets>,
    pub(super) commits: Arc<Commits>,
    pub(super) places: Places,
    pub(super) committed: PublicationSender,
    /// `None`: a commit never waits for more.
    pub(super) group: Option<GroupCommit>,
    pub(super) checkpoints: Checkpoints,
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
    /// One for each change of a document, in order.
    documents: Vec<Result<u64>>,
    trimmed: Vec<Trimmed>,
    more_to_trim: bool,
    more_stale_members: bool,
    outbox_added: bool,
    /// Something was certainly written; an empty transaction succeeds on a full disk, too.
    wrote: bool,
}

impl LogWriter {
    /// Runs until it is closed, or all senders of commands are dropped.
    pub(super) fn run(mut self) {
        let mut batch = Vec::new();
        while self.receive(&mut batch) {
            let began = Instant::now();
            let commands = batch.len();
            #[cfg(test)]
            self.run_test_hooks(&mut batch);
            batch.retain(|command| !matches!(command, WriteCommand::Wake));
            let changes = self.members.take();
            if !changes.is_empty() {
                batch.insert(0, WriteCommand::ChangeMembers(changes));
            }
            self.execute(std::mem::take(&mut batch), &mut 0);
            let now = Instant::now();
            if let Some(group) = &mut self.group {
                group.record(commands, now - began, now);
            }
            self.checkpoints.advance(&self.db);
        }
        self.checkpoints.stop();
        // The next start is faster when the WAL is empty; safety does not need it.
        if let Err(error) = self
            .db
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        {
            tracing::warn!(%error, "final checkpoint of the log failed; nothing is lost");
        }
        match Offsets::load(&self.db) {
            Ok(stored) => self.progress.record(&self.incarnation, stored.total()),
            Err(error) => tracing::warn!(%error, "the log's progress was not recorded at its end"),
        }
    }

    /// Waits for commands or changes of members. Returns false if there will be none.
    fn receive(&mut self, batch: &mut Vec<WriteCommand>) -> bool {
        let waited = self.queue.len();
        if self.members.is_ready() {
            self.receive_waiting(batch);
            return true;
        }
        let is_open = self.queue.blocking_recv_many(batch, MAX_BATCH) > 0;
        let group = self.group.as_ref();
        if let Some(patience) = group.and_then(|it| it.patience(waited, Instant::now())) {
            let mut before = 0;
            // Nothing more within a step: the others are busy with something else.
            while batch.len() > before && patience.lasts(batch.len(), Instant::now()) {
                before = batch.len();
                thread::sleep(group_commit::STEP);
                self.receive_waiting(batch);
            }
        }
        is_open
    }

    /// Takes what is queued.
    fn receive_waiting(&mut self, batch: &mut Vec<WriteCommand>) {
        while batch.len() < MAX_BATCH
            && let Ok(command) = self.queue.try_recv()
        {
            batch.push(command);
        }
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
        self.outbox.discard();
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
        let db = Transaction::begin(&self.db)?;
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
        self.outbox.trim(&db)?;
        let (rooms, outbox) = (&mut self.rooms, &mut self.outbox);
        for command in batch {
            write(&db, rooms, outbox, command, now, &mut committed)?;
        }
        self.rooms.flush(&db)?;
        self.places.take();
        self.commits.begin();
        let Err(error) = db.commit() else {
            return Ok(committed);
        };
        // Others may wait for this number.
        self.pass_on(Publication::default());
        Err(error)
    }

    fn publish(&mut self, batch: impl Iterator<Item = WriteCommand>, mut committed: Committed) {
        let trimmed = std::mem::take(&mut committed.trimmed);
        let outbox_added = committed.outbox_added;
        let settled = self.settle(batch, committed);
        self.pass_on(Publication {
            trimmed,
            outbox_added,
            settled,
            ..Publication::default()
        });
    }

    /// Has the last commit published.
    fn pass_on(&self, mut publication: Publication) {
        publication.commit = self.commits.last();
        // If the runtime has ended, nobody waits for a reply.
        let _ = self.committed.send(publication);
    }

    /// Pairs commands with what became of them.
    fn settle(
        &mut self,
        batch: impl Iterator<Item = WriteCommand>,
        committed: Committed,
    ) -> Vec<Settled> {
        let mut appends = committed.appends.into_iter();
        let mut markers = committed.markers.into_iter();
        let mut documents = committed.documents.into_iter();
        let mut settled = Vec::with_capacity(appends.len());
        for command in batch {
            settled.push(match command {
                WriteCommand::Append { reply, permit, .. } => {
                    drop(permit);
                    let outcome = appends.next().expect("one outcome for each append");
                    Settled::Append(reply, outcome)
                }
                WriteCommand::AdvanceMarker { reply, .. } => {
                    let marker = markers.next().expect("one result for each marker");
                    Settled::Marker(reply, marker)
                }
                WriteCommand::ChangeDocument { reply, permit, .. } => {
                    drop(permit);
                    let changed = documents.next().expect("one result for each document");
                    Settled::Document(reply, changed)
                }
                WriteCommand::ChangeSession { reply, .. }
                | WriteCommand::TellDocuments { reply, .. }
                | WriteCommand::SaveEndpoint { reply, .. }
                | WriteCommand::Probe { reply } => Settled::Done(reply),
                WriteCommand::RemoveStaleMembers { reply } => {
                    Settled::Step(reply, committed.more_stale_members)
                }
                WriteCommand::Trim { reply, .. } => {
                    // Once per pass, which is once a minute.
                    if !committed.more_to_trim {
                        self.progress
                            .record(&self.incarnation, self.offsets.total());
                    }
                    Settled::Step(reply, committed.more_to_trim)
                }
                WriteCommand::Close => {
                    self.queue.close();
                    continue;
                }
                WriteCommand::TouchRoom { .. }
                | WriteCommand::Wake
                | WriteCommand::ChangeMembers(_) => continue,
                #[cfg(test)]
                WriteCommand::WithConnection(_) => continue,
            });
        }
        settled
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
                WriteCommand::ChangeDocument { reply, .. } => {
                    let _ = reply.send(Err(error.clone()));
                }
                WriteCommand::TouchRoom { .. } | WriteCommand::Wake => {}
                WriteCommand::ChangeMembers(changes) => self.members.put_back(changes),
                WriteCommand::ChangeSession { reply, .. }
                | WriteCommand::TellDocuments { reply, .. }
                | WriteCommand::SaveEndpoint { reply, .. }
                | WriteCommand::Probe { reply } => {
                    let _ = reply.send(Err(error.clone()));
                }
                WriteCommand::RemoveStaleMembers { reply } | WriteCommand::Trim { reply, .. } => {
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
    outbox: &mut OutboxTable,
    command: &WriteCommand,
    now: LogTime,
    committed: &mut Committed,
) -> rusqlite::Result<()> {
    match command {
        WriteCommand::Append { draft, .. } => {
            let outcome = rooms.append(db, draft, now)?;
            committed.wrote |= outcome.stored.is_some();
            if let Some(message) = outcome.kept() {
                committed.outbox_added |= outbox.add_message(db, draft.entries, message)?;
            }
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
        WriteCommand::ChangeDocument { change, .. } => {
            let changed = change.apply(db, now)?;
            committed.wrote |= changed.as_ref().is_ok_and(|result| *result > 0);
            committed.documents.push(changed);
        }
        WriteCommand::TellDocuments { before, .. } => {
            committed.outbox_added |= outbox.tell_documents(db, *before, now.now)?;
        }
        WriteCommand::ChangeMembers(changes) => {
            for change in changes {
                committed.outbox_added |= outbox.change_member(db, change)?;
            }
        }
        WriteCommand::RemoveStaleMembers { .. } => {
            let (removed, more) = outbox.remove_stale(db, now.now)?;
            committed.outbox_added |= removed;
            committed.more_stale_members = more;
        }
        WriteCommand::SaveEndpoint {
            endpoint, state, ..
        } => {
            endpoints::upsert(db, endpoint, state)?;
            committed.wrote = true;
        }
        WriteCommand::Probe { .. } => {
            health::probe_write(db, now)?;
            committed.wrote = true;
        }
        WriteCommand::Close => log_state::save_retention_clock(db, now.retention_clock)?,
        _ => {}
    }
    Ok(())
}
