//! What clients and back ends ask for: one file a command, and the [`Executor`] that carries out those of one connection.

mod announce;
mod caller;
mod executor;
mod history;
pub(super) mod join;
mod list_rooms;
mod poll;
mod publish;
mod refresh;
mod removal;
mod request;
pub(super) mod signal;

pub use announce::ReadTo;
pub use caller::{Caller, Toll, Visitor};
pub use executor::{Desk, Executor};
pub use history::{History, HistoryPage};
pub use join::{Join, Joined, Replay};
pub use list_rooms::{Attendance, LiveRoom, LiveRooms, RoomState, RoomsPage};
pub use poll::{GiveUp, Poll, Polled};
pub use publish::{Publish, Publishing, Storing};
pub use request::{Answer, Request, Roll, Status};
pub use signal::{Refusal, Replies, Reply, Signal, To};
