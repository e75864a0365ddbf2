//! Lengths of time as text: `500ms`, `10s`, `1h30m`, `7d`.

use std::time::Duration;

use super::setting::{Setting, Value};

/// Greatest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads numbers, each with its unit; only zero needs none.
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

/// Writes whole milliseconds, the greatest units first; what is less than a millisecond is left out.
pub fn show_duration(duration: Duration) -> String {
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

impl Setting for Duration {
    const METAVAR: &'static str = "TIME";

    fn expected() -> String {
        "a length of time with its unit, such as 500ms, 10s, 2m, 1h30m or 7d".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        parse_duration(text)
    }

    fn show(&self) -> Value {
        Value::Text(show_duration(*self))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_of_time_is_numbers_with_units() {
        for (text, ms) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1h 30 m", 5_400_000),
            ("7d", 604_800_000),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(
                parse_duration(text),
                Some(Duration::from_millis(ms)),
                "{text}"
            );
        }
        for text in [
            "",
            "10",
            "s",
            "10 seconds",
            "-1s",
            "1.5s",
            "1h30",
            "9999999999999d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_length_of_time_reads_back_as_it_was_written(ms: u64) {
            let time = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&show_duration(time)), Some(time));
        }
    }
}
