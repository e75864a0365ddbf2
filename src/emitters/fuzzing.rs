//! Entry point of the fuzzer of what emitters and servers of other systems publish. It panics if a message breaks a promise.

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::{
    command::Command,
    event::{EventLimits, MAX_DEPTH},
    msgpack::{self, Transcoded},
    msgpack_writer, python, server_message,
};
use crate::{
    hub::LimitSettings,
    model::{EventPayload, Namespace},
};

/// Maximum payload of a message.
const LIMIT: usize = 1 << 16;

/// A message; its first byte chooses who speaks.
pub fn emitter(input: &[u8]) {
    let Some((source, message)) = input.split_first() else {
        return;
    };
    let (root, limits) = (
        Namespace::root(),
        EventLimits::new(&LimitSettings::default(), LIMIT),
    );
    check_text(message, &limits);
    let command = match source % 3 {
        0 => server_message::broadcast(&root, message, &limits),
        1 => server_message::request(&root, message, &limits),
        _ => python::read(message, &limits),
    };
    if let Ok(Command::Emit(_, event) | Command::EmitWithAck { event, .. }) = command {
        check_event(&event);
    }
}

/// What is read of any message is JSON within the limits.
fn check_text(message: &[u8], limits: &EventLimits) {
    if let Ok(Transcoded { text, .. }) = msgpack::to_json(message, limits.depth, LIMIT) {
        assert!(text.len() <= LIMIT, "more than was allowed");
        serde_json::from_str::<IgnoredAny>(&text).expect("what was read is JSON");
    }
}

/// An event that was accepted can be written, and what is read back of it does not change any more.
fn check_event(event: &EventPayload) {
    let first = rewrite(&event.text, &event.attachments);
    assert!(first.attachments.len() <= event.attachments.len());
    let second = rewrite(&first.text, &first.attachments);
    assert_eq!(first, second, "{}", event.text);
}

fn rewrite(text: &str, attachments: &[Bytes]) -> Transcoded {
    let mut message = Vec::new();
    let written = msgpack_writer::write_json(&mut message, text, attachments, MAX_DEPTH);
    assert_eq!(written, Ok(()), "{text}");
    msgpack::to_json(&message, MAX_DEPTH, usize::MAX).expect("what was written can be read")
}

#[cfg(test)]
mod tests;
