//! The lib0 encoding that every Yjs protocol is made of: unsigned integers of 7 bits a byte, and strings and byte strings
//! that begin with their length.
//!
//! The [`Reader`] reads foreign bytes. It never panics, copies nothing, and allocates nothing, whatever lengths are declared.

use std::borrow::Cow;

/// The largest integer: the largest that JavaScript counts exactly.
pub const MAX_INTEGER: u64 = (1 << 53) - 1;

/// Most bytes of an integer. 53 bits need eight.
const MAX_INTEGER_BYTES: usize = 8;

/// Bytes that do not follow the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct Malformed {
    reason: Cow<'static, str>,
    offset: usize,
}

/// Reads foreign bytes from the front to the back.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

/// Writes what a [`Reader`] reads.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Number of bytes read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The bytes that are left.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.position..]
    }

    /// The bytes read since `position`.
    pub fn since(&self, position: usize) -> &'a [u8] {
        self.bytes.get(position..self.position).unwrap_or_default()
    }

    /// Whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.position == self.bytes.len()
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// No byte is left.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.bytes.get(self.position).copied();
        let byte = byte.ok_or_else(|| self.malformed("unexpected end"))?;
        self.position += 1;
        Ok(byte)
    }

    /// Reads `length` bytes.
    ///
    /// # Errors
    /// Fewer are left.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let bytes = self.rest().get(..length);
        let bytes = bytes.ok_or_else(|| self.malformed("unexpected end"))?;
        self.position += length;
        Ok(bytes)
    }

    /// Reads an unsigned integer of at most 53 bits.
    ///
    /// # Errors
    /// It is larger or not complete.
    pub fn var_uint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for at in 0..MAX_INTEGER_BYTES {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                if value > MAX_INTEGER {
                    break;
                }
                return Ok(value);
            }
        }
        Err(self.malformed("integer of more than 53 bits"))
    }

    /// Reads a signed integer of at most 53 bits and its sign, whose value is of no interest.
    ///
    /// # Errors
    /// It is larger or not complete.
    pub fn skip_var_int(&mut self) -> Result<(), Malformed> {
        let first = self.byte()?;
        let mut value = u64::from(first & 0x3f);
        let mut more = first >= 0x80;
        let mut at = 0;
        while more && at < MAX_INTEGER_BYTES - 1 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (6 + 7 * at);
            more = byte >= 0x80;
            at += 1;
        }
        if more || value > MAX_INTEGER {
            return Err(self.malformed("integer of more than 53 bits"));
        }
        Ok(())
    }

    /// Reads how many things follow that have `min_bytes` bytes each or more.
    ///
    /// # Errors
    /// Fewer bytes are left, or it is no integer.
    pub fn count(&mut self, min_bytes: usize) -> Result<usize, Malformed> {
        let count = self.var_uint()?;
        let most = self.rest().len() / min_bytes.max(1);
        match usize::try_from(count) {
            Ok(count) if count <= most => Ok(count),
            _ => Err(self.malformed("count larger than what follows")),
        }
    }

    /// Reads a byte string.
    ///
    /// # Errors
    /// It is not complete.
    pub fn var_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.count(1)?;
        self.bytes(length)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// It is not complete or not UTF-8.
    pub fn var_string(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.var_bytes()?;
        std::str::from_utf8(bytes).map_err(|_| self.malformed("text is not UTF-8"))
    }

    /// Checks that everything was read.
    ///
    /// # Errors
    /// Bytes are left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(self.malformed("trailing bytes"))
        }
    }

    /// The error that the bytes read last are wrong.
    pub fn malformed(&self, reason: impl Into<Cow<'static, str>>) -> Malformed {
        Malformed {
            reason: reason.into(),
            offset: self.position,
        }
    }
}

impl Writer {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes one byte.
    pub fn byte(&mut self, byte: u8) -> &mut Self {
        self.bytes.push(byte);
        self
    }

    /// Writes bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Writes an unsigned integer.
    pub fn var_uint(&mut self, mut value: u64) -> &mut Self {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.byte((value & 0x7f) as u8)
    }

    /// Writes a number of things.
    pub fn count(&mut self, count: usize) -> &mut Self {
        self.var_uint(count as u64)
    }

    /// Writes a byte string.
    pub fn var_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.count(bytes.len()).raw(bytes)
    }

    /// Writes a string.
    pub fn var_string(&mut self, text: &str) -> &mut Self {
        self.var_bytes(text.as_bytes())
    }

    /// Number of bytes written.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Forgets what was written, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests;
