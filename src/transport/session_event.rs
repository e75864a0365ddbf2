//! `session`: the first event of every connection, on every transport.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    hub::{Connection, Hub, LimitSettings, OutgoingEvent},
    model::{ConnectionId, Cursor, RoomName, Timestamp, UserId},
};

/// The first event for a connection to `node`; a stream's contains the cursor where it begins.
pub(super) fn session_event(
    connection: &Connection,
    hub: &Hub,
    node: &str,
    cursor: Option<&Cursor>,
) -> Arc<OutgoingEvent> {
    let principal = connection.principal();
    OutgoingEvent::notice(
        "session",
        &SessionEvent {
            user: &principal.user,
            name: principal.name.as_deref(),
            connection: connection.id(),
            node,
            rooms: connection.rooms(),
            expires_at: principal.expires_at,
            limits: SessionLimits::of(hub.limits()),
            version: env!("CARGO_PKG_VERSION"),
            ts: Timestamp::now(),
            cursor: cursor.map(ToString::to_string),
        },
    )
}

/// The event's data.
#[derive(Serialize)]
struct SessionEvent<'a> {
    user: &'a UserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    connection: ConnectionId,
    node: &'a str,
    rooms: Vec<RoomName>,
    expires_at: Option<Timestamp>,
    limits: SessionLimits,
    version: &'static str,
    ts: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// The limits a client should respect; 0: unlimited.
#[derive(Serialize)]
struct SessionLimits {
    message_bytes: usize,
    messages_per_second: u32,
    messages_burst: u32,
    joins_per_second: u32,
    joins_burst: u32,
    rooms_per_connection: usize,
}

impl SessionLimits {
    fn of(limits: &LimitSettings) -> Self {
        Self {
            message_bytes: limits.message_bytes.bytes(),
            messages_per_second: limits.messages_per_second,
            messages_burst: limits.messages_burst,
            joins_per_second: limits.joins_per_second,
            joins_burst: limits.joins_burst,
            rooms_per_connection: limits.rooms_per_connection,
        }
    }
}
