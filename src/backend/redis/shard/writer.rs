//! The writer of a shard: sends everything that is queued to Redis as one pipeline, in the order in which it was accepted.
//!
//! The next pipeline is sent when the replies to the one before have arrived, so batches grow with Redis's latency. If the
//! connection is lost, everything in the pipeline fails, although Redis may have stored it: hence senders repeat the id.

use std::sync::Arc;

use redis::{Cmd, Value};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{
    clock::ShardClock,
    codec,
    command::{PendingReceipt, SubscriptionCommand},
};
use crate::{
    backend::{
        Appended, Draft, OutboxKind, epoch,
        health::HealthCheck,
        redis::{
            client::{OnDisconnect, RedisConnection, reply},
            context::NodeContext,
            dropped::DropReason,
            keys::{self, Partition},
            scripts::{self, millis, number},
        },
    },
    error::{Error, Result},
    model::{Epoch, Incarnation, MessageId, Offset, RoomKey, Seq, Timestamp},
    retry::log_rarely,
};

/// How many commands are sent together at most.
const MAX_PIPELINE: usize = 512;

pub(crate) enum WriterCommand {
    /// Store a draft.
    Append {
        draft: Draft,
        settle: oneshot::Sender<Result<Appended>>,
        /// The draft's share of the bytes that may be in flight, until its receipt is settled.
        permit: OwnedSemaphorePermit,
    },
    /// Publish an ephemeral event, in order with the drafts.
    Publish {
        command: Cmd,
        permit: OwnedSemaphorePermit,
    },
    /// Execute any other command, in order with the drafts.
    Run {
        command: Cmd,
        done: oneshot::Sender<Result<Value>>,
    },
    /// Store what was accepted, and end.
    Close,
}

/// A command that was sent, and what its reply is for.
enum InFlightCommand {
    Append {
        room: RoomKey,
        id: MessageId,
        settle: oneshot::Sender<Result<Appended>>,
        permit: OwnedSemaphorePermit,
    },
    Publish {
        _permit: OwnedSemaphorePermit,
    },
    Run(oneshot::Sender<Result<Value>>),
}

pub(crate) struct ShardWriter {
    pub(crate) context: Arc<NodeContext>,
    pub(crate) clock: Arc<ShardClock>,
    pub(crate) connection: RedisConnection,
    pub(crate) queue: mpsc::Receiver<WriterCommand>,
    pub(crate) subscription: mpsc::UnboundedSender<SubscriptionCommand>,
    /// Whether messages can be stored.
    pub(crate) health: Arc<HealthCheck>,
}

impl ShardWriter {
    /// Runs until it is closed, or all senders of commands are dropped.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, MAX_PIPELINE).await > 0 {
            let mut commands = Vec::with_capacity(batch.len());
            let mut pending = Vec::with_capacity(batch.len());
            for command in batch.drain(..) {
                self.prepare(command, &mut commands, &mut pending);
            }
            if commands.is_empty() {
                continue;
            }
            match self.connection.execute(&commands, OnDisconnect::Fail).await {
                Ok(replies) => {
                    for (pending, reply) in pending.into_iter().zip(replies) {
                        self.complete(pending, reply);
                    }
                }
                Err(error) => {
                    self.health.record_failure(reply::reason(&error));
                    for pending in pending {
                        self.fail(pending, &error);
                    }
                }
            }
        }
    }

    fn prepare(
        &mut self,
        command: WriterCommand,
        commands: &mut Vec<Cmd>,
        pending: &mut Vec<InFlightCommand>,
    ) {
        match command {
            WriterCommand::Append {
                draft,
                settle,
                permit,
            } => {
                let given = draft.id.is_some();
                let id = draft.id.clone().unwrap_or_else(MessageId::generate);
                commands.push(self.append_command(&draft, &id, given));
                pending.push(InFlightCommand::Append {
                    room: draft.room,
                    id,
                    settle,
                    permit,
                });
            }
            WriterCommand::Publish { command, permit } => {
                commands.push(command);
                pending.push(InFlightCommand::Publish { _permit: permit });
            }
            WriterCommand::Run { command, done } => {
                commands.push(command);
                pending.push(InFlightCommand::Run(done));
            }
            WriterCommand::Close => self.queue.close(),
        }
    }

    fn append_command(&self, draft: &Draft, id: &MessageId, given: bool) -> Cmd {
        let Draft { room, data, .. } = draft;
        let body = codec::encode(
            Some(id),
            &draft.event,
            draft.from.as_ref(),
            data,
            draft.except,
        );
        let policy = self.context.retention.policy(&room.room);
        let (keys, shard) = (&self.context.keys, self.clock.partition());
        let mut command = scripts::append([
            &keys.offset(shard),
            &keys.room(room),
            &keys.messages(room),
            &keys.id(room, id),
            &keys.rooms(Partition::of(room)),
            &keys.channel(room),
            &keys.shard_incarnation(shard),
            &keys.forgotten(Partition::of(room)),
            &keys.outbox(shard),
        ]);
        let kinds: Vec<_> = draft.entries.kinds().map(OutboxKind::as_str).collect();
        command
            .arg((self.context.clock)().now.0)
            .arg(Incarnation::generate().as_str())
            .arg(keys::room_name(room))
            .arg(u8::from(given))
            .arg(data.get().len())
            .arg(body)
            .arg(number(policy.messages))
            .arg(millis(policy.age))
            .arg(self.context.forget_after(policy))
            .arg(millis(self.context.idempotency))
            .arg(self.context.publish_command())
            .arg(epoch::slot(room));
        self.clock.add_clock_args(&mut command);
        self.clock.add_shard_args(&mut command);
        command.arg(kinds.join(" "));
        self.context.outbox.add_args(&mut command, shard);
        command
    }

    fn complete(&self, pending: InFlightCommand, reply: Value) {
        let server_wide = reply::is_server_wide(&reply);
        match pending {
            InFlightCommand::Append {
                room,
                id,
                settle,
                permit,
            } => match parse_appended(id, reply) {
                Ok((appended, offset, lost)) => {
                    if !appended.duplicate {
                        self.health.record_success();
                    }
                    self.clock.observe(offset);
                    if lost {
                        // A subscription that has ended delivers nothing more.
                        let _ = self.subscription.send(SubscriptionCommand::DataLost);
                    }
                    let receipt = PendingReceipt {
                        offset,
                        appended,
                        settle,
                        _permit: permit,
                    };
                    self.settle_behind_delivery(room, receipt);
                }
                Err(error) => {
                    let reason = reply::reason(&error);
                    if server_wide {
                        self.health.record_failure(reason);
                    } else {
                        log_rarely!(error, room = %room.room, reason, "cannot store messages of a room: its keys in Redis are damaged");
                    }
                    let _ = settle.send(Err(error));
                }
            },
            InFlightCommand::Publish { .. } => {
                if reply::check(reply).is_err() {
                    self.context.dropped.add(1, DropReason::Refused);
                }
            }
            InFlightCommand::Run(done) => {
                let reply = reply::check(reply);
                if let Err(error) = &reply
                    && server_wide
                {
                    self.health.record_failure(reply::reason(error));
                }
                // The caller may have been dropped; the command was executed all the same.
                let _ = done.send(reply);
            }
        }
    }

    fn fail(&self, pending: InFlightCommand, error: &Error) {
        match pending {
            InFlightCommand::Append { settle, .. } => {
                let _ = settle.send(Err(error.clone()));
            }
            InFlightCommand::Publish { .. } => self.context.dropped.add(1, DropReason::Lost),
            InFlightCommand::Run(done) => {
                let _ = done.send(Err(error.clone()));
            }
        }
    }

    /// Has the subscription settle the receipt of a stored message.
    fn settle_behind_delivery(&self, room: RoomKey, receipt: PendingReceipt) {
        let settle = SubscriptionCommand::Settle(room, receipt);
        if let Err(mpsc::error::SendError(SubscriptionCommand::Settle(_, receipt))) =
            self.subscription.send(settle)
        {
            receipt.settle();
        }
    }
}

/// Reads the result of the append script: the receipt, the message's offset, and whether Redis has lost data.
fn parse_appended(id: MessageId, reply: Value) -> Result<(Appended, Offset, bool)> {
    let (epoch, seq, offset, ts, duplicate, lost): (String, u64, u64, u64, u8, u8) =
        reply::parse(reply)?;
    let appended = Appended {
        id,
        seq: Seq(seq),
        epoch: Epoch::from_text(&epoch),
        ts: Timestamp(ts),
        duplicate: duplicate == 1,
    };
    Ok((appended, Offset(offset), lost == 1))
}
