//! Patterns over room names, as grants and retention rules use them: `*` and nothing else.
//!
//! Knows neither grants nor rooms; any text can be matched.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// Longest pattern, in bytes: as long as the longest name, that of a personal room.
pub const MAX_PATTERN_BYTES: usize = 133;

/// A text in which `*` stands for any run of characters, also none, and everything else for itself.
///
/// 1-133 bytes without white space, control characters or any of `=`, `,` and `;`, so that lists of rules can
/// be written without quoting. Matching takes time linear in the name and the pattern.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Accepts a well-formed pattern; otherwise a `bad_request` that says what is expected.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > MAX_PATTERN_BYTES {
            return Err(Error::bad_request(format!(
                "a pattern has 1 to {MAX_PATTERN_BYTES} bytes, this one has {}",
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
mod tests;
