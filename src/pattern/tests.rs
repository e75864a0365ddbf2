//! Wildcard matching.

use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, text: &str) -> bool {
    Pattern::parse(pattern).unwrap().matches(text)
}

/// The definition, tried out in every way; exponential, for short texts only.
fn fits(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|taken| fits(rest, &text[taken..])),
        Some((c, rest)) => text.first() == Some(c) && fits(rest, &text[1..]),
    }
}

#[test]
fn a_star_stands_for_any_run_of_characters_and_all_else_for_itself() {
    for (pattern, text) in [
        ("lobby", "lobby"),
        ("*", ""),
        ("*", "räume/1"),
        ("team-7:*", "team-7:"),
        ("team-7:*", "team-7:general"),
        ("*:log", "a:log"),
        ("a*b*c", "abbcbc"),
        ("**", "x"),
        ("ä*ü", "äöü"),
        ("a.c", "a.c"),
    ] {
        assert!(matches(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("lobby", "lobby2"),
        ("lobby", ""),
        ("team-7:*", "team-70:general"),
        ("aba*aba", "aba"),
        ("a*a", "a"),
        ("a*b*c", "acb"),
        ("a.c", "abc"),
        ("[a]", "a"),
        ("a?", "ab"),
    ] {
        assert!(!matches(pattern, text), "{pattern} {text}");
    }
}

#[test]
fn what_fits_begins_with_the_literal_part() {
    for (pattern, expected) in [
        ("lobby", ("lobby", true)),
        ("team-7:*", ("team-7:", false)),
        ("*", ("", false)),
        ("a*b*", ("a", false)),
    ] {
        assert_eq!(Pattern::parse(pattern).unwrap().literal_prefix(), expected);
    }
}

#[test]
fn a_pattern_that_could_not_stand_in_a_list_of_rules_is_refused() {
    for bad in [
        "",
        "a b",
        "a\t",
        "a=b",
        "a,b",
        "a;b",
        "\u{7f}",
        &"x".repeat(134),
    ] {
        let error = Pattern::parse(bad).unwrap_err();
        assert_eq!(error.code(), crate::error::Code::BadRequest, "{bad:?}");
    }
    assert!(Pattern::parse(&"*".repeat(133)).is_ok());
    assert!(serde_json::from_str::<Pattern>(r#""a b""#).is_err());
}

#[test]
fn the_worst_pattern_and_name_are_matched_at_once() {
    let pattern = Pattern::parse(&"a*".repeat(64)).unwrap();
    let name = format!("{}b", "a".repeat(127));
    let started = std::time::Instant::now();
    for _ in 0..1000 {
        assert!(pattern.matches(&name));
    }
    let never = Pattern::parse(&format!("{}b", "a*".repeat(63))).unwrap();
    assert!(!never.matches(&"a".repeat(128)));
    // Trying every place would take longer than the universe has existed; the bound is for slow machines.
    assert!(started.elapsed() < std::time::Duration::from_secs(5));
}

proptest! {
    #[test]
    fn a_pattern_matches_what_its_definition_says(pattern in "[ab*ä]{1,8}", text in "[abä]{0,8}") {
        let letters: Vec<char> = pattern.chars().collect();
        let name: Vec<char> = text.chars().collect();
        prop_assert_eq!(matches(&pattern, &text), fits(&letters, &name));
    }

    #[test]
    fn any_text_is_a_pattern_that_prints_as_it_was_or_is_refused(text in "\\PC{0,40}") {
        if let Ok(pattern) = Pattern::parse(&text) {
            prop_assert_eq!(pattern.as_str(), &text);
            prop_assert!(pattern.matches(&text));
        }
    }
}
