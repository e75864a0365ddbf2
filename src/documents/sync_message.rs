//! Messages of y-websocket: document sync and awareness, in binary frames.
//!
//! A frame is one message, or several one behind the other. What they carry is foreign and not checked here:
//! [`walk`](super::walk), [`merge`](super::merge) and [`awareness`](super::awareness) do that.

use super::encoding::{Malformed, Reader, Writer};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

const PERMISSION_DENIED: u64 = 0;

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// About the document.
    Sync(SyncMessage<'a>),
    /// An awareness update.
    Awareness(&'a [u8]),
    /// Says why access is denied. Sent by servers.
    PermissionDenied(&'a str),
    /// Asks for all awareness states.
    QueryAwareness,
}

/// A message about the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMessage<'a> {
    /// Asks for what is missing, by the state vector of what is there.
    Step1(&'a [u8]),
    /// Responds to it with an update.
    Step2(&'a [u8]),
    /// An update of what was changed now.
    Update(&'a [u8]),
}

/// The messages of a frame. Ends behind an error.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    reader: Reader<'a>,
    failed: bool,
}

/// The messages of a frame.
pub fn parse(frame: &[u8]) -> Messages<'_> {
    Messages {
        reader: Reader::new(frame),
        failed: false,
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || self.reader.is_at_end() {
            return None;
        }
        let message = Message::read(&mut self.reader);
        self.failed = message.is_err();
        Some(message)
    }
}

impl<'a> Message<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match reader.var_uint()? {
            SYNC => Self::Sync(SyncMessage::read(reader)?),
            AWARENESS => Self::Awareness(reader.var_bytes()?),
            AUTH => match reader.var_uint()? {
                PERMISSION_DENIED => Self::PermissionDenied(reader.var_string()?),
                _ => return Err(reader.malformed("unknown auth message")),
            },
            QUERY_AWARENESS => Self::QueryAwareness,
            _ => return Err(reader.malformed("unknown message type")),
        })
    }

    /// A frame of this message.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        match *self {
            Self::Sync(sync) => sync.write(writer.var_uint(SYNC)),
            Self::Awareness(update) => {
                writer.var_uint(AWARENESS).var_bytes(update);
            }
            Self::PermissionDenied(reason) => {
                let message = writer.var_uint(AUTH).var_uint(PERMISSION_DENIED);
                message.var_string(reason);
            }
            Self::QueryAwareness => {
                writer.var_uint(QUERY_AWARENESS);
            }
        }
        writer.into_bytes()
    }
}

impl<'a> SyncMessage<'a> {
    /// Reads what is behind the type of a sync message.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let step = reader.var_uint()?;
        let payload = reader.var_bytes()?;
        match step {
            STEP_1 => Ok(Self::Step1(payload)),
            STEP_2 => Ok(Self::Step2(payload)),
            UPDATE => Ok(Self::Update(payload)),
            _ => Err(reader.malformed("unknown sync message")),
        }
    }

    /// Writes what is behind the type of a sync message.
    pub(super) fn write(self, writer: &mut Writer) {
        let (step, payload) = match self {
            Self::Step1(state_vector) => (STEP_1, state_vector),
            Self::Step2(update) => (STEP_2, update),
            Self::Update(update) => (UPDATE, update),
        };
        writer.var_uint(step).var_bytes(payload);
    }
}

#[cfg(test)]
mod tests;
