//! Sequence numbers, offsets and positions in a log.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{names::MAX_ID_CHARS, timestamp::Timestamp};
use crate::error::{Error, Result};

/// The sequence number of a message in its room: 1, 2, 3 ... without gaps. Zero is the position before the first message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The next number. Saturates at the maximum, which only a client can make up.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a message among all messages of its namespace, in the order of delivery. It increases and may skip
/// numbers. Clients see it as an opaque string, `7~`.
///
/// A Socket.IO client takes the last argument of any event for an offset if it is a string, so the form is one that no
/// other text has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// Parses the form that clients are given; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('~')?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok().map(Self)).flatten()
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~", self.0)
    }
}

/// Identifies one incarnation of a room's log; sequence numbers are comparable only within one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// A new, random epoch: 8 lower-case letters and digits.
    pub fn generate() -> Self {
        Self::from_bits(rand::random())
    }

    /// Encodes the lowest 40 bits.
    pub(crate) fn from_bits(bits: u64) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let letter = |nth: u32| char::from(ALPHABET[((bits >> (5 * nth)) & 31) as usize]);
        Self((0..8).map(letter).collect::<String>().into())
    }

    /// An epoch as it was stored or as a client sent it; any text is valid.
    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one incarnation of a whole log. Offsets and sessions are comparable only within one; a log that has lost data begins
/// the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(Arc<str>);

impl Incarnation {
    /// A new, random name, of the same form as an [`Epoch`].
    pub fn generate() -> Self {
        Self(Epoch::generate().0)
    }

    /// A name as it was stored or as a client sent it; any text is valid.
    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A position in a room's log: after message `seq` of `epoch`. Written `epoch:seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The incarnation of the room's log.
    pub epoch: Epoch,
    /// The last message before the position; 0 if there is none.
    pub seq: Seq,
}

impl Position {
    /// Parses `epoch:seq`.
    ///
    /// # Errors
    /// Fails with `bad_request` for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        text.rsplit_once(':')
            .filter(|(epoch, _)| !epoch.is_empty() && epoch.len() <= MAX_ID_CHARS)
            .and_then(|(epoch, seq)| {
                Some(Self {
                    epoch: Epoch::from_text(epoch),
                    seq: Seq(seq.parse().ok()?),
                })
            })
            .ok_or_else(|| {
                Error::bad_request(
                    "a position is \"epoch:seq\" or { epoch, seq }, as returned by an earlier request",
                )
            })
    }
}

/// A position in all rooms of a log: after everything up to an offset. Clients see it as an opaque string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The incarnation of the log; offsets start anew in each.
    pub incarnation: Incarnation,
    /// Everything up to this offset was delivered.
    pub offset: Offset,
    /// The latest time at which that was so. The contents of rooms that were forgotten since are unknown.
    pub ts: Timestamp,
}

impl Cursor {
    /// Parses the form that clients are given; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('~');
        let (incarnation, offset, ts) = (parts.next()?, parts.next()?, parts.next()?);
        let is_valid =
            !incarnation.is_empty() && incarnation.len() <= MAX_ID_CHARS && parts.next().is_none();
        let number = |text: &str| {
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| text.parse().ok()).flatten()
        };
        is_valid.then_some(Self {
            incarnation: Incarnation::from_text(incarnation),
            offset: Offset(number(offset)?),
            ts: Timestamp(number(ts)?),
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}~{}", self.incarnation, self.offset.0, self.ts.0)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.seq)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            epoch: String,
            seq: u64,
        }
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "\"epoch:seq\" or { epoch, seq } is expected")]
        enum Form {
            Text(String),
            Parts(Parts),
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) => Position::parse(&text)
                .map_err(|error| de::Error::custom(error.message().to_owned())),
            Form::Parts(Parts { epoch, seq }) => Ok(Position {
                epoch: Epoch::from_text(&epoch),
                seq: Seq(seq),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
