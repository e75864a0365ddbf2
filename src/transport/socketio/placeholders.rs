//! Placeholders of binary attachments in the JSON text of an event.
//!
//! Clients trust placeholders: one that gets a placeholder without an attachment closes its connection. So every placeholder has to
//! name an attachment of the event, and no attachment may be named twice, or few bytes could be made many. They may name them in any
//! order, as of clients whose objects are unordered.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::error::{Error, Result};

/// A value in a JSON text that is a placeholder, or an array or object around one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its bytes in the text.
    pub(super) range: Range<usize>,
    pub(super) holds: Holds,
}

/// What a [`Holder`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// It is a placeholder, with the number of its attachment if it has a valid one.
    Placeholder(Option<usize>),
    /// It has placeholders in it.
    Others,
}

/// Finds the placeholders in a text that is JSON, and what is around them, in one pass. Each is followed by those in it.
pub(super) fn find_placeholders(text: &str) -> Vec<Holder> {
    let mut scan = Scan {
        text,
        holders: Vec::new(),
        open: Vec::new(),
    };
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        at = match byte {
            b'"' => scan.string(at),
            b'[' | b'{' => scan.begin(at),
            b']' | b'}' => scan.end(at),
            _ => at + 1,
        };
    }
    scan.holders
}

/// Checks the placeholders in the arguments of an event with attachments. In one without they are ordinary data.
///
/// # Errors
/// `bad_request` if a placeholder names no attachment, or one that another placeholder names.
pub(crate) fn check_placeholders(
    values: &[&RawValue],
    attachments: &VecDeque<Bytes>,
) -> Result<()> {
    let mut unused = UnusedAttachments(vec![true; attachments.len()]);
    for value in values {
        for holder in find_placeholders(value.get()) {
            if let Holds::Placeholder(number) = holder.holds {
                unused.take(number)?;
            }
        }
    }
    Ok(())
}

/// Which attachments no placeholder has named yet.
struct UnusedAttachments(Vec<bool>);

impl UnusedAttachments {
    fn take(&mut self, number: Option<usize>) -> Result<()> {
        let unused = number.and_then(|number| self.0.get_mut(number));
        let Some(unused) = unused else {
            return Err(Error::bad_request(
                "a placeholder of a binary attachment names none that came with the event",
            ));
        };
        match std::mem::take(unused) {
            true => Ok(()),
            false => Err(Error::bad_request(
                "a binary attachment may have one placeholder in its event",
            )),
        }
    }
}

/// A pass over a text. Each step begins at a byte and returns where the next one begins.
struct Scan<'a> {
    text: &'a str,
    /// Those found, and the arrays and objects that have not ended, until their end shows what they hold.
    holders: Vec<Holder>,
    open: Vec<OpenValue>,
}

/// An array or object that has not ended.
struct OpenValue {
    /// Its index among the holders.
    index: usize,
    /// What its fields say. Of a repeated name, JavaScript takes the last.
    is_placeholder: bool,
    number: Option<usize>,
}

impl Scan<'_> {
    fn begin(&mut self, at: usize) -> usize {
        self.open.push(OpenValue {
            index: self.holders.len(),
            is_placeholder: false,
            number: None,
        });
        self.holders.push(Holder {
            range: at..at,
            holds: Holds::Others,
        });
        at + 1
    }

    fn end(&mut self, at: usize) -> usize {
        let Some(value) = self.open.pop() else {
            return at + 1;
        };
        let holds = match value.is_placeholder {
            true => {
                // To clients, what else is in it is nothing.
                self.holders.truncate(value.index + 1);
                Holds::Placeholder(value.number)
            }
            false => Holds::Others,
        };
        let is_last = self.holders.len() == value.index + 1;
        if is_last && holds == Holds::Others {
            self.holders.truncate(value.index);
        } else if let Some(holder) = self.holders.get_mut(value.index) {
            holder.range.end = at + 1;
            holder.holds = holds;
        }
        at + 1
    }

    /// A string: the name of a field if it has a colon behind it.
    fn string(&mut self, at: usize) -> usize {
        let end = at + end_of_string(&self.text.as_bytes()[at..]);
        let Some(name) = Name::of(&self.text[at..end]) else {
            return end;
        };
        let behind = self.text[end..].trim_ascii_start();
        if let (Some(value), Some(object)) = (behind.strip_prefix(':'), self.open.last_mut()) {
            let value = value.trim_ascii_start();
            match name {
                Name::Placeholder => object.is_placeholder = value.starts_with("true"),
                Name::Number => object.number = whole_number(value),
            }
        }
        end
    }
}

/// A name that a placeholder's field has.
enum Name {
    Placeholder,
    Number,
}

impl Name {
    /// The name that a JSON string is, with or without escapes.
    fn of(string: &str) -> Option<Self> {
        /// With every character escaped, and quotation marks.
        const MAX_LENGTH: usize = 6 * "_placeholder".len() + 2;
        match string {
            r#""_placeholder""# => Some(Self::Placeholder),
            r#""num""# => Some(Self::Number),
            _ if string.len() > MAX_LENGTH || !string.contains('\\') => None,
            _ => match serde_json::from_str::<String>(string).ok()?.as_str() {
                "_placeholder" => Some(Self::Placeholder),
                "num" => Some(Self::Number),
                _ => None,
            },
        }
    }
}

/// The number that a text begins with, if it is a whole one. No more than the number is looked at.
fn whole_number(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, behind) = text.split_at(digits);
    match behind.starts_with(['.', 'e', 'E']) {
        true => None,
        false => number.parse().ok(),
    }
}

/// The position behind the closing quotation mark of a JSON string.
fn end_of_string(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests;
