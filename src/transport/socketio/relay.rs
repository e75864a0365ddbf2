//! Relaying: configured events are passed on unchanged to the other sockets of the sender's rooms.
//!
//! A front end written against a hand-made server that only broadcasts needs no change. Relayed events are not stored and not
//! numbered. They go through socketioxide's rooms, which mirror the hub's. They never have more bytes than came in: JSON
//! passes unchanged, and each attachment once ([`FilledArguments`]).

use std::collections::VecDeque;

use bytes::Bytes;

mod placeholders;

use super::{SocketRef, event_packet::EventArguments, rooms::mirrored_name};
use crate::{
    auth::Permission,
    error::{Code, Error, Limit, Result},
    hub::Connection,
};
use placeholders::FilledArguments;

/// Maximum binary attachments that stock clients accept in one event; with more they close their connection, and some exit.
const MAX_RELAYED_ATTACHMENTS: usize = 10;

/// Passes an event on, with at most `limit` bytes of JSON. A sender that is in no room sends to the whole namespace.
///
/// # Errors
/// `too_large` for too many bytes or attachments, `bad_request` for wrong placeholders, `forbidden` if the sender may not
/// publish to any of its rooms.
pub(super) async fn relay(
    socket: &SocketRef,
    connection: &Connection,
    arguments: &EventArguments<'_>,
    attachments: Option<&VecDeque<Bytes>>,
    limit: usize,
) -> Result<()> {
    check_size(arguments, attachments, limit)?;
    let event = FilledArguments::new(&arguments.values, attachments)?;
    let principal = connection.principal();
    let mut rooms = connection.rooms();
    rooms.retain(|room| !room.is_personal());
    let everywhere = rooms.is_empty();
    rooms.retain(|room| principal.may(Permission::Publish, room));
    let others = if everywhere && principal.grants.allow_everywhere(Permission::Publish) {
        socket.broadcast()
    } else if rooms.is_empty() {
        return Err(Error::forbidden(
            "this identity may not send to any of its rooms",
        ));
    } else {
        let rooms = rooms.iter().map(|room| mirrored_name(room).into_owned());
        let rooms: Vec<String> = rooms.collect();
        socket.to(rooms)
    };
    // A socket whose channel is full misses it, as with any event that is not stored.
    if let Err(error) = others.emit(&arguments.event, &event).await {
        tracing::debug!(%error, "a relayed event did not reach every socket");
    }
    Ok(())
}

fn check_size(
    arguments: &EventArguments<'_>,
    attachments: Option<&VecDeque<Bytes>>,
    limit: usize,
) -> Result<()> {
    let bytes: usize = arguments.values.iter().map(|value| value.get().len()).sum();
    if bytes > limit {
        let message =
            format!("a relayed event may have {limit} bytes of JSON, this one has {bytes}");
        return Err(Error::new(Code::TooLarge, message).for_limit(Limit::MessageBytes));
    }
    if let Some(count) = attachments
        .map(VecDeque::len)
        .filter(|count| *count > MAX_RELAYED_ATTACHMENTS)
    {
        return Err(Error::new(
            Code::TooLarge,
            format!(
                "a relayed event may have {MAX_RELAYED_ATTACHMENTS} binary attachments, this one has {count}: clients take no more"
            ),
        ));
    }
    Ok(())
}
