//! What an item holds.

use super::{
    super::encoding::{Malformed, Reader, Writer},
    MAX_CLOCK, MAX_DEPTH,
    any::{OBJECT, skip_any},
    json::is_json,
};

const DELETED: u8 = 1;
const JSON: u8 = 2;
const BINARY: u8 = 3;
const TEXT: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
const ANY: u8 = 8;
const DOC: u8 = 9;

/// What stands for half a surrogate pair.
const REPLACEMENT: &str = "\u{fffd}";

/// What an item holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// It was deleted and garbage collected.
    Deleted,
    /// Characters.
    Text(Text<'a>),
    /// A number of values.
    Values(Values<'a>),
    /// One thing that cannot be divided.
    Single(Single<'a>),
}

/// Characters of a text. Their length is counted in UTF-16 units, and positions can be in the middle of a surrogate pair: then
/// each half becomes a replacement character, as in Yjs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// Begins with the second half of a pair.
    half_before: bool,
    text: &'a str,
    /// Ends with the first half of a pair.
    half_after: bool,
}

/// Values in an array, or the value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values<'a> {
    /// In the `Any` encoding; otherwise each is a string of JSON.
    any: bool,
    count: u32,
    bytes: &'a [u8],
}

/// Content that cannot be divided, as it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Single<'a> {
    kind: u8,
    bytes: &'a [u8],
}

impl<'a> Content<'a> {
    /// Reads content of this kind, and returns its length.
    pub(super) fn read(reader: &mut Reader<'a>, kind: u8) -> Result<(Self, u32), Malformed> {
        let start = reader.position();
        match kind {
            DELETED => Ok((Self::Deleted, read_run(reader)?)),
            TEXT => {
                let text = Text::new(reader.var_string()?);
                Ok((Self::Text(text), text.units()))
            }
            JSON | ANY => {
                let values = Values::read(reader, kind == ANY)?;
                Ok((Self::Values(values), values.count))
            }
            _ => {
                skip_single(reader, kind)?;
                let bytes = reader.since(start);
                Ok((Self::Single(Single { kind, bytes }), 1))
            }
        }
    }

    /// The number that stands for its kind.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Deleted => DELETED,
            Self::Text(_) => TEXT,
            Self::Values(values) if values.any => ANY,
            Self::Values(_) => JSON,
            Self::Single(single) => single.kind,
        }
    }

    /// Whether it is a shared type, which other items are in.
    pub fn is_type(&self) -> bool {
        self.kind() == TYPE
    }

    /// Writes content of `length`.
    pub fn write(&self, length: u32, writer: &mut Writer) {
        match self {
            Self::Deleted => {
                writer.var_uint(length.into());
            }
            Self::Text(text) => {
                writer.count(text.encoded_len());
                text.write(writer);
            }
            Self::Values(values) => {
                writer.var_uint(length.into()).raw(values.bytes);
            }
            Self::Single(single) => {
                writer.raw(single.bytes);
            }
        }
    }

    /// Divides it behind `at` elements, which are fewer than it has.
    pub(super) fn split(self, at: u32) -> Result<(Self, Self), Malformed> {
        Ok(match self {
            Self::Text(text) => {
                let (left, right) = text.split(at);
                (Self::Text(left), Self::Text(right))
            }
            Self::Values(values) => {
                let (left, right) = values.split(at)?;
                (Self::Values(left), Self::Values(right))
            }
            Self::Deleted | Self::Single(_) => (self, self),
        })
    }
}

impl<'a> Text<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            half_before: false,
            text,
            half_after: false,
        }
    }

    /// Number of UTF-16 units. A text has fewer than [`MAX_CLOCK`], or its struct is refused.
    fn units(self) -> u32 {
        let units = self.text.encode_utf16().count();
        u32::try_from(units).unwrap_or(u32::MAX)
    }

    /// Number of bytes that [`write`](Self::write) writes.
    pub fn encoded_len(self) -> usize {
        let halves = usize::from(self.half_before) + usize::from(self.half_after);
        self.text.len() + halves * REPLACEMENT.len()
    }

    /// Writes the characters without their length.
    pub fn write(self, writer: &mut Writer) {
        if self.half_before {
            writer.raw(REPLACEMENT.as_bytes());
        }
        writer.raw(self.text.as_bytes());
        if self.half_after {
            writer.raw(REPLACEMENT.as_bytes());
        }
    }

    /// Divides it behind `at` units. Reads the left part only, so that dividing a text many times costs no more than once.
    fn split(self, at: u32) -> (Self, Self) {
        let mut units = u32::from(self.half_before);
        let mut bytes = 0;
        let mut through_pair = false;
        for char in self.text.chars() {
            if units >= at {
                break;
            }
            units += if char > '\u{ffff}' { 2 } else { 1 };
            through_pair = units > at;
            if !through_pair {
                bytes += char.len_utf8();
            }
        }
        let right = if through_pair { bytes + 4 } else { bytes };
        // A character behind the middle of a pair is one of four bytes.
        let (before, after) = (
            self.text.get(..bytes).unwrap_or_default(),
            self.text.get(right..).unwrap_or_default(),
        );
        let left = Self {
            half_before: self.half_before,
            text: before,
            half_after: through_pair,
        };
        let right = Self {
            half_before: through_pair,
            text: after,
            half_after: self.half_after,
        };
        (left, right)
    }
}

impl<'a> Values<'a> {
    fn read(reader: &mut Reader<'a>, any: bool) -> Result<Self, Malformed> {
        let count = reader.count(1)?;
        let start = reader.position();
        for _ in 0..count {
            Self::skip(reader, any)?;
        }
        let count = u32::try_from(count).map_err(|_| reader.malformed("too many values"))?;
        Ok(Self {
            any,
            count,
            bytes: reader.since(start),
        })
    }

    fn skip(reader: &mut Reader<'_>, any: bool) -> Result<(), Malformed> {
        if any {
            return skip_any(reader);
        }
        match reader.var_string()? {
            "undefined" => Ok(()),
            text => check_json(text, reader),
        }
    }

    /// The values, as they are encoded.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    fn split(self, at: u32) -> Result<(Self, Self), Malformed> {
        let mut reader = Reader::new(self.bytes);
        for _ in 0..at {
            Self::skip(&mut reader, self.any)?;
        }
        let left = Self {
            count: at,
            bytes: reader.since(0),
            ..self
        };
        let right = Self {
            count: self.count.saturating_sub(at),
            bytes: reader.rest(),
            ..self
        };
        Ok((left, right))
    }
}

/// Reads the length of a run, which is not 0.
pub(super) fn read_run(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    match u32::try_from(reader.var_uint()?) {
        Ok(length @ 1..=MAX_CLOCK) => Ok(length),
        _ => Err(reader.malformed("length of a run out of range")),
    }
}

fn skip_single(reader: &mut Reader<'_>, kind: u8) -> Result<(), Malformed> {
    match kind {
        BINARY => {
            reader.var_bytes()?;
        }
        EMBED => {
            let json = reader.var_string()?;
            check_json(json, reader)?;
        }
        FORMAT => {
            reader.var_string()?;
            let json = reader.var_string()?;
            check_json(json, reader)?;
        }
        TYPE => match reader.byte()? {
            // Array, map, text, XML fragment, XML text.
            0 | 1 | 2 | 4 | 6 => {}
            // XML element and XML hook have a name.
            3 | 5 => {
                reader.var_string()?;
            }
            _ => return Err(reader.malformed("unknown shared type")),
        },
        DOC => {
            reader.var_string()?;
            // Clients read its fields.
            if reader.rest().first() != Some(&OBJECT) {
                return Err(reader.malformed("the options of a subdocument are no object"));
            }
            skip_any(reader)?;
        }
        _ => return Err(reader.malformed("unknown content of an item")),
    }
    Ok(())
}

fn check_json(text: &str, reader: &Reader<'_>) -> Result<(), Malformed> {
    if is_json(text, MAX_DEPTH) {
        Ok(())
    } else {
        Err(reader.malformed("invalid JSON"))
    }
}

#[cfg(test)]
mod tests;
