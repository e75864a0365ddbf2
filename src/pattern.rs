//! Patterns over room names, as grants and retention rules use them: `*` and nothing else.
//!
//! Knows neither grants nor rooms; any text can be matched.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// Longest pattern, in bytes: as long as the longest name, that of a personal room.
pub const PATTERN_BYTES: usize = 133;

/// A text in which `*` stands for any run of characters, also none, and everything else for itself.
///
/// 1-133 bytes without white space, control characters or any of `=`, `,` and `;`, so that lists of rules can
/// be written without quoting. Matching takes time linear in the name and the pattern.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Accepts a well-formed pattern; otherwise a `bad_request` that says what is expected.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > PATTERN_BYTES {
            return Err(Error::bad_request(format!(
                "a pattern has 1 to {PATTERN_BYTES} bytes, this one has {}",
                text.len()
            )));
        }
        if text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || matches!(c, '=' | ',' | ';'))
        {
            return Err(Error::bad_request(
                "a pattern has no white space, control characters, =, comma or semicolon",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The pattern that matches everything, `*`.
    pub fn any() -> Self {
        Self("*".into())
    }

    /// Whether this is exactly `*`.
    pub fn is_any(&self) -> bool {
        &*self.0 == "*"
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let Some((prefix, rest)) = self.0.split_once('*') else {
            return &*self.0 == text;
        };
        let (between, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let Some(mut text) = text
            .strip_prefix(prefix)
            .and_then(|text| text.strip_suffix(suffix))
        else {
            return false;
        };
        // Taking the first place where a part occurs leaves the most for the parts after it, so that no
        // other place has to be tried.
        for part in between.split('*') {
            let Some(at) = text.find(part) else {
                return false;
            };
            text = &text[at + part.len()..];
        }
        true
    }

    /// What every text that fits begins with, and whether that is all of the only one.
    pub fn literal(&self) -> (&str, bool) {
        match self.0.split_once('*') {
            Some((prefix, _)) => (prefix, false),
            None => (&self.0, true),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Pattern {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(error.message().to_owned()))
    }
}

#[cfg(test)]
mod tests {
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
            assert_eq!(Pattern::parse(pattern).unwrap().literal(), expected);
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
}
