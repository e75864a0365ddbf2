//! The rules: who may do what, who is in which room, in what order events are delivered.
//!
//! A transport calls one method per request ([`join`](Hub::join), [`leave`](Hub::leave), [`publish`](Hub::publish),
//! [`history`](Hub::history), ...) and passes the [`Connection`] that it comes by, or a [`StatelessCaller`] where any [`Caller`] will
//! do. The backend's stream of events comes in by [`deliver_all`](Hub::deliver_all) and goes out through each connection's
//! [`EventSink`]. The hub knows no protocol, and no transport knows a rule.
//!
//! The requests of one connection have to come in the order in which its client sent them; an [`Executor`] keeps that order.
//!
//! | where | what |
//! |---|---|
//! | `commands/` | what clients and back ends ask for, one file a command |
//! | `rooms/` | the rooms of this node: members, presence, typing, read markers |
//! | `connections/` | the connections of this node, what they receive, and how their sessions are resumed |
//! | `cluster/` | requests to other nodes, and events from them |
//! | `delivery`, `broadcast`, `event` | the way of an event from the backend to the members of its room |
//! | `sockets` | sets of connections, as servers of other systems and operators name them |
//! | `answers` | answers to events that clients may send again |
//! | `limiter`, `rates` | limits of one request, and rates of many |
//! | `node_stats`, `client_report` | what a node says of itself and of its clients, for operators |
//! | `parts`, `maintenance` | how all this is put together, and what is due in time |

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::{
    auth::Principal, documents::DocumentSettings, error::Result, hooks::Hooks, limits::Permit,
    model::UserId, policies::CurrentPolicies, traces::TraceParent,
};

mod answers;
mod broadcast;
mod client_report;
mod cluster;
mod commands;
mod connections;
mod delivery;
mod event;
mod limiter;
mod maintenance;
mod node_stats;
mod parts;
mod rates;
mod rooms;
mod settings;
mod sockets;
#[cfg(test)]
mod testing;

pub use commands::{
    Caller, HistoryPage, HistoryRequest, Join, Joined, ListedUser, LiveRoom, PendingAppend,
    Publish, PublishOutcome, ReadPosition, Replay, RoomConnection, RoomCounts, RoomState,
    RoomsPage, RoomsRequest, Signal, SignalError, SignalReplies, SignalReply, SignalTarget,
    StatelessCaller, UserConnection, UsersPage, UsersRequest,
};
pub use connections::{CloseReason, Connection, STATE_BYTES};
pub use node_stats::{AllNodeStats, NodeInfo, NodeStats};
pub use rooms::{ActiveRooms, Members, PresencePage, PresentUser, RoomActivity, UserSummary};
pub use settings::{LimitSettings, PresenceSettings, RecoverySettings, TypingSettings};

pub use crate::backend::{Appended, Range};

// For transports and emitters.
pub(crate) use answers::{AnswerKey, AnswerTurn, PendingAnswer};
pub(crate) use broadcast::BroadcastPublisher;
pub(crate) use client_report::{
    ClientReport, ClientReportRequest, SocketReport, TappedEvent, Traffic,
};
pub(crate) use commands::policies::RelayedEvent;
pub(crate) use commands::{
    DocumentState, DocumentsPage, DocumentsRequest, Executor, PollReply, PollRequest, PollTimeout,
    PresenceRequest, Reply, ReplySink, Request, RequestCost, RoomTail, SetStatus, TailEvent,
    call_subject,
};
pub(crate) use connections::{
    ClientState, ConnectionRates, DisconnectGuard, Drained, EventSink, PendingReply,
    PreparedConnection, PreparedStream, ResumeRejection, ResumeRequest, StreamRequest, StreamStart,
    TokenExpiry, track_idle,
};
pub(crate) use delivery::BatchWriter;
pub(crate) use event::{DeliveryPolicy, Event, Format, OutgoingEvent};
pub(crate) use sockets::{SocketChange, SocketName, SocketSet};

/// The bounds of one page of messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageLimits {
    /// Messages.
    pub messages: usize,
    /// Bytes of their data.
    pub bytes: usize,
}

/// The hub's configuration.
#[derive(Clone)]
pub(crate) struct HubSettings {
    /// Limits and rates.
    pub limits: LimitSettings,
    /// The bounds of a page.
    pub pages: PageLimits,
    /// How sessions are resumed.
    pub recovery: RecoverySettings,
    /// How users are shown to others.
    pub presence: PresenceSettings,
    /// How typing is shown to others.
    pub typing: TypingSettings,
    /// How long a connection stays after its token has expired, waiting for a new one.
    pub grace: Duration,
    /// What is fixed about this node.
    pub node: NodeInfo,
    /// The back ends that answer for what happens.
    pub hooks: Arc<Hooks>,
    /// How long the answer to an event is kept that a client may send again.
    pub answer_window: Duration,
    /// How documents are kept.
    pub documents: DocumentSettings,
    /// What may be done in which rooms.
    pub policies: CurrentPolicies,
}

/// A user that may open one more connection; its permit is given back on drop.
#[derive(Debug)]
pub(crate) struct AdmittedUser {
    principal: Principal,
    permit: Permit<UserId, connections::LocalUser>,
    /// Its address, if the user is no more than what the client says.
    unverified_address: Option<IpAddr>,
    /// The parent of the spans of what it asks for.
    trace: TraceParent,
}

/// The rules over one backend; cheap to clone.
///
/// An application gets it from [`App::hub`](crate::App::hub), or as the `hub` of an [`EventContext`](crate::EventContext).
///
/// ```no_run
/// use switchboard::{
///     Result,
///     hub::{Hub, StatelessCaller},
///     model::{Namespace, RoomKey, RoomName, UserId},
/// };
///
/// /// Removes a user from a room and returns how many users are left.
/// async fn remove(hub: &Hub, room: RoomName, user: &UserId) -> Result<usize> {
///     let back_end = StatelessCaller::back_end(Namespace::root());
///     let key = RoomKey { namespace: Namespace::root(), room: room.clone() };
///     hub.kick(&key, user, "off topic").await?;
///     Ok(hub.presence(&back_end, room, Some(0), None).await?.count)
/// }
/// ```
#[derive(Clone)]
pub struct Hub(Arc<parts::HubParts>);

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

impl Hub {
    /// Closes every connection that is opened from now on at once: those that are not among
    /// [`connections`](Self::connections) after this.
    pub(crate) fn close_new_connections(&self) {
        self.connection_table().drain();
    }

    /// Whether no connection is open.
    pub fn has_no_connections(&self) -> bool {
        self.connection_table().is_empty()
    }

    /// Makes [`is_idle`](Self::is_idle) false until the returned value is dropped: the application is told of the end of a connection.
    pub(crate) fn hold_ending(&self) -> Arc<()> {
        self.endings().clone()
    }

    /// Whether no connection is open, and the application has been told of the end of all.
    pub(crate) fn is_idle(&self) -> bool {
        self.has_no_connections() && Arc::strong_count(self.endings()) == 1
    }

    /// The connection to this node that has resumed another one's session, or that one itself.
    pub(crate) fn successor_of(&self, connection: &Arc<Connection>) -> Arc<Connection> {
        let successor = connection.has_left_all();
        let successor = successor.then(|| self.connection_table().get(&connection.id()));
        successor.flatten().unwrap_or_else(|| connection.clone())
    }

    /// Every open connection, in no order.
    pub fn connections(&self) -> Vec<Arc<Connection>> {
        self.connection_table().all()
    }

    /// Checks that requests can be served now.
    ///
    /// # Errors
    /// Fails with `unavailable` if tokens cannot be verified, or messages cannot be stored, read or received; the message says which and why.
    pub async fn ready(&self) -> Result<()> {
        self.authority().ready()?;
        self.backend().log.ready().await
    }
}
