//! Binary packets: a text packet whose attachments follow one by one.

use super::{
    BinaryPacket, InboundFilter, PacketVerdict, ProtocolError, SocketIoPacket, other_parser,
    too_large,
};
use crate::{
    error::Code,
    limits::{Charge, Exhausted},
    transport::wire::SHARED_NAMESPACE,
};

/// Bytes of a partial packet that are not charged.
const UNCHARGED_BYTES: usize = 16 << 10;

/// A packet with attachments still to come.
pub(super) struct PartialPacket {
    packet: BinaryPacket,
    missing: usize,
    attached_bytes: usize,
    namespace: String,
    ack: Option<i64>,
    event: bool,
    charge: Charge,
}

impl InboundFilter {
    /// Stores a packet until its attachments have come.
    pub(super) fn start_partial<'a>(
        &self,
        packet: SocketIoPacket<'_>,
        missing: usize,
        ack: Option<i64>,
        event: bool,
    ) -> PacketVerdict<'a> {
        let partial = PartialPacket {
            attached_bytes: 0,
            namespace: packet.namespace.to_owned(),
            packet: BinaryPacket {
                text: packet.text.into_owned(),
                attachments: Vec::new(),
            },
            missing,
            ack,
            event,
            charge: self.account.charge(UNCHARGED_BYTES),
        };
        self.lock().partial = Some(partial.into());
        PacketVerdict::Drop
    }

    /// Adds an attachment to its packet, which passes once it is complete.
    pub(super) fn filter_attachment<'a>(&self, bytes: &[u8]) -> PacketVerdict<'a> {
        let mut state = self.lock();
        if state.skipped_attachments > 0 {
            state.skipped_attachments -= 1;
            self.rate.note();
            return PacketVerdict::Drop;
        }
        let Some(mut partial) = state.partial.take() else {
            drop(state);
            let error = ProtocolError::new("binary data that belongs to no packet");
            return self.refuse_other_parser(other_parser::connect_of_bytes(bytes), error);
        };
        partial.missing -= 1;
        partial.attached_bytes += bytes.len();
        let total = partial.packet.text.len() + partial.attached_bytes;
        let refused = match partial.attached_bytes > self.max_packet {
            true => Some(too_large(format!(
                "the attachments of one event may have {} bytes",
                self.max_packet
            ))),
            false => partial
                .charge
                .resize(total)
                .map_err(Exhausted::into_memory_error)
                .err(),
        };
        if let Some(error) = refused {
            state.skipped_attachments = partial.missing;
            drop(state);
            if partial.namespace == SHARED_NAMESPACE && error.code() == Code::Unavailable {
                // Its client takes what it has sent for stored; it sends it again when it has connected again.
                return PacketVerdict::Close(ProtocolError::NO_MEMORY);
            }
            self.send_error(&partial.namespace, partial.ack, partial.event, &error);
            return PacketVerdict::Drop;
        }
        partial.packet.attachments.push(bytes.to_vec());
        if partial.missing == 0 {
            return PacketVerdict::PassBinary(partial.packet);
        }
        state.partial = Some(partial);
        PacketVerdict::Drop
    }
}
