//! Messages of Hocuspocus: document sync, awareness and authentication of several documents, in binary frames.
//!
//! A frame is one message, addressed to a document: `name`, or `name NUL session` by a client that opens the same document
//! several times. What it carries is foreign and not checked here: [`walk`](super::walk), [`merge`](super::merge) and
//! [`awareness`](super::awareness) do that.

use super::{
    encoding::{Malformed, Reader, Writer},
    sync_message::SyncMessage,
};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;
/// A sync message that is not answered with step 1. Sent between servers only: clients do not know it.
const SYNC_REPLY: u64 = 4;
const STATELESS: u64 = 5;
const CLOSE: u64 = 7;
const SYNC_STATUS: u64 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const TOKEN: u64 = 0;
const PERMISSION_DENIED: u64 = 1;
const AUTHENTICATED: u64 = 2;

const SESSION_SEPARATOR: char = '\0';

/// What a client sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFrame<'a> {
    /// A message to a document.
    Message(Address<'a>, ClientMessage<'a>),
    /// Responds to a ping.
    Pong,
}

/// Which document a message is addressed to, and which of the client's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address<'a>(&'a str);

/// A message of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientMessage<'a> {
    /// About the document.
    Sync(SyncMessage<'a>),
    /// An awareness update.
    Awareness(&'a [u8]),
    /// Asks for access, or has a new token.
    Token {
        /// The token; empty if the client has none.
        token: &'a str,
        /// Version of the provider.
        version: Option<&'a str>,
    },
    /// Asks for all awareness states.
    QueryAwareness,
    /// An application's message to the server.
    Stateless(&'a str),
    /// The client leaves the document.
    Close,
    /// A type that clients have no use for.
    Unknown(u64),
}

/// A message of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerMessage<'a> {
    /// About the document.
    Sync(SyncMessage<'a>),
    /// An awareness update.
    Awareness(&'a [u8]),
    /// Access is denied.
    PermissionDenied(&'a str),
    /// Access is granted.
    Authenticated(Scope),
    /// The server ends the client's access to the document.
    Close(&'a str),
    /// Responds to an update: whether it was stored.
    SyncStatus(bool),
}

/// What a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Read and write.
    ReadWrite,
    /// Read only.
    ReadOnly,
}

/// A frame that clients respond to with [`ClientFrame::Pong`]. Those before version 4 do not know it.
pub const PING_FRAME: &[u8] = &[PING];

/// Parses a frame of a client.
///
/// # Errors
/// It is malformed.
pub fn parse(frame: &[u8]) -> Result<ClientFrame<'_>, Malformed> {
    if frame == [PONG] {
        return Ok(ClientFrame::Pong);
    }
    let mut reader = Reader::new(frame);
    let address = Address(reader.var_string()?);
    // What newer clients add at the end is ignored.
    let message = ClientMessage::read(&mut reader)?;
    Ok(ClientFrame::Message(address, message))
}

impl<'a> Address<'a> {
    /// The address as it is in messages.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Name of the document.
    pub fn document(self) -> &'a str {
        let parts = self.0.split_once(SESSION_SEPARATOR);
        parts.map_or(self.0, |(document, _)| document)
    }

    /// The client's session, if it names one.
    pub fn session(self) -> Option<&'a str> {
        let parts = self.0.split_once(SESSION_SEPARATOR);
        parts.map(|(_, session)| session)
    }
}

impl<'a> ClientMessage<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match reader.var_uint()? {
            SYNC | SYNC_REPLY => Self::Sync(SyncMessage::read(reader)?),
            AWARENESS => Self::Awareness(reader.var_bytes()?),
            AUTH => {
                if reader.var_uint()? != TOKEN {
                    return Err(reader.malformed("unknown auth message"));
                }
                let token = reader.var_string()?;
                let has_version = !reader.is_at_end();
                Self::Token {
                    token,
                    version: has_version.then(|| reader.var_string()).transpose()?,
                }
            }
            QUERY_AWARENESS => Self::QueryAwareness,
            STATELESS => Self::Stateless(reader.var_string()?),
            CLOSE => Self::Close,
            other => Self::Unknown(other),
        })
    }
}

impl ServerMessage<'_> {
    /// A frame of this message. `address`: as the client gave it.
    pub fn encode(&self, address: &str) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.var_string(address);
        match *self {
            Self::Sync(sync) => sync.write(writer.var_uint(SYNC)),
            Self::Awareness(update) => {
                writer.var_uint(AWARENESS).var_bytes(update);
            }
            Self::PermissionDenied(reason) => {
                let message = writer.var_uint(AUTH).var_uint(PERMISSION_DENIED);
                message.var_string(reason);
            }
            Self::Authenticated(scope) => {
                let message = writer.var_uint(AUTH).var_uint(AUTHENTICATED);
                message.var_string(scope.as_str());
            }
            Self::Close(reason) => {
                writer.var_uint(CLOSE).var_string(reason);
            }
            Self::SyncStatus(stored) => {
                writer.var_uint(SYNC_STATUS).var_uint(stored.into());
            }
        }
        writer.into_bytes()
    }
}

impl Scope {
    /// Its name in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "readonly",
        }
    }
}

#[cfg(test)]
mod tests;
