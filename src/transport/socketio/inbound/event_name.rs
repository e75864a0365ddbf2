//! The name of an event, which is the first element of a JSON array: any string or number, with any escapes.
//!
//! socketioxide compares names without unescaping them. So a name is rewritten without escapes if possible, and a number as the
//! string that JavaScript makes of it, for which its listeners are registered.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// An event's name, and where its text ends in the array.
pub(super) struct EventName<'a> {
    name: Cow<'a, str>,
    /// Whether it is written as a string without escapes.
    plain: bool,
    end: usize,
}

/// Finds the name in a JSON array; `None` if the array does not start with one.
pub(super) fn parse_event_name(array: &str) -> Option<EventName<'_>> {
    let rest = array.strip_prefix('[')?.trim_start_matches(JSON_WHITESPACE);
    let begin = array.len() - rest.len();
    if let Some(text) = rest.strip_prefix('"') {
        let end = text.find(['"', '\\'])?;
        if text.as_bytes()[end] == b'"' {
            return Some(EventName {
                name: Cow::Borrowed(&text[..end]),
                plain: true,
                end: begin + end + 2,
            });
        }
    } else if !rest.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    parse_escaped_or_number(rest, begin)
}

const JSON_WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn parse_escaped_or_number(rest: &str, begin: usize) -> Option<EventName<'_>> {
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<&RawValue>();
    let written = values.next()?.ok()?.get();
    let name = match written.starts_with('"') {
        true => serde_json::from_str(written).ok()?,
        // serde_json's own number parser may differ in the last digit.
        false => format_as_javascript(written.parse().ok()?)?,
    };
    Some(EventName {
        name: Cow::Owned(name),
        plain: false,
        end: begin + values.byte_offset(),
    })
}

impl<'a> EventName<'a> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name == name
    }

    /// The array with the name written plainly: borrowed if it is already, otherwise a new packet that starts with `head`. `None`
    /// if the name needs escapes.
    pub(super) fn write_plainly(&self, head: &str, array: &'a str) -> Option<Cow<'a, str>> {
        if self.plain {
            return Some(Cow::Borrowed(array));
        }
        let plain = |c: char| c >= ' ' && c != '"' && c != '\\';
        self.name.chars().all(plain).then(|| {
            let parts = [head, "[\"", &self.name, "\"", &array[self.end..]];
            Cow::Owned(parts.concat())
        })
    }
}

/// Formats a number as JavaScript does (ECMA-262, `Number::toString`).
fn format_as_javascript(number: f64) -> Option<String> {
    if number == 0.0 {
        return Some("0".to_owned());
    }
    if !number.is_finite() {
        return None;
    }
    let sign = if number < 0.0 { "-" } else { "" };
    // The shortest digits that identify this number: `1.5e-7`.
    let text = format!("{:e}", number.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let digits = mantissa.replace('.', "");
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    let body = match point {
        1..=21 if count <= point => digits + &zeros(point - count),
        1..=21 => {
            let (whole, fraction) = digits.split_at(point as usize);
            format!("{whole}.{fraction}")
        }
        -5..=0 => format!("0.{}{digits}", zeros(-point)),
        _ => {
            let (first, more) = digits.split_at(1);
            let fraction = if more.is_empty() {
                String::new()
            } else {
                format!(".{more}")
            };
            let sign = if point > 0 { "+" } else { "-" };
            format!("{first}{fraction}e{sign}{}", (point - 1).abs())
        }
    };
    Some(format!("{sign}{body}"))
}

#[cfg(test)]
mod tests;
