//! Connections of clients: identity, rooms and sessions, the events that they receive, and how they are opened, resumed and
//! closed.

mod application;
mod backpressure;
mod catch_up;
mod connection;
mod disconnect_guard;
mod event_sink;
mod memberships;
mod memory;
mod notices;
mod personal_room;
mod rates;
mod registration;
mod removals;
mod session;
mod session_table;
mod stale_incarnation;
mod stream;
mod subscriber;
mod table;
mod token_expiry;
mod users;

pub use self::application::STATE_BYTES;
pub use self::backpressure::track_idle;
pub use self::connection::Connection;
pub use self::disconnect_guard::DisconnectGuard;
pub use self::event_sink::{ClientState, CloseReason, Drained, EventSink, PendingReply};
pub use self::rates::ConnectionRates;
pub use self::session::{PreparedConnection, ResumeRejection, ResumeRequest};
pub use self::stream::{PreparedStream, StreamRequest, StreamStart};
pub use self::token_expiry::TokenExpiry;

pub(super) use self::backpressure::{ConflatingQueue, RateBacklog};
pub(super) use self::memberships::{JoinError, MembershipGuard, Memberships};
pub(super) use self::memory::memory_pool;
pub(super) use self::notices::{FORBIDDEN_REASON, connection_closing, kicked_event};
pub(super) use self::removals::REMOVAL_NOTICE_TTL;
pub(super) use self::session::{ResumeLocks, STORE_RETRY, UnsavedSessions};
pub(super) use self::session_table::SessionTable;
pub(super) use self::subscriber::{CatchUpTrigger, Subscriber};
pub(super) use self::table::ConnectionTable;
pub(super) use self::users::LocalUser;
