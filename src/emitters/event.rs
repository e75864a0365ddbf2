//! Events of emitters: checked against what clients and this server can take.

use std::collections::VecDeque;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Refusal;
use crate::{
    events::check_name,
    hub::LimitSettings,
    limits::exceeds_depth,
    model::EventPayload,
    transport::socketio::{MAX_RELAYED_ATTACHMENTS, check_placeholders},
};

/// How many arguments an event may have.
const MAX_ARGUMENTS: usize = 1024;

/// How many levels of arrays and objects a message has around the arguments of its event.
const ENVELOPE_DEPTH: usize = 4;

/// A depth that is far from the end of a thread's stack, however deep events may nest.
pub(super) const MAX_DEPTH: usize = 256;

/// Bytes that an event may have besides its arguments: its name, and what separates the arguments.
const ENVELOPE_BYTES: usize = 2048;

/// What a message may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventLimits {
    /// Bytes as it is published, and as JSON.
    pub(super) message_bytes: usize,
    /// Levels of arrays and objects of the whole message.
    pub(super) depth: usize,
    /// Bytes of the JSON of an event.
    event_bytes: usize,
    /// Levels of an argument.
    nesting: usize,
}

impl EventLimits {
    pub(super) fn new(limits: &LimitSettings, max_payload: usize) -> Self {
        let nesting = limits.nesting.min(MAX_DEPTH);
        Self {
            message_bytes: max_payload,
            depth: nesting + ENVELOPE_DEPTH,
            event_bytes: limits.message_bytes.bytes().saturating_add(ENVELOPE_BYTES),
            nesting,
        }
    }

    /// The text of a message that is JSON.
    ///
    /// # Errors
    /// `too_large`, `too_deep`, and `malformed` if it is not UTF-8.
    pub(super) fn check_json<'a>(&self, message: &'a [u8]) -> Result<&'a str, Refusal> {
        if message.len() > self.message_bytes {
            return Err(Refusal::TooLarge);
        }
        let text = std::str::from_utf8(message).map_err(|_| Refusal::Malformed)?;
        if exceeds_depth(text, self.depth) {
            return Err(Refusal::TooDeep);
        }
        Ok(text)
    }

    /// An event, from the array of its name and arguments.
    ///
    /// # Errors
    /// It is not one, or not one that clients can take.
    pub(super) fn event(
        &self,
        array: &RawValue,
        attachments: Vec<Bytes>,
    ) -> Result<EventPayload, Refusal> {
        let text = array.get();
        if text.len() > self.event_bytes {
            return Err(Refusal::TooLarge);
        }
        if attachments.len() > MAX_RELAYED_ATTACHMENTS {
            return Err(Refusal::TooMany);
        }
        if exceeds_depth(text, self.nesting.saturating_add(1)) {
            return Err(Refusal::TooDeep);
        }
        let values: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| Refusal::Malformed)?;
        let [name, arguments @ ..] = values.as_slice() else {
            return Err(Refusal::Malformed);
        };
        if arguments.len() > MAX_ARGUMENTS {
            return Err(Refusal::TooMany);
        }
        let name: String = serde_json::from_str(name.get()).map_err(|_| Refusal::Malformed)?;
        check_name(&name).map_err(|_| Refusal::EventName)?;
        // In an event without attachments placeholders are ordinary data.
        if !attachments.is_empty() {
            let attachments = VecDeque::from(attachments.clone());
            check_placeholders(arguments, &attachments).map_err(|_| Refusal::Malformed)?;
        }
        Ok(EventPayload {
            text: text.into(),
            attachments,
        })
    }
}

#[cfg(test)]
impl EventLimits {
    /// The defaults.
    pub(super) fn testing() -> Self {
        Self::new(&LimitSettings::default(), 1 << 20)
    }
}
