//! MessagePack to JSON text, with placeholders for binary values, as Socket.IO writes events.
//!
//! Written as it is read, without a tree of values in between: nesting is bounded on the way down, lengths are believed only as far as
//! there are bytes, and the text has a bound of its own, because few bytes of MessagePack can be many of JSON.

use bytes::Bytes;
use rmp::Marker;

use super::Refusal;
use crate::model::iso_date;

/// A value as JSON text, and what its placeholders stand for.
#[derive(Debug, PartialEq)]
pub(super) struct Transcoded {
    pub(super) text: String,
    pub(super) attachments: Vec<Bytes>,
}

/// The type of the extension that notepack writes `undefined`, and in older versions dates and buffers, with.
const NOTEPACK: i8 = 0;

/// The type of timestamps.
const TIMESTAMP: i8 = -1;

/// Transcodes a message that is one value.
///
/// # Errors
/// `too_deep` for more than `depth` levels of arrays and maps, `too_large` if the text would have more than `max_bytes`, and `malformed`.
pub(super) fn to_json(
    message: &[u8],
    depth: usize,
    max_bytes: usize,
) -> Result<Transcoded, Refusal> {
    let mut transcoder = Transcoder {
        rest: message,
        max_bytes,
        done: Transcoded {
            text: String::with_capacity(message.len().min(max_bytes)),
            attachments: Vec::new(),
        },
    };
    // A message that is `undefined` has no text.
    match (transcoder.value(depth)?, transcoder.rest) {
        (Written::Value, []) => Ok(transcoder.done),
        _ => Err(Refusal::Malformed),
    }
}

struct Transcoder<'a> {
    /// What has not been read yet.
    rest: &'a [u8],
    max_bytes: usize,
    done: Transcoded,
}

/// What a value was, where that matters to what is around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Value,
    /// JavaScript's `undefined`: null in an array, and nothing in an object.
    Undefined,
}

impl<'a> Transcoder<'a> {
    /// Reads a value that may have `depth` levels of arrays and maps, and writes it.
    fn value(&mut self, depth: usize) -> Result<Written, Refusal> {
        match Marker::from_u8(self.byte()?) {
            Marker::Null => self.write("null")?,
            Marker::True => self.write("true")?,
            Marker::False => self.write("false")?,
            Marker::FixPos(number) => self.write_number(number)?,
            Marker::FixNeg(number) => self.write_number(number)?,
            Marker::U8 => self.unsigned(1)?,
            Marker::U16 => self.unsigned(2)?,
            Marker::U32 => self.unsigned(4)?,
            Marker::U64 => self.unsigned(8)?,
            Marker::I8 => self.signed(1)?,
            Marker::I16 => self.signed(2)?,
            Marker::I32 => self.signed(4)?,
            Marker::I64 => self.signed(8)?,
            Marker::F32 => {
                let bits = u32::try_from(self.length(4)?).map_err(|_| Refusal::Malformed)?;
                self.float(f64::from(f32::from_bits(bits)))?;
            }
            Marker::F64 => {
                let bits = self.bits(8)?;
                self.float(f64::from_bits(bits))?;
            }
            Marker::FixStr(length) => self.string(usize::from(length))?,
            Marker::Str8 => self.sized(1, Self::string)?,
            Marker::Str16 => self.sized(2, Self::string)?,
            Marker::Str32 => self.sized(4, Self::string)?,
            Marker::Bin8 => self.sized(1, Self::binary)?,
            Marker::Bin16 => self.sized(2, Self::binary)?,
            Marker::Bin32 => self.sized(4, Self::binary)?,
            Marker::FixArray(length) => self.array(usize::from(length), depth)?,
            Marker::Array16 => self.sized(2, |this, length| this.array(length, depth))?,
            Marker::Array32 => self.sized(4, |this, length| this.array(length, depth))?,
            Marker::FixMap(length) => self.map(usize::from(length), depth)?,
            Marker::Map16 => self.sized(2, |this, length| this.map(length, depth))?,
            Marker::Map32 => self.sized(4, |this, length| this.map(length, depth))?,
            Marker::FixExt1 => return self.extension(1),
            Marker::FixExt2 => return self.extension(2),
            Marker::FixExt4 => return self.extension(4),
            Marker::FixExt8 => return self.extension(8),
            Marker::FixExt16 => return self.extension(16),
            Marker::Ext8 => return self.sized_extension(1),
            Marker::Ext16 => return self.sized_extension(2),
            Marker::Ext32 => return self.sized_extension(4),
            Marker::Reserved => return Err(Refusal::Malformed),
        }
        Ok(Written::Value)
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<(), Refusal> {
        let depth = depth.checked_sub(1).ok_or(Refusal::TooDeep)?;
        self.write("[")?;
        for nth in 0..length {
            if nth > 0 {
                self.write(",")?;
            }
            if self.value(depth)? == Written::Undefined {
                self.write("null")?;
            }
        }
        self.write("]")
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<(), Refusal> {
        let depth = depth.checked_sub(1).ok_or(Refusal::TooDeep)?;
        self.write("{")?;
        let begin = self.done.text.len();
        for _ in 0..length {
            let before = self.done.text.len();
            if before > begin {
                self.write(",")?;
            }
            self.key()?;
            self.write(":")?;
            if self.value(depth)? == Written::Undefined {
                self.done.text.truncate(before);
            }
        }
        self.write("}")
    }

    /// A key: a string, or a whole number, which is its digits.
    fn key(&mut self) -> Result<(), Refusal> {
        match self.rest.first().map(|byte| Marker::from_u8(*byte)) {
            Some(Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32) => {
                self.value(0).map(drop)
            }
            Some(
                Marker::FixPos(_)
                | Marker::FixNeg(_)
                | Marker::U8
                | Marker::U16
                | Marker::U32
                | Marker::U64
                | Marker::I8
                | Marker::I16
                | Marker::I32
                | Marker::I64,
            ) => {
                self.write("\"")?;
                self.value(0)?;
                self.write("\"")
            }
            _ => Err(Refusal::Malformed),
        }
    }

    fn string(&mut self, length: usize) -> Result<(), Refusal> {
        let bytes = self.take(length)?;
        if self.done.text.len() + length > self.max_bytes {
            return Err(Refusal::TooLarge);
        }
        // Half a surrogate pair, which JavaScript's strings may have, is no UTF-8.
        let text = String::from_utf8_lossy(bytes);
        let quoted = serde_json::to_string(&text).map_err(|_| Refusal::Malformed)?;
        self.write(&quoted)
    }

    fn binary(&mut self, length: usize) -> Result<(), Refusal> {
        let bytes = Bytes::copy_from_slice(self.take(length)?);
        let number = self.done.attachments.len();
        self.done.attachments.push(bytes);
        self.write(&format!(r#"{{"_placeholder":true,"num":{number}}}"#))
    }

    fn sized_extension(&mut self, size: usize) -> Result<Written, Refusal> {
        let length = self.length(size)?;
        self.extension(length)
    }

    /// An extension: those of notepack, and timestamps, which JSON has as text.
    fn extension(&mut self, length: usize) -> Result<Written, Refusal> {
        let kind = i8::from_be_bytes([self.byte()?]);
        match (kind, length) {
            (NOTEPACK, 1) if self.rest.first() == Some(&0) => {
                self.take(1)?;
                return Ok(Written::Undefined);
            }
            (NOTEPACK, 8) => {
                let millis = i64::from_be_bytes(self.bits(8)?.to_be_bytes());
                self.date(millis)?;
            }
            (NOTEPACK, _) => self.binary(length)?,
            (TIMESTAMP, 4) => {
                let seconds = i64::try_from(self.bits(4)?).map_err(|_| Refusal::Malformed)?;
                self.date(seconds.saturating_mul(1000))?;
            }
            (TIMESTAMP, 8) => {
                let bits = self.bits(8)?;
                let (nanos, seconds) = (bits >> 34, bits & ((1 << 34) - 1));
                let millis = seconds * 1000 + nanos / 1_000_000;
                self.date(i64::try_from(millis).map_err(|_| Refusal::Malformed)?)?;
            }
            (TIMESTAMP, 12) => {
                let nanos = i64::try_from(self.bits(4)?).map_err(|_| Refusal::Malformed)?;
                let seconds = i64::from_be_bytes(self.bits(8)?.to_be_bytes());
                self.date(
                    seconds
                        .saturating_mul(1000)
                        .saturating_add(nanos / 1_000_000),
                )?;
            }
            _ => return Err(Refusal::Malformed),
        }
        Ok(Written::Value)
    }

    /// A date as JavaScript's `toJSON` writes it.
    fn date(&mut self, millis: i64) -> Result<(), Refusal> {
        match iso_date(millis) {
            Some(date) => self.write(&format!("\"{date}\"")),
            None => self.write("null"),
        }
    }

    /// A number as JavaScript's `JSON.stringify` writes it: without a fraction that is zero, and null if it has no digits.
    fn float(&mut self, number: f64) -> Result<(), Refusal> {
        if !number.is_finite() {
            return self.write("null");
        }
        let text = serde_json::to_string(&number).map_err(|_| Refusal::Malformed)?;
        self.write(text.strip_suffix(".0").unwrap_or(&text))
    }

    fn unsigned(&mut self, size: usize) -> Result<(), Refusal> {
        let number = self.bits(size)?;
        self.write_number(number)
    }

    fn signed(&mut self, size: usize) -> Result<(), Refusal> {
        let unused = 64 - 8 * size;
        let number = (self.bits(size)? << unused).cast_signed() >> unused;
        self.write_number(number)
    }

    fn write_number(&mut self, number: impl std::fmt::Display) -> Result<(), Refusal> {
        self.write(&number.to_string())
    }

    fn write(&mut self, text: &str) -> Result<(), Refusal> {
        if self.done.text.len() + text.len() > self.max_bytes {
            return Err(Refusal::TooLarge);
        }
        self.done.text.push_str(text);
        Ok(())
    }

    /// Reads a length of `size` bytes, and with it what it is the length of.
    fn sized(
        &mut self,
        size: usize,
        read: impl FnOnce(&mut Self, usize) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let length = self.length(size)?;
        read(self, length)
    }

    fn length(&mut self, size: usize) -> Result<usize, Refusal> {
        usize::try_from(self.bits(size)?).map_err(|_| Refusal::Malformed)
    }

    /// The next `size` bytes as a number, the highest first.
    fn bits(&mut self, size: usize) -> Result<u64, Refusal> {
        let bytes = self.take(size)?.iter();
        Ok(bytes.fold(0, |bits, byte| (bits << 8) | u64::from(*byte)))
    }

    fn byte(&mut self) -> Result<u8, Refusal> {
        let (first, rest) = self.rest.split_first().ok_or(Refusal::Malformed)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Refusal> {
        let split = self.rest.split_at_checked(length);
        let (taken, rest) = split.ok_or(Refusal::Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
