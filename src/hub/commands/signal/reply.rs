//! Replies to a signal: one of each receiver, collected on each node and merged on the sender's.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{reply_budget::HeldReply, target::SignalTarget};
use crate::{
    error::{Error, Result},
    model::{ConnectionId, UserId},
};

/// The names and ids of a reply, in bytes; a fair estimate.
pub(super) const OVERHEAD: usize = 256;

/// All replies to a signal.
#[derive(Debug, Serialize)]
pub struct SignalReplies {
    /// One of each receiver that replied, in the order of their connections on each node, the sender's node first.
    pub replies: Vec<SignalReply>,
    /// Receivers that did not reply in time, or whose replies exceed `limits.signal_bytes`.
    pub missing: usize,
    #[serde(skip)]
    _held: Vec<HeldReply>,
}

/// A reply of one receiver.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignalReply {
    /// The user who replied.
    pub user: UserId,
    /// The connection that replied.
    pub connection: ConnectionId,
    /// The reply's only argument as it is, several as an array. `None` for a reply without arguments.
    #[serde(
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub data: Option<Box<RawValue>>,
    /// How many arguments `data` holds, if several: one of them may be an array, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<usize>,
    /// Why the reply is not passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SignalError>,
}

/// An error as the sender of the signal reads it, whatever node it comes from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SignalError {
    /// The stable code.
    pub code: String,
    /// The message, for people.
    pub message: String,
}

/// Deserializes a value that is present, `null` included.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl SignalReply {
    /// The reply of one connection: its arguments, or why they are not passed on.
    pub(super) fn new(
        user: UserId,
        connection: ConnectionId,
        arguments: Result<Vec<Box<RawValue>>>,
    ) -> Self {
        let mut reply = Self {
            user,
            connection,
            data: None,
            arguments: None,
            error: None,
        };
        match arguments {
            Ok(mut values) if values.len() < 2 => reply.data = values.pop(),
            Ok(values) => {
                reply.arguments = Some(values.len());
                reply.data = to_raw_value(&values).ok();
            }
            Err(error) => {
                reply.error = Some(SignalError {
                    code: error.code().to_string(),
                    message: error.message().to_owned(),
                });
            }
        }
        reply
    }

    /// Bytes that holding it costs.
    pub(super) fn cost(&self) -> usize {
        self.data.as_ref().map_or(0, |data| data.get().len()) + OVERHEAD
    }
}

/// What became of a signal on one node.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::hub) struct SignalOutcome {
    /// A receiver is connected there.
    pub(super) found: bool,
    /// The sender may signal the receivers; if not, they were sent nothing.
    pub(super) permitted: bool,
    pub(super) replies: Vec<SignalReply>,
    pub(super) missing: usize,
    #[serde(skip)]
    pub(super) held: Vec<HeldReply>,
}

impl SignalOutcome {
    /// Adds the outcome on another node. Its replies are held by what `hold` returns; without that they count as missing.
    pub(super) fn merge(
        &mut self,
        remote: SignalOutcome,
        hold: impl Fn(&SignalReply) -> Option<HeldReply>,
    ) {
        self.found |= remote.found;
        self.permitted |= remote.permitted;
        // Saturating: a response may hold any number.
        self.missing = self.missing.saturating_add(remote.missing);
        for reply in remote.replies {
            match hold(&reply) {
                Some(held) => {
                    self.replies.push(reply);
                    self.held.push(held);
                }
                None => self.missing = self.missing.saturating_add(1),
            }
        }
    }

    /// The replies of all nodes.
    ///
    /// # Errors
    /// `forbidden` if the sender may not signal the receivers.
    pub(super) fn into_replies(self, to: &SignalTarget) -> Result<SignalReplies> {
        let mut replies = SignalReplies {
            replies: self.replies,
            missing: self.missing,
            _held: self.held,
        };
        let whom = match to {
            SignalTarget::User(user) if !self.permitted => user.to_string(),
            SignalTarget::Connection(_) if self.found && !self.permitted => {
                "this connection".to_owned()
            }
            SignalTarget::User(_) => return Ok(replies),
            SignalTarget::Connection(_) | SignalTarget::Nobody => {
                replies.missing += usize::from(!self.found);
                return Ok(replies);
            }
        };
        Err(Error::forbidden(format!(
            "this identity may not signal {whom}: they share no room where it has the grant"
        )))
    }
}
