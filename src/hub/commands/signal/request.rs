//! A signal as it is sent to the nodes of its receivers, and whether its sender may send it to them.
//!
//! That is decided on the receivers' node: only there it is known which rooms they are in.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::target::{Signal, SignalTarget};
use crate::{
    auth::{Grants, Permission},
    hub::{Connection, OutgoingEvent},
    model::{ConnectionId, Namespace, RoomName, UserId},
};

/// How long a receiver may take to reply if the sender does not say, and at most.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_TIMEOUT: Duration = Duration::from_secs(30);

/// A signal on its way to the receivers on one node.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::hub) struct SignalRequest {
    pub(super) to: SignalTarget,
    pub(super) from: SignalSender,
    namespace: Namespace,
    grants: Arc<Grants>,
    /// The sender's rooms whose members it may signal.
    rooms: Vec<RoomName>,
    event: String,
    data: Arc<RawValue>,
    within: Duration,
}

/// The connection that sends it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SignalSender {
    pub(super) user: UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<Arc<str>>,
    pub(super) connection: ConnectionId,
}

/// A signal as its receivers get it.
#[derive(Serialize)]
struct SignalNotice<'a> {
    from: &'a SignalSender,
    event: &'a str,
    data: &'a RawValue,
}

impl SignalRequest {
    /// A signal of a connection; `may_signal_in` says in which rooms members may send any.
    pub(super) fn new(
        sender: &Connection,
        signal: &Signal,
        may_signal_in: impl Fn(&RoomName) -> bool,
    ) -> Self {
        let principal = sender.principal();
        let mut rooms = sender.rooms();
        rooms.retain(|room| {
            !room.is_personal() && principal.may(Permission::Signal, room) && may_signal_in(room)
        });
        Self {
            to: signal.to.clone(),
            from: SignalSender {
                user: principal.user.clone(),
                name: principal.name.clone(),
                connection: sender.id(),
            },
            namespace: sender.namespace().clone(),
            grants: principal.grants.clone(),
            rooms,
            event: signal.event.clone(),
            data: signal.data.clone(),
            within: signal.timeout.unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT),
        }
    }

    /// How long its receivers may take to reply. Other nodes may send any number.
    pub(super) fn timeout(&self) -> Duration {
        self.within.min(MAX_TIMEOUT)
    }

    /// The event that its receivers get.
    pub(super) fn notice(&self) -> Arc<OutgoingEvent> {
        let notice = SignalNotice {
            from: &self.from,
            event: &self.event,
            data: &self.data,
        };
        OutgoingEvent::notice("signal", &notice)
    }

    /// Whether the sender may signal the user whose connections these are.
    pub(super) fn is_permitted(&self, receivers: &[Arc<Connection>]) -> bool {
        let found = receivers
            .first()
            .map(|first| first.principal().user.clone());
        let user = match &self.to {
            SignalTarget::User(user) => Some(user.clone()),
            SignalTarget::Connection(_) | SignalTarget::Nobody => found,
        };
        let anywhere = user.is_some_and(|user| {
            let personal = RoomName::personal(&user);
            user == self.from.user || self.grants.allow(Permission::Signal, &personal)
        });
        anywhere
            || receivers
                .iter()
                .filter(|receiver| *receiver.namespace() == self.namespace)
                .any(|receiver| self.rooms.iter().any(|room| receiver.is_in(room)))
    }
}
