//! Relaying: configured events are passed on as they are to the other sockets of the sender's rooms.
//!
//! A front end written against a hand-made server that only broadcasts needs no change. What is relayed is not stored
//! and not numbered. It goes through socketioxide's rooms, which mirror the hub's. It never has more bytes than came in: JSON
//! passes as it is, and each attachment once ([`Filled`]).

use std::collections::VecDeque;

use bytes::Bytes;

mod filled;

use super::{SocketRef, packet::Arguments, rooms::mirrored};
use crate::{
    auth::Permission,
    error::{Code, Error, Limit, Result},
    hub::Connection,
};
use filled::Filled;

/// Binary attachments that stock clients take in one event; of more they end their connection, and some their process.
const ATTACHMENTS: usize = 10;

/// Passes an event on, with at most `most` bytes of JSON. The room of a sender that is in none is the namespace.
pub(super) async fn relay(
    socket: &SocketRef,
    connection: &Connection,
    arguments: &Arguments<'_>,
    attachments: Option<&VecDeque<Bytes>>,
    most: usize,
) -> Result<()> {
    let bytes: usize = arguments.values.iter().map(|value| value.get().len()).sum();
    if bytes > most {
        let message =
            format!("a relayed event may have {most} bytes of JSON, this one has {bytes}");
        return Err(Error::new(Code::TooLarge, message).for_limit(Limit::MessageBytes));
    }
    if let Some(count) = attachments
        .map(VecDeque::len)
        .filter(|count| *count > ATTACHMENTS)
    {
        return Err(Error::new(
            Code::TooLarge,
            format!(
                "a relayed event may have {ATTACHMENTS} binary attachments, this one has {count}: clients take no more"
            ),
        ));
    }
    let event = Filled::new(&arguments.values, attachments)?;
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
        let rooms = rooms.iter().map(|room| mirrored(room).into_owned());
        let rooms: Vec<String> = rooms.collect();
        socket.to(rooms)
    };
    // A socket that has no place for it misses it, as with any event that is not kept.
    if let Err(error) = others.emit(&arguments.event, &event).await {
        tracing::debug!(%error, "a relayed event did not reach every socket");
    }
    Ok(())
}
