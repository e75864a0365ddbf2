//! Values that are never printed: secrets, and the credentials in URLs.
//!
//! `Display` and `Debug` redact them, so no log line, error or panic can leak one. `expose` returns the text itself.

use std::fmt;

use super::value::{OptionValue, Value};

/// Text that is never printed.
///
/// ```
/// use switchboard::config::Secret;
///
/// let secret = Secret::new("correct horse battery staple");
/// assert_eq!(format!("{secret:?}"), "(set)");
/// assert_eq!(secret.expose(), "correct horse battery staple");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Printed in place of a secret.
const SET: &str = "(set)";

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for Secret {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SET)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SET)
    }
}

impl OptionValue for Secret {
    const METAVAR: &'static str = "TEXT";
    const SECRET: bool = true;
    const ANY_TEXT: bool = true;

    fn expected() -> String {
        "text".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }

    fn to_value(&self) -> Value {
        Value::Text(SET.to_owned())
    }

    fn is_redacted(&self) -> bool {
        true
    }
}

/// A URL, or several separated by commas, whose user, password, query and fragment are never printed. Where an option also
/// accepts a file path, the path is printed in full.
///
/// ```
/// use switchboard::config::SecretUrl;
///
/// let url = SecretUrl::new("redis://app:hunter2@cache.example:6379/0");
/// assert_eq!(url.to_string(), "redis://***@cache.example:6379/0");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

/// Printed in place of a redacted part.
const REDACTED: &str = "***";

impl SecretUrl {
    /// Wraps `url`.
    pub fn new(url: impl Into<String>) -> Self {
        Self(url.into())
    }

    /// The URL itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for SecretUrl {
    fn from(url: T) -> Self {
        Self::new(url)
    }
}

/// Splits a list of URLs. A comma may be part of a password, so it separates only if a scheme follows.
fn urls(list: &str) -> Vec<&str> {
    let mut urls = Vec::new();
    let mut rest = list;
    while let Some(end) = rest.match_indices(',').map(|(at, _)| at).find(|at| {
        let scheme = rest[at + 1..]
            .split_once("://")
            .map(|(scheme, _)| scheme.trim());
        scheme.is_some_and(|scheme| {
            scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'+')
        })
    }) {
        urls.push(&rest[..end]);
        rest = &rest[end + 1..];
    }
    urls.push(rest);
    urls
}

fn write_redacted(url: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = url;
    if let Some((scheme, behind)) = url.split_once("://") {
        write!(f, "{scheme}://")?;
        rest = behind;
    }
    // A malformed URL may have an @ in its password; redact up to the last one.
    if let Some((_, behind)) = rest.rsplit_once('@') {
        write!(f, "{REDACTED}@")?;
        rest = behind;
    }
    match rest.find(['?', '#']) {
        Some(at) => write!(f, "{}{REDACTED}", &rest[..=at]),
        None => f.write_str(rest),
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, url) in urls(&self.0).into_iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            write_redacted(url, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl OptionValue for SecretUrl {
    const METAVAR: &'static str = "URL";
    const SECRET: bool = true;
    const ANY_TEXT: bool = true;

    fn expected() -> String {
        "a URL".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }

    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }

    fn is_redacted(&self) -> bool {
        self.to_string() != self.0
    }
}

#[cfg(test)]
mod tests;
