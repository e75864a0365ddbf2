//! Numbers and places in a log.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{ID_CHARS, Timestamp};
use crate::error::{Error, Result};

/// A message's number in its room: 1, 2, 3 ... without holes. Zero means "before the first".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The number after this one; after the largest there is, which only a client can name, that one again.
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

/// A message's number among all messages of its namespace, in the order every member is given them.
/// It grows and may skip. Clients see it as an opaque string, `7~`.
///
/// A client takes the string at the end of any event for one, so what is written is of a form that no other text has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// Reads what a client was given as one; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix('~')?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse().ok().map(Self)).flatten()
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~", self.0)
    }
}

/// Names the life of a room's log; numbers compare only within one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Epoch(Arc<str>);

impl Epoch {
    /// A new, random one: 8 lower-case letters and digits.
    pub fn fresh() -> Self {
        Self::of_bits(rand::random())
    }

    /// The one that is written with the lowest 40 of these bits.
    pub(crate) fn of_bits(bits: u64) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let letter = |nth: u32| char::from(ALPHABET[((bits >> (5 * nth)) & 31) as usize]);
        Self((0..8).map(letter).collect::<String>().into())
    }

    /// An epoch as it was stored or as a client gave it back; any text is one.
    pub fn from_text(text: &str) -> Self {
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

/// A place in a room's log: after the message `seq` of `epoch`. Written `epoch:seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which life of the log.
    pub epoch: Epoch,
    /// The last message before this place; 0 before the first.
    pub seq: Seq,
}

impl Position {
    /// Reads `epoch:seq`.
    pub fn parse(text: &str) -> Result<Self> {
        text.rsplit_once(':')
            .filter(|(epoch, _)| !epoch.is_empty() && epoch.len() <= ID_CHARS)
            .and_then(|(epoch, seq)| {
                Some(Self {
                    epoch: Epoch::from_text(epoch),
                    seq: Seq(seq.parse().ok()?),
                })
            })
            .ok_or_else(|| {
                Error::bad_request(
                    "a position is \"epoch:seq\" or { epoch, seq }, as an earlier answer gave it",
                )
            })
    }
}

/// A place in all rooms of a log: after everything up to an offset. Clients see it as an opaque string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Which life of the log.
    pub life: Epoch,
    /// Everything up to here was given.
    pub offset: Offset,
    /// When that was, at the latest: of rooms that have been forgotten since, nobody knows any more what they had.
    pub ts: Timestamp,
}

impl Cursor {
    /// Reads what a client was given as one; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('~');
        let (life, offset, ts) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = !life.is_empty() && life.len() <= ID_CHARS && parts.next().is_none();
        let number = |text: &str| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse().ok()).flatten()
        };
        fits.then_some(Self {
            life: Epoch::from_text(life),
            offset: Offset(number(offset)?),
            ts: Timestamp(number(ts)?),
        })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}~{}~{}", self.life, self.offset.0, self.ts.0)
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
