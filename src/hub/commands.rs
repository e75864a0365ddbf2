//! The commands of clients and back ends, one file each, and the [`Executor`] that carries out those of one connection.

mod admit;
mod caller;
mod executor;
mod history;
pub(super) mod join;
mod leave;
mod list_rooms;
mod permits;
mod poll;
mod publish;
mod read;
mod refresh;
mod removal;
mod request;
pub(super) mod signal;
mod typing;

pub use admit::RoomConnection;
pub use caller::{Caller, StatelessCaller};
pub use executor::{Executor, ReplySink};
pub use history::{HistoryPage, HistoryRequest};
pub use join::{Join, Joined, Replay};
pub use list_rooms::{LiveRoom, RoomCounts, RoomState, RoomsPage, RoomsRequest};
pub use permits::RequestCost;
pub use poll::{PollReply, PollRequest, PollTimeout};
pub use publish::{PendingAppend, Publish, PublishOutcome};
pub use read::ReadPosition;
pub use request::{PresenceRequest, Reply, Request, SetStatus};
pub use signal::{Signal, SignalError, SignalReplies, SignalReply, SignalTarget};
