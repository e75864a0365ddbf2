//! The rooms of this node.
//!
//! [`RoomRegistry`] finds a [`Room`] by its key and runs its timers; `Room` composes parts that are pure state.

pub(in crate::hub) mod fan_out;
pub(in crate::hub) mod index;
pub(in crate::hub) mod pending_updates;
pub(in crate::hub) mod poll_buffer;
pub(in crate::hub) mod presence;
pub(in crate::hub) mod read_markers;
pub(in crate::hub) mod registry;
pub(in crate::hub) mod room;
pub(in crate::hub) mod search;
pub(in crate::hub) mod status;
pub(in crate::hub) mod status_pacing;
pub(in crate::hub) mod typing;
pub(in crate::hub) mod user_status;
