//! Entry points of the fuzzers of what clients send.

use super::{
    EngineProtocol,
    client_frame::ClientFrameHeader,
    packet::{ClientPacket, parse_binary, parse_text},
    payload::PostedPackets,
    verdict::Incoming,
};

/// Maximum payload of a frame.
const LIMIT: usize = 1 << 20;

/// A header that was parsed is within the bytes, and its payload within the limit.
pub(in crate::transport) fn parse_frames(input: &[u8]) {
    let mut rest = input.to_vec();
    while let Ok(Some(header)) = ClientFrameHeader::parse(&rest, LIMIT) {
        assert!(
            header.frame_len() <= LIMIT + 14,
            "a frame is over the limit"
        );
        if header.frame_len() > rest.len() {
            return;
        }
        assert!(header.unmask(&mut rest).len() <= LIMIT);
        rest.drain(..header.frame_len());
    }
}

/// The packets of a body are no longer than the body, and end after an error.
pub(in crate::transport) fn parse_payload(input: &[u8]) {
    let Some((encoding, body)) = input.split_first() else {
        return;
    };
    let mut packets = match (encoding % 3, std::str::from_utf8(body)) {
        (2, _) => PostedPackets::binary(body),
        (encoding, Ok(text)) => PostedPackets::text(text, encoding == 1),
        _ => return,
    };
    let mut bytes = 0;
    for packet in packets.by_ref() {
        bytes += match packet {
            Ok(Incoming::Text(text)) => text.len(),
            Ok(Incoming::Binary(bytes)) => bytes.len(),
            Err(_) => break,
        };
    }
    assert!(bytes <= body.len(), "packets hold more than their body");
    assert!(packets.next().is_none(), "a packet follows the end");
}

/// What is passed on to socketioxide is a packet itself.
pub(in crate::transport) fn parse_packet(input: &[u8]) {
    for protocol in [EngineProtocol::V3, EngineProtocol::V4] {
        let _ = parse_binary(protocol, input);
        let Ok(text) = std::str::from_utf8(input) else {
            continue;
        };
        if let Ok(ClientPacket::SocketIo(packet)) = parse_text(protocol, text) {
            let again = parse_text(protocol, &packet.text);
            assert!(
                matches!(again, Ok(ClientPacket::SocketIo(_))),
                "{text:?} is passed on as {:?}",
                packet.text
            );
        }
    }
}
