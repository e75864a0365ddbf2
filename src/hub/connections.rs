//! Connections of clients: their identity, memberships and sessions, the events that they receive, and how they are resumed.

mod backpressure;
mod catch_up;
mod connection;
mod disconnect_guard;
mod memory;
mod personal_room;
mod resume;
mod stale_incarnation;
mod stream;
mod subscriber;
mod token_expiry;
mod users;

pub use self::backpressure::track_idle;
pub use self::connection::{
    CloseReason, Connection, ConnectionRates, Drained, EventSink, PendingReply,
};
pub use self::disconnect_guard::DisconnectGuard;
pub use self::memory::memory_exhausted;
pub use self::resume::{ResumeRejection, ResumeRequest};
pub use self::stream::{PreparedStream, RoomReset, StreamRequest, StreamStart};
pub use self::token_expiry::TokenExpiry;

pub(super) use self::backpressure::{Backlog, Latest};
pub(super) use self::connection::{HEARD, Memberships, Refused, Turn};
pub(super) use self::memory::memory_pool;
pub(super) use self::resume::Resumed;
pub(super) use self::subscriber::{Lost, Subscriber};
pub(super) use self::users::{LastSeen, LocalUser};
