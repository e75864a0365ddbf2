//! Parsing and formatting of durations.

use proptest::prelude::*;

use super::*;

#[test]
fn a_duration_is_numbers_with_units() {
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
    fn a_formatted_duration_parses_to_the_same(ms: u64) {
        let time = Duration::from_millis(ms);
        prop_assert_eq!(parse_duration(&format_duration(time)), Some(time));
    }
}
