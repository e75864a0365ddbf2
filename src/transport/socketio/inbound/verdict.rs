//! What the inbound filter is given and what it decides.

use std::borrow::Cow;

use super::protocol_error::ProtocolError;

/// One message of a client: a WebSocket message, or a packet of a POST.
#[derive(Clone, Copy, Debug)]
pub(super) enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// What to do with a message.
#[derive(Debug, PartialEq)]
pub(super) enum PacketVerdict<'a> {
    /// Pass this text on to socketioxide.
    Pass(Cow<'a, str>),
    /// Pass this packet on with its attachments.
    PassBinary(BinaryPacket),
    /// Pass this CONNECT on, and nothing else before socketioxide has taken it up.
    PassConnect(PendingConnect),
    /// Filter the same message again once this namespace is [ready](super::Namespaces::is_ready): its CONNECT is still being
    /// decided, or socketioxide is not ready for the next one yet.
    Retry(&'a str),
    /// Drop it.
    Drop,
    /// Close the client.
    Close(ProtocolError),
}

/// A CONNECT that socketioxide has been given and may have ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PendingConnect {
    pub(super) namespace: String,
    /// The packet.
    pub(super) text: String,
}

/// A packet with all its attachments.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BinaryPacket {
    pub(super) text: String,
    pub(super) attachments: Vec<Vec<u8>>,
}

/// Packets that have no meaning to a server, by kind; each kind is logged once a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IgnoredPacket {
    /// An Engine.IO packet that only a server sends, or one of an upgrade.
    EnginePacket,
    /// CONNECT_ERROR, which only a server sends.
    ConnectError,
    /// An ack of no event that was sent.
    Ack,
    /// For a namespace that the client is not connected to.
    NotConnected,
    /// A CONNECT to a namespace that the client is connected to.
    AlreadyConnected,
}
