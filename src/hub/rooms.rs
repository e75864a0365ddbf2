//! The rooms of this node.
//!
//! [`registry`] finds a [`Room`](room::Room) by its key and runs its timers. A room composes parts that are pure state and are
//! given the time: who is in it ([`presence`]), who is typing ([`typing`]), how far users have read ([`read_progress`]), and what
//! of that is announced later ([`pending_updates`]) because its user is over its budget ([`fan_out`]). [`presence_query`] and
//! [`status`] are the commands about them; [`index`] and [`search`] list rooms by name.

pub(in crate::hub) mod activity;
pub(in crate::hub) mod event_rate;
pub(in crate::hub) mod fan_out;
pub(in crate::hub) mod index;
pub(in crate::hub) mod outbox_members;
pub(in crate::hub) mod poll_buffer;
pub(in crate::hub) mod presence_query;
pub(in crate::hub) mod registry;
pub(in crate::hub) mod room;
pub(in crate::hub) mod search;
pub(in crate::hub) mod status;
pub(in crate::hub) mod status_pacing;
pub(in crate::hub) mod tails;
pub(in crate::hub) mod user_status;

mod pending_updates;
mod presence;
mod read_progress;
#[cfg(test)]
pub(in crate::hub) mod testing;
mod typing;

pub use self::{
    activity::{ActiveRooms, RoomActivity},
    presence::PresentUser,
    presence_query::{Members, PresencePage},
    status::UserSummary,
};
