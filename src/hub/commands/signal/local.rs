//! Delivering a signal to its receivers on this node, and checking what they reply.

use std::sync::Arc;

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    reply::{OVERHEAD, SignalOutcome, SignalReply},
    reply_budget::{HeldReply, ReplyBudget},
    request::SignalRequest,
    target::SignalTarget,
};
use crate::{
    error::{Error, Limit, Result},
    hub::{Connection, Hub, OutgoingEvent},
    model::ConnectionId,
};

/// Tells a receiver that its reply was rejected.
#[derive(Serialize)]
struct RejectedReplyNotice<'a> {
    event: &'static str,
    #[serde(flatten)]
    error: &'a Error,
}

impl Hub {
    /// Delivers a signal of another node.
    ///
    /// # Errors
    /// `limit_reached` if too many of this sender wait for replies already.
    pub(in crate::hub) async fn deliver_remote_signal(
        &self,
        signal: &SignalRequest,
    ) -> Result<SignalOutcome> {
        let _reserved = self.cluster().reserve_signal(&signal.from.user)?;
        Ok(self.deliver_signal(signal, &self.reply_budget()).await)
    }

    /// Sends a signal to its receivers on this node before this returns; the future is ready when all have replied or the
    /// time is over.
    pub(super) fn deliver_signal(
        &self,
        signal: &SignalRequest,
        budget: &Arc<ReplyBudget>,
    ) -> impl Future<Output = SignalOutcome> + Send + use<> {
        let receivers = self.receivers(signal);
        let (found, permitted) = (!receivers.is_empty(), signal.is_permitted(&receivers));
        let (event, timeout) = (signal.notice(), signal.timeout());
        let receivers = receivers.into_iter().filter(|_| permitted);
        let pending: Vec<_> = receivers
            .filter_map(|receiver| {
                let reply = receiver.sink().push_with_reply(&event, timeout)?;
                // Not the connection itself: one that ends would keep its user's place until the time is over.
                let (user, connection) = (receiver.principal().user.clone(), receiver.id());
                let (hub, budget) = (self.clone(), budget.clone());
                Some(async move {
                    let arguments = hub.check_reply(connection, reply.await?);
                    let reply = SignalReply::new(user, connection, arguments);
                    let held = hub.hold_reply(&reply, &budget)?;
                    Some((reply, held))
                })
            })
            .collect();
        async move {
            let asked = pending.len();
            let replied = join_all(pending).await.into_iter().flatten();
            let (replies, held): (Vec<_>, Vec<_>) = replied.unzip();
            SignalOutcome {
                found,
                permitted,
                missing: asked - replies.len(),
                replies,
                held,
            }
        }
    }

    /// The connections on this node that get a signal: not the sender itself, if it signals its own user.
    fn receivers(&self, signal: &SignalRequest) -> Vec<Arc<Connection>> {
        let connections = self.connection_table();
        let mut receivers = match &signal.to {
            SignalTarget::Connection(id) => connections.get(id).into_iter().collect(),
            SignalTarget::User(user) => connections.of_user(user),
            SignalTarget::Nobody => Vec::new(),
        };
        receivers.retain(|receiver| receiver.id() != signal.from.connection);
        receivers
    }

    /// The budget for the replies to the signals of one connection.
    pub(in crate::hub) fn reply_budget(&self) -> Arc<ReplyBudget> {
        let limits = self.limits();
        let one = limits.message_bytes.bytes().saturating_add(OVERHEAD);
        ReplyBudget::new(limits.signal_bytes.bytes().max(one))
    }

    /// Takes the bytes of a reply out of a budget; `None` if it has not so many left.
    pub(super) fn hold_reply(
        &self,
        reply: &SignalReply,
        budget: &Arc<ReplyBudget>,
    ) -> Option<HeldReply> {
        let held = budget.take(reply.cost());
        if held.is_none() {
            self.metrics().limited(Limit::SignalBytes);
        }
        held
    }

    /// Rejects a reply that is larger or deeper than data may be, and tells the connection that sent it.
    fn check_reply(
        &self,
        connection: ConnectionId,
        arguments: Result<Vec<Box<RawValue>>>,
    ) -> Result<Vec<Box<RawValue>>> {
        let checked = arguments.and_then(|values| {
            let bytes = values.iter().map(|value| value.get().len()).sum();
            self.limiter().check_data_bytes(bytes)?;
            for value in &values {
                self.limiter().check_nesting(value)?;
            }
            Ok(values)
        });
        if let Err(error) = &checked {
            self.metrics().error(error);
            if let Some(connection) = self.connection_table().get(&connection) {
                let event = "signal";
                let notice = OutgoingEvent::notice("error", &RejectedReplyNotice { event, error });
                connection.push(&notice);
            }
        }
        checked
    }
}
