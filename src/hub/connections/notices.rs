//! Errors and events about the end of a connection or of a membership.

use std::sync::Arc;

use serde_json::json;

use crate::{error::Error, hub::OutgoingEvent, model::RoomName};

/// The reason that is sent when a connection may not be in a room any more.
pub(in crate::hub) const FORBIDDEN_REASON: &str = "forbidden";

/// The event that tells a connection that it was removed from a room.
pub(in crate::hub) fn kicked_event(room: &RoomName, reason: &str) -> Arc<OutgoingEvent> {
    let data = json!({ "room": room, "reason": reason });
    OutgoingEvent::room_notice("kicked", room, &data)
}

/// The connection has ended, or another one has resumed its session.
pub(in crate::hub) fn connection_closing() -> Error {
    Error::unavailable("the connection is closing")
}
