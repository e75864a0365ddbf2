//! Values of lib0's `Any` encoding: JSON, and `undefined`, large integers and byte strings.

use super::{
    super::encoding::{Malformed, Reader},
    MAX_DEPTH,
};

/// First byte of an object.
pub const OBJECT: u8 = 118;

/// Reads past one value.
///
/// # Errors
/// It is malformed, or nests too deep.
pub fn skip_any(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    skip_nested(reader, MAX_DEPTH)
}

/// Reads past one value whose arrays and objects may nest `levels` deep.
fn skip_nested(reader: &mut Reader<'_>, levels: usize) -> Result<(), Malformed> {
    match reader.byte()? {
        // undefined, null, false, true
        127 | 126 | 121 | 120 => {}
        125 => reader.skip_var_int()?,
        124 => {
            reader.bytes(4)?;
        }
        123 | 122 => {
            reader.bytes(8)?;
        }
        119 => {
            reader.var_string()?;
        }
        OBJECT => {
            let levels = deeper(reader, levels)?;
            for _ in 0..reader.count(2)? {
                reader.var_string()?;
                skip_nested(reader, levels)?;
            }
        }
        117 => {
            let levels = deeper(reader, levels)?;
            for _ in 0..reader.count(1)? {
                skip_nested(reader, levels)?;
            }
        }
        116 => {
            reader.var_bytes()?;
        }
        _ => return Err(reader.malformed("unknown type of a value")),
    }
    Ok(())
}

fn deeper(reader: &Reader<'_>, levels: usize) -> Result<usize, Malformed> {
    let levels = levels.checked_sub(1);
    levels.ok_or_else(|| reader.malformed("a value nests too deep"))
}

#[cfg(test)]
mod tests;
