//! Reads a room: pages by number, and what was missed by offset.

use redis::{Cmd, Value};

use super::{entry, keys::Keys, line, number, scripts};
use crate::{
    backend::{Missed, Page, PageSize},
    error::{Error, Result},
    model::{Epoch, Message, Offset, RoomKey, Seq, Timestamp},
};

/// Asks what a room has between two offsets.
pub(super) fn missed(
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

/// The answer to that.
pub(super) fn read_missed(room: &RoomKey, answer: Value) -> Result<Missed> {
    let answer: Vec<Vec<u8>> = line::read_as(answer)?;
    let [complete, more, entries @ ..] = answer.as_slice() else {
        return Err(unexpected());
    };
    Ok(Missed {
        messages: messages(room, entries)?,
        more: more == b"1",
        complete: complete == b"1",
    })
}

/// The answer to a read of a room; newest first if `backward`.
pub(super) fn read_page(room: &RoomKey, answer: Value, backward: bool) -> Result<Page> {
    let answer: Vec<Vec<u8>> = line::read_as(answer)?;
    let [epoch, head, offset, oldest, more, entries @ ..] = answer.as_slice() else {
        return Err(unexpected());
    };
    let number = |text: &Vec<u8>| {
        let text = std::str::from_utf8(text).ok();
        let number = text.and_then(|text| text.parse().ok());
        number.ok_or_else(unexpected)
    };
    let mut messages = messages(room, entries)?;
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

fn messages(room: &RoomKey, entries: &[Vec<u8>]) -> Result<Vec<std::sync::Arc<Message>>> {
    entries
        .iter()
        .map(|entry| entry::message(room, entry).ok_or_else(unexpected))
        .collect()
}

fn unexpected() -> Error {
    line::damaged(std::io::Error::other("not as it was written"))
}
