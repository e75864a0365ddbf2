//! What every message of a load carries: which run, sender and number it is of, and when it should have been sent.
//!
//! A marker is the begin of the message's data, a JSON string, and has a form that no JSON encoder changes. It is found by its
//! first bytes, and those are looked for where they were last time: nothing is parsed.

use std::cell::Cell;

/// Bytes of a marker: `~~`, the run, sender, number and time.
pub(super) const LEN: usize = TAG + 8 + 8 + 12;

/// Bytes of the tag that begins every marker of a run.
const TAG: usize = 8;

/// A message of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) sender: u32,
    /// 0, 1, 2 ... of its sender.
    pub(super) number: u32,
    /// When it should have been sent, in µs since the load began.
    pub(super) due: u64,
}

impl Marker {
    /// Writes it behind `out`.
    pub(super) fn write(&self, tag: &[u8; TAG], out: &mut Vec<u8>) {
        out.extend_from_slice(tag);
        write_hex(u64::from(self.sender), 8, out);
        write_hex(u64::from(self.number), 8, out);
        write_hex(self.due, 12, out);
    }

    /// Reads the marker that begins at `text`, behind whose tag nothing else is expected.
    fn read(text: &[u8]) -> Option<Self> {
        let fields = text.get(TAG..LEN)?;
        Some(Self {
            sender: u32::try_from(read_hex(&fields[..8])?).ok()?,
            number: u32::try_from(read_hex(&fields[8..16])?).ok()?,
            due: read_hex(&fields[16..])?,
        })
    }
}

/// The tag of a run whose messages nobody else has.
pub(super) fn tag(run: &str) -> [u8; TAG] {
    let mut tag = [b'~'; TAG];
    for (to, from) in tag[2..].iter_mut().zip(run.bytes()) {
        *to = from;
    }
    tag
}

fn write_hex(value: u64, digits: u32, out: &mut Vec<u8>) {
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (4 * digit)) as usize & 15]);
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    let mut value = 0;
    for digit in digits {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        value = value << 4 | u64::from(digit);
    }
    Some(value)
}

/// Finds markers in packets of similar shape.
pub(super) struct Finder {
    tag: [u8; TAG],
    /// Where the last marker began.
    hint: Cell<usize>,
}

/// Numbers in a packet grow by a digit now and then.
const DRIFT: usize = 3;

impl Finder {
    pub(super) fn new(tag: [u8; TAG]) -> Self {
        Self {
            tag,
            hint: Cell::new(0),
        }
    }

    /// The first marker at or behind `from`, and where it begins.
    pub(super) fn find(&self, packet: &[u8], from: usize) -> Option<(usize, Marker)> {
        let near = self.hint.get().max(from);
        // Arrays of eight bytes are compared as one number.
        let is_tag = |at: &usize| {
            let text = packet.get(*at..*at + TAG);
            text.and_then(|text| <[u8; TAG]>::try_from(text).ok()) == Some(self.tag)
        };
        let at = (near..near + DRIFT)
            .find(is_tag)
            .or_else(|| (from..packet.len()).find(is_tag))?;
        if from == 0 {
            self.hint.set(at);
        }
        Some((at, Marker::read(&packet[at..])?))
    }
}

/// The value of the number behind the last `"seq":` between `from` and `to`.
pub(super) fn seq_before(packet: &[u8], from: usize, to: usize) -> Option<u64> {
    const KEY: &[u8] = b"\"seq\":";
    let text = packet.get(from..to)?;
    let last = text.len().checked_sub(KEY.len())?;
    let is_key = |at: &usize| text[*at + 1] == KEY[1] && text[*at..].starts_with(KEY);
    let at = (0..=last).rev().find(is_key)? + KEY.len();
    number(&text[at..])
}

/// The decimal number that `text` begins with.
pub(super) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > 18 {
        return None;
    }
    let digits = text[..digits].iter();
    Some(digits.fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

/// The string that is the last argument of an event, as in `["message",{...},"42~"]`.
pub(super) fn last_string(packet: &[u8]) -> Option<&[u8]> {
    let text = packet.strip_suffix(b"\"]")?;
    let begin = text.iter().rposition(|byte| *byte == b'"')?;
    text[..begin].ends_with(b",").then(|| &text[begin + 1..])
}

#[cfg(test)]
mod tests;
