//! Durations as text: `500ms`, `10s`, `1h30m`, `7d`.

use std::time::Duration;

use super::value::{OptionValue, Value};

/// Units in milliseconds, largest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses a sequence of numbers with units, such as `1h30m`; only `0` may stand without a unit. Returns `None` for any
/// other text.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (name, after) = after.split_at(letters);
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == name)?;
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit)?)?;
        rest = after.trim_start();
    }
    Some(Duration::from_millis(total))
}

/// Formats a duration so that [`parse_duration`] reads it back: whole milliseconds, largest unit first. Fractions of a
/// millisecond are cut off.
pub fn format_duration(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, unit) in UNITS {
        if left >= unit {
            text.push_str(&format!("{}{name}", left / unit));
            left %= unit;
        }
    }
    text
}

impl OptionValue for Duration {
    const METAVAR: &'static str = "TIME";

    fn expected() -> String {
        "a duration with its unit, such as 500ms, 10s, 2m, 1h30m or 7d".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        parse_duration(text)
    }

    fn to_value(&self) -> Value {
        Value::Text(format_duration(*self))
    }
}

#[cfg(test)]
mod tests;
