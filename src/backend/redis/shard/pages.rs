//! Reads of a room's log: pages by number, and messages that were missed by offset.

use std::sync::Arc;

use redis::{Cmd, Value};

use super::codec;
use crate::{
    backend::{
        Missed, Page, PageSize,
        redis::{
            client::reply,
            keys::Keys,
            scripts::{self, number},
        },
    },
    error::{Error, Result},
    model::{Epoch, Message, Offset, RoomKey, Seq, Timestamp},
};

/// Reads what a room has behind `after`, up to `until`.
pub(crate) fn missed_command(
    keys: &Keys,
    room: &RoomKey,
    after: Offset,
    until: Offset,
    size: PageSize,
    cutoff: Timestamp,
) -> Cmd {
    let mut command = scripts::missed([&keys.room(room), &keys.messages(room)]);
    command
        .arg(cutoff.0)
        .arg(number(after.0))
        .arg(number(until.0))
        .arg(number(size.messages as u64))
        .arg(number(size.bytes as u64));
    command
}

/// Reads the result of [`missed_command`].
pub(crate) fn parse_missed(room: &RoomKey, reply: Value) -> Result<Missed> {
    let fields: Vec<Vec<u8>> = reply::parse(reply)?;
    let [complete, more, entries @ ..] = fields.as_slice() else {
        return Err(malformed());
    };
    Ok(Missed {
        messages: decode_all(room, entries)?,
        more: more == b"1",
        complete: complete == b"1",
    })
}

/// Reads the result of the read script, whose entries are newest first if `backward`.
pub(crate) fn parse_page(room: &RoomKey, reply: Value, backward: bool) -> Result<Page> {
    let fields: Vec<Vec<u8>> = reply::parse(reply)?;
    let [epoch, head, offset, oldest, more, entries @ ..] = fields.as_slice() else {
        return Err(malformed());
    };
    let number = |text: &Vec<u8>| {
        let text = std::str::from_utf8(text).ok();
        let number = text.and_then(|text| text.parse().ok());
        number.ok_or_else(malformed)
    };
    let mut messages = decode_all(room, entries)?;
    if backward {
        messages.reverse();
    }
    Ok(Page {
        epoch: Epoch::from_text(&String::from_utf8_lossy(epoch)),
        head: Seq(number(head)?),
        offset: Offset(number(offset)?),
        oldest: Seq(number(oldest)?),
        messages,
        more: more == b"1",
    })
}

fn decode_all(room: &RoomKey, entries: &[Vec<u8>]) -> Result<Vec<Arc<Message>>> {
    entries
        .iter()
        .map(|entry| codec::decode_message(room, entry).ok_or_else(malformed))
        .collect()
}

fn malformed() -> Error {
    reply::corrupt(std::io::Error::other("malformed log entry"))
}
