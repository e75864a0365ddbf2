//! Replies to the requests of a plain WebSocket: `ack`, `error` and `system` frames.

use std::sync::Arc;

use serde::Serialize;

use super::Envelopes;
use crate::{
    error::{Code, Error, Result},
    hub::{Joined, Members, Reply, ReplySink},
    limits::Account,
    model::{Epoch, Message, MessageId, RoomName, Seq},
    transport::{
        close_codes::{FORBIDDEN, RATE_LIMITED, TRY_AGAIN},
        envelope::Envelope,
        framed_client::FramedClient,
        wire::Frame,
    },
};

/// The frame that a reply is for.
pub(super) struct FrameTarget {
    pub(super) id: Option<MessageId>,
    pub(super) room: Option<RoomName>,
    /// The URL asked for it: if it fails, the connection is closed.
    pub(super) required: bool,
}

impl FrameTarget {
    pub(super) fn new(id: Option<MessageId>, room: Option<RoomName>) -> Self {
        Self {
            id,
            room,
            required: false,
        }
    }
}

/// Sends replies to one connection.
pub(super) struct EnvelopeReplySink {
    pub(super) client: Arc<FramedClient<Envelopes>>,
    pub(super) account: Arc<Account>,
}

impl EnvelopeReplySink {
    /// Sends a reply, or an error if there is no memory for it.
    fn send(&self, answer: &Envelope<'_, impl Serialize>, asked: &FrameTarget) {
        let frame = answer.frame().charged(&self.account);
        self.client.send(frame.unwrap_or_else(|limit| {
            let error = limit.into_memory_error();
            self.client.count_error(&error);
            let error_frame = Envelope::new("error", asked.room.as_ref(), error);
            error_frame.with_id(asked.id.as_ref()).frame()
        }));
    }
}

/// Data of an `ack`.
#[derive(Serialize)]
struct AckData<'a> {
    status: &'static str,
    #[serde(flatten)]
    answer: Option<&'a Reply>,
}

/// Data of `system` about a room that was joined.
#[derive(Serialize)]
struct JoinedNotice<'a> {
    event: &'static str,
    room: &'a RoomName,
    epoch: &'a Epoch,
    seq: Seq,
    recovered: bool,
    unread: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<&'a Members>,
    /// Messages of the history, unless an `ack` had them.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<&'a [Arc<Message>]>,
}

impl<'a> JoinedNotice<'a> {
    fn of(joined: &'a Joined, acknowledged: bool) -> Self {
        Self {
            event: "joined",
            room: &joined.room,
            epoch: &joined.epoch,
            seq: joined.seq,
            recovered: joined.recovered,
            unread: joined.unread,
            members: joined.members.as_ref(),
            messages: (!acknowledged).then_some(&*joined.messages),
        }
    }
}

/// Data of `system` about a room that was left.
#[derive(Serialize)]
struct LeftNotice<'a> {
    event: &'static str,
    room: &'a RoomName,
}

impl ReplySink for EnvelopeReplySink {
    type Target = FrameTarget;

    fn reply(&self, asked: FrameTarget, result: Result<&Reply, &Error>) {
        let room = asked.room.as_ref();
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => {
                let error_frame = Envelope::new("error", room, error);
                self.client
                    .send(error_frame.with_id(asked.id.as_ref()).frame());
                if asked.required {
                    let reason = error.code().as_str();
                    let last = Frame::close(join_close_code(error.code()), reason);
                    self.client.count_close(reason);
                    self.client.close_with(Some(last), true);
                }
                return;
            }
        };
        if let Some(id) = &asked.id {
            let status = "delivered";
            // The reply to `status` has a field of the same name as the ack's.
            let answer = Some(answer).filter(|it| !matches!(it, Reply::Status { .. }));
            let ack = Envelope::new("ack", room, AckData { status, answer });
            self.send(&ack.with_id(Some(id)), &asked);
        }
        match answer {
            Reply::Joined(joined) => {
                let notice = JoinedNotice::of(joined, asked.id.is_some());
                let frame = Envelope::new("system", Some(&joined.room), notice);
                self.send(&frame, &asked);
            }
            Reply::Left { room } => {
                let notice = LeftNotice {
                    event: "left",
                    room,
                };
                self.client
                    .send(Envelope::new("system", Some(room), notice).frame());
            }
            _ => {}
        }
    }
}

/// The close code if a room of the URL was refused.
fn join_close_code(code: Code) -> u16 {
    match code {
        Code::Forbidden => FORBIDDEN,
        Code::RateLimited => RATE_LIMITED,
        _ => TRY_AGAIN,
    }
}
