//! The text of a sender's messages: written once, but for marker and number.

use crate::load::{
    marker::Marker,
    plan::{Protocol, Transport},
    shared::Shared,
};

/// The parts of a message that are the same in all messages of a sender.
pub(super) struct MessageText {
    /// Socket.IO's type, before the number of the ack.
    kind: &'static str,
    has_ack: bool,
    before: String,
    /// Behind the data; before the number, if it has one.
    behind: String,
    has_number: bool,
    /// Behind the number.
    end: &'static str,
}

impl MessageText {
    pub(super) fn new(shared: &Shared, transport: Transport, sender: usize, room: &str) -> Self {
        let id = format!(r#"","id":"{}"#, id_prefix(&shared.run, sender));
        match &shared.plan.protocol {
            Protocol::Switchboard { .. } if transport == Transport::WebSocket => Self {
                kind: "",
                has_ack: false,
                before: format!(r#"{{"type":"text","room":"{room}","data":""#),
                behind: id,
                has_number: true,
                end: r#""}"#,
            },
            Protocol::Switchboard { ids, echo } => {
                let echo = if *echo { "" } else { r#""echo":false,"# };
                Self {
                    kind: "42",
                    has_ack: true,
                    before: format!(r#"["message",{{"room":"{room}",{echo}"data":""#),
                    behind: if *ids { id } else { String::new() },
                    has_number: *ids,
                    end: r#""}]"#,
                }
            }
            Protocol::Plain(events) => {
                let (before, behind) = events.send.for_room(room);
                Self {
                    kind: "42",
                    has_ack: events.acks,
                    before,
                    behind,
                    has_number: false,
                    end: "",
                }
            }
        }
    }

    /// Writes a message.
    pub(super) fn write(&self, shared: &Shared, marker: &Marker, out: &mut Vec<u8>) {
        out.extend_from_slice(self.kind.as_bytes());
        if self.has_ack {
            super::write_number(out, ack_of(marker.number));
        }
        out.extend_from_slice(self.before.as_bytes());
        marker.write(&shared.tag, out);
        out.resize(out.len() + shared.plan.sizes.next_padding(), b'x');
        out.extend_from_slice(self.behind.as_bytes());
        if self.has_number {
            super::write_number(out, marker.number);
        }
        out.extend_from_slice(self.end.as_bytes());
    }
}

/// The ids of a sender's messages, without their number.
pub(super) fn id_prefix(run: &str, sender: usize) -> String {
    format!("{run}-{sender}-")
}

/// The ack of a join, and then those of the messages.
pub(super) const JOIN_ACK: u32 = 0;

/// The ack of a message.
fn ack_of(number: u32) -> u32 {
    number + 1
}

/// The message that an ack is of.
pub(super) fn number_of(ack: u32) -> Option<u32> {
    ack.checked_sub(1)
}
