//! Wildcard patterns, as grants, retention rules and origins use them: `*` is the only wildcard.
//!
//! Knows nothing of their use; any text can be matched.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// The maximum length of a pattern, in bytes: that of the longest room name, a personal room's.
pub const MAX_PATTERN_BYTES: usize = 133;

/// A text in which `*` matches any run of characters, including none, and everything else matches itself.
///
/// 1-133 bytes without white space, control characters and `=`, `,` and `;`, so that lists of rules need no quoting.
///
/// ```
/// use switchboard::pattern::Pattern;
///
/// let pattern = Pattern::parse("team:*:news")?;
/// assert!(pattern.matches("team:7:news"));
/// assert!(!pattern.matches("team:7"));
/// # Ok::<(), switchboard::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pattern(Arc<str>);

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Fails with `bad_request` and a message that says what is expected.
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
                "a pattern must not contain white space, control characters, =, commas or semicolons",
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

    /// Whether the pattern matches the whole of `text`.
    pub fn matches(&self, text: &str) -> bool {
        matches(&self.0, text)
    }

    /// The text before the first wildcard, and whether there is no wildcard.
    pub fn literal_prefix(&self) -> (&str, bool) {
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

/// Whether a pattern of any text, in which `*` matches any run of characters, matches the whole of `text`.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((prefix, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let (between, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text
        .strip_prefix(prefix)
        .and_then(|text| text.strip_suffix(suffix))
    else {
        return false;
    };
    // The first occurrence of a part leaves the most text for the parts after it, so backtracking is never needed.
    for part in between.split('*') {
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    true
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
