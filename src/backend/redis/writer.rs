//! The one task of a lane that writes: whatever waits goes to Redis together, in the order it was asked.
//!
//! The next batch is sent when the one before is answered, so a batch is as large as Redis is slow. If its connection is
//! lost, everything in it is refused, though Redis may have stored it: that is why whoever sends repeats the id. In a Cluster
//! each part has a writer of its own, so that one that is away holds up no other.

use std::sync::Arc;

use redis::{Cmd, Value};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    Shared, entry,
    follower::{self, Stored},
    keys::{self, Part},
    line::{self, Line, Lost},
    millis,
    order::Order,
    scripts,
};
use crate::{
    backend::{Appended, Draft, epoch, health::HealthCheck},
    error::{Error, Result},
    model::{Epoch, MessageId, Offset, RoomKey, Seq, Timestamp},
    repeat::log_rarely,
};

/// How many commands are sent together at most.
const BATCH: usize = 512;

/// What the writer is asked to do.
pub(super) enum Command {
    /// Store a draft.
    Append {
        draft: Draft,
        settle: oneshot::Sender<Result<Appended>>,
        /// The draft's share of the bytes that may wait; given back when its receipt is settled.
        space: OwnedSemaphorePermit,
    },
    /// Publish an event that is not kept, in its place among the drafts.
    Publish {
        command: Cmd,
        space: Arc<OwnedSemaphorePermit>,
    },
    /// Anything else that has a place among the drafts.
    Other {
        command: Cmd,
        done: oneshot::Sender<Result<Value>>,
    },
    /// Store what was accepted and end.
    Close,
}

/// What becomes of one answer.
enum Answer {
    Stored {
        room: RoomKey,
        id: MessageId,
        settle: oneshot::Sender<Result<Appended>>,
        space: OwnedSemaphorePermit,
    },
    Published {
        _space: Arc<OwnedSemaphorePermit>,
    },
    Other(oneshot::Sender<Result<Value>>),
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) order: Arc<Order>,
    pub(super) line: Line,
    pub(super) queue: mpsc::Receiver<Command>,
    pub(super) follower: mpsc::UnboundedSender<follower::Command>,
    /// Whether messages can be stored.
    pub(super) watch: Arc<HealthCheck>,
}

impl Writer {
    /// Works until it is told to close, or nobody can ask any more.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            let mut commands = Vec::with_capacity(batch.len());
            let mut answers = Vec::with_capacity(batch.len());
            for command in batch.drain(..) {
                self.prepare(command, &mut commands, &mut answers);
            }
            if commands.is_empty() {
                continue;
            }
            match self.line.run(&commands, Lost::GiveUp).await {
                Ok(values) => {
                    for (answer, value) in answers.into_iter().zip(values) {
                        self.tell(answer, value);
                    }
                }
                Err(error) => {
                    self.watch.record_failure(line::reason(&error));
                    for answer in answers {
                        refuse(answer, &error);
                    }
                }
            }
        }
    }

    fn prepare(&mut self, command: Command, commands: &mut Vec<Cmd>, answers: &mut Vec<Answer>) {
        match command {
            Command::Append {
                draft,
                settle,
                space,
            } => {
                let given = draft.id.is_some();
                let id = draft.id.clone().unwrap_or_else(MessageId::fresh);
                commands.push(self.append(&draft, &id, given));
                answers.push(Answer::Stored {
                    room: draft.room,
                    id,
                    settle,
                    space,
                });
            }
            Command::Publish { command, space } => {
                commands.push(command);
                answers.push(Answer::Published { _space: space });
            }
            Command::Other { command, done } => {
                commands.push(command);
                answers.push(Answer::Other(done));
            }
            Command::Close => self.queue.close(),
        }
    }

    fn append(&self, draft: &Draft, id: &MessageId, given: bool) -> Cmd {
        let Draft { room, data, .. } = draft;
        let body = entry::write(
            Some(id),
            &draft.event,
            draft.from.as_ref(),
            data,
            draft.except,
        );
        let keep = self.shared.retention.policy(&room.room);
        let mut command = scripts::append([
            &self.shared.keys.offset(self.order.part()),
            &self.shared.keys.room(room),
            &self.shared.keys.messages(room),
            &self.shared.keys.id(room, id),
            &self.shared.keys.rooms(Part::of(room)),
            &self.shared.keys.channel(room),
            &self.shared.keys.incarnation(self.order.part()),
            &self.shared.keys.forgotten(Part::of(room)),
        ]);
        command
            .arg((self.shared.clock)().now.0)
            .arg(Epoch::fresh().as_str())
            .arg(keys::name(room))
            .arg(u8::from(given))
            .arg(data.get().len())
            .arg(body)
            .arg(super::number(keep.messages))
            .arg(millis(keep.age))
            .arg(self.shared.forget(keep))
            .arg(millis(self.shared.idempotency))
            .arg(self.shared.publish())
            .arg(epoch::slot(room));
        self.order.tell(&mut command);
        self.order.tell_lane(&mut command);
        command
    }

    fn tell(&self, answer: Answer, value: Value) {
        let of_all = line::refuses_all(&value);
        match answer {
            Answer::Stored {
                room,
                id,
                settle,
                space,
            } => match stored(id, value) {
                Ok((appended, offset, lost)) => {
                    if !appended.duplicate {
                        self.watch.record_success();
                    }
                    self.order.know(offset);
                    if lost {
                        // If the follower has ended, nobody is delivered anything more.
                        let _ = self.follower.send(follower::Command::Lost);
                    }
                    let stored = Stored {
                        offset,
                        appended,
                        settle,
                        _space: space,
                    };
                    let settle = follower::Command::Settle(room, stored);
                    if let Err(mpsc::error::SendError(follower::Command::Settle(_, stored))) =
                        self.follower.send(settle)
                    {
                        stored.settle();
                    }
                }
                Err(error) => {
                    let reason = line::reason(&error);
                    if of_all {
                        self.watch.record_failure(reason);
                    } else {
                        log_rarely!(error, room = %room.room, reason, "messages of a room cannot be stored: what Redis has under its keys is not what was written there");
                    }
                    let _ = settle.send(Err(error));
                }
            },
            Answer::Published { .. } => {}
            Answer::Other(done) => {
                let answer = line::checked(value);
                if let Err(error) = &answer
                    && of_all
                {
                    self.watch.record_failure(line::reason(error));
                }
                // Whoever asked may be gone; what was asked is done all the same.
                let _ = done.send(answer);
            }
        }
    }
}

fn refuse(answer: Answer, error: &Error) {
    match answer {
        Answer::Stored { settle, .. } => {
            let _ = settle.send(Err(error.clone()));
        }
        Answer::Published { .. } => tracing::debug!(%error, "an event was not published"),
        Answer::Other(done) => {
            let _ = done.send(Err(error.clone()));
        }
    }
}

/// What the script answers; whether Redis has lost something, too.
fn stored(id: MessageId, value: Value) -> Result<(Appended, Offset, bool)> {
    let (epoch, seq, offset, ts, duplicate, lost): (String, u64, u64, u64, u8, u8) =
        line::read_as(value)?;
    let appended = Appended {
        id,
        seq: Seq(seq),
        epoch: Epoch::from_text(&epoch),
        ts: Timestamp(ts),
        duplicate: duplicate == 1,
    };
    Ok((appended, Offset(offset), lost == 1))
}
