//! JSON text with placeholders for binary values to MessagePack, as Socket.IO's adapters for Redis read it.
//!
//! Written as it is read, without a tree of values in between. How many values an array or object has is known only at its end, so that
//! each has a length of four bytes, which is filled in there.

use std::fmt;

use bytes::Bytes;
use rmp::{Marker, encode};
use serde::{Deserialize, Deserializer, de};

use super::Refusal;

/// Appends a JSON text as MessagePack; its placeholders become the attachments that they name, if there are any.
///
/// # Errors
/// `too_deep` for more than `depth` levels of arrays and objects, and `malformed` if the text is not JSON or a placeholder names nothing.
pub(super) fn write_json(
    out: &mut Vec<u8>,
    text: &str,
    attachments: &[Bytes],
    depth: usize,
) -> Result<(), Refusal> {
    let mut writer = Writer {
        rest: text,
        attachments,
        out,
    };
    writer.value(depth)?;
    match writer.peek() {
        None => Ok(()),
        Some(_) => Err(Refusal::Malformed),
    }
}

/// Appends an array of strings.
pub(super) fn write_names(
    out: &mut Vec<u8>,
    names: impl ExactSizeIterator<Item: AsRef<str>>,
) -> Result<(), Refusal> {
    begin_array(out, names.len())?;
    names
        .into_iter()
        .try_for_each(|name| write_text(out, name.as_ref()))
}

/// Appends what an array of this length begins with.
pub(super) fn begin_array(out: &mut Vec<u8>, length: usize) -> Result<(), Refusal> {
    let length = u32::try_from(length).map_err(|_| Refusal::TooLarge)?;
    written(encode::write_array_len(out, length))
}

/// Appends what a map of this length begins with.
pub(super) fn begin_map(out: &mut Vec<u8>, length: usize) -> Result<(), Refusal> {
    let length = u32::try_from(length).map_err(|_| Refusal::TooLarge)?;
    written(encode::write_map_len(out, length))
}

/// Appends a string.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) -> Result<(), Refusal> {
    written(encode::write_str(out, text))
}

/// Appends a small whole number.
pub(super) fn write_small(out: &mut Vec<u8>, number: u8) -> Result<(), Refusal> {
    written(encode::write_uint(out, number.into()))
}

/// A vector takes whatever is written.
fn written<T, E>(result: Result<T, E>) -> Result<(), Refusal> {
    result.map(drop).map_err(|_| Refusal::TooLarge)
}

struct Writer<'a> {
    /// What has not been read yet.
    rest: &'a str,
    attachments: &'a [Bytes],
    out: &'a mut Vec<u8>,
}

/// What a value was, as far as that matters in a placeholder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    True,
    Whole(u64),
    Other,
}

/// What the fields of an object say of it. Of a repeated name, JavaScript takes the last.
#[derive(Default)]
struct Placeholder {
    is_one: bool,
    number: Option<u64>,
}

impl Writer<'_> {
    /// Reads a value that may have `depth` levels of arrays and objects, and writes it.
    fn value(&mut self, depth: usize) -> Result<Written, Refusal> {
        match self.peek().ok_or(Refusal::Malformed)? {
            b'[' => self.array(depth)?,
            b'{' => self.object(depth)?,
            b'"' => {
                let text = self.string()?;
                write_text(self.out, &text)?;
            }
            b'n' => {
                self.take("null")?;
                written(encode::write_nil(self.out))?;
            }
            b'f' => {
                self.take("false")?;
                written(encode::write_bool(self.out, false))?;
            }
            b't' => {
                self.take("true")?;
                written(encode::write_bool(self.out, true))?;
                return Ok(Written::True);
            }
            _ => return self.number(),
        }
        Ok(Written::Other)
    }

    fn array(&mut self, depth: usize) -> Result<(), Refusal> {
        let depth = depth.checked_sub(1).ok_or(Refusal::TooDeep)?;
        let begin = self.begin(Marker::Array32);
        self.take("[")?;
        let mut length = 0;
        while !self.ends(length, b']')? {
            self.value(depth)?;
            length += 1;
        }
        self.fill_in(begin, length)
    }

    fn object(&mut self, depth: usize) -> Result<(), Refusal> {
        let depth = depth.checked_sub(1).ok_or(Refusal::TooDeep)?;
        let begin = self.begin(Marker::Map32);
        self.take("{")?;
        let mut length = 0;
        let mut placeholder = Placeholder::default();
        while !self.ends(length, b'}')? {
            let name = self.string()?;
            write_text(self.out, &name)?;
            self.take(":")?;
            let value = self.value(depth)?;
            placeholder.take(&name, value);
            length += 1;
        }
        // In an event without attachments placeholders are ordinary data.
        if !placeholder.is_one || self.attachments.is_empty() {
            return self.fill_in(begin, length);
        }
        self.out.truncate(begin);
        let number = placeholder.number.and_then(|it| usize::try_from(it).ok());
        let attachment = number.and_then(|number| self.attachments.get(number));
        written(encode::write_bin(
            self.out,
            attachment.ok_or(Refusal::Malformed)?,
        ))
    }

    /// Whether an array or object ends here; takes the bracket then, and otherwise the comma behind what it has.
    fn ends(&mut self, length: u32, bracket: u8) -> Result<bool, Refusal> {
        let next = self.peek().ok_or(Refusal::Malformed)?;
        if next == bracket {
            self.rest = &self.rest[1..];
            return Ok(true);
        }
        if length > 0 {
            self.take(",")?;
        }
        Ok(false)
    }

    fn begin(&mut self, marker: Marker) -> usize {
        let begin = self.out.len();
        self.out.push(marker.to_u8());
        self.out.extend([0; 4]);
        begin
    }

    fn fill_in(&mut self, begin: usize, length: u32) -> Result<(), Refusal> {
        let place = self.out.get_mut(begin + 1..begin + 5);
        place
            .ok_or(Refusal::Malformed)?
            .copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    fn string(&mut self) -> Result<String, Refusal> {
        if self.peek() != Some(b'"') {
            return Err(Refusal::Malformed);
        }
        let mut escaped = false;
        let closing = self.rest.bytes().skip(1).position(|byte| {
            let closes = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            closes
        });
        // The opening quotation mark is before that position, and the closing one at it.
        let length = closing.ok_or(Refusal::Malformed)? + 2;
        let (string, rest) = self.rest.split_at(length);
        self.rest = rest;
        let Lossy(text) = serde_json::from_str(string).map_err(|_| Refusal::Malformed)?;
        Ok(text)
    }

    /// A number: whole, if it is written so and fits, or else a float.
    fn number(&mut self) -> Result<Written, Refusal> {
        let is_part = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
        let length = self.rest.bytes().take_while(|byte| is_part(*byte)).count();
        let (number, rest) = self.rest.split_at(length);
        self.rest = rest;
        if let Ok(whole) = number.parse::<u64>() {
            written(encode::write_uint(self.out, whole))?;
            return Ok(Written::Whole(whole));
        }
        match number.parse::<i64>() {
            // The zero with a sign is a float.
            Ok(whole) if whole != 0 => written(encode::write_sint(self.out, whole))?,
            _ => {
                let float: f64 = number.parse().map_err(|_| Refusal::Malformed)?;
                written(encode::write_f64(self.out, float))?;
            }
        }
        Ok(Written::Other)
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self.rest.trim_ascii_start();
        self.rest.bytes().next()
    }

    fn take(&mut self, text: &str) -> Result<(), Refusal> {
        let rest = self.rest.trim_ascii_start().strip_prefix(text);
        self.rest = rest.ok_or(Refusal::Malformed)?;
        Ok(())
    }
}

impl Placeholder {
    fn take(&mut self, name: &str, value: Written) {
        match (name, value) {
            ("_placeholder", value) => self.is_one = value == Written::True,
            ("num", Written::Whole(number)) => self.number = Some(number),
            ("num", _) => self.number = None,
            _ => {}
        }
    }
}

/// A string that may have half a surrogate pair in it, as JavaScript's may: it is replaced.
struct Lossy(String);

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Lossy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: de::Error>(self, text: &[u8]) -> Result<Lossy, E> {
                Ok(Lossy(String::from_utf8_lossy(text).into_owned()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

#[cfg(test)]
mod tests;
