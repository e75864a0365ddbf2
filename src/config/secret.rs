//! Values that are never shown: secrets, and what URLs hold of passwords and keys.
//!
//! Neither `Display` nor `Debug` shows them, so that no log line, error or panic can. Whoever needs the text itself says
//! `expose`.

use std::fmt;

use super::setting::{Setting, Value};

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What is shown in its place.
const SET: &str = "(set)";

impl Secret {
    /// Hides `text`.
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

impl Setting for Secret {
    const METAVAR: &'static str = "TEXT";
    const SECRET: bool = true;
    const FREE: bool = true;

    fn expected() -> String {
        "text".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }

    fn show(&self) -> Value {
        Value::Text(SET.to_owned())
    }

    fn hides(&self) -> bool {
        true
    }
}

/// A URL, or several with commas between them, of which user, password, query and fragment are never shown. A path, where an
/// option takes one in its place, is shown whole.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

/// What stands for a part that is not shown.
const HIDDEN: &str = "***";

impl SecretUrl {
    /// Hides what `url` holds of secrets.
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

/// The URLs of a list. A comma may also be part of a password, so one counts only where a scheme comes behind it.
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

fn show_url(url: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut rest = url;
    if let Some((scheme, behind)) = url.split_once("://") {
        write!(f, "{scheme}://")?;
        rest = behind;
    }
    // A malformed one may have an @ in its password; then more than that is hidden.
    if let Some((_, behind)) = rest.rsplit_once('@') {
        write!(f, "{HIDDEN}@")?;
        rest = behind;
    }
    match rest.find(['?', '#']) {
        Some(at) => write!(f, "{}{HIDDEN}", &rest[..=at]),
        None => f.write_str(rest),
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, url) in urls(&self.0).into_iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            show_url(url, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Setting for SecretUrl {
    const METAVAR: &'static str = "URL";
    const SECRET: bool = true;
    const FREE: bool = true;

    fn expected() -> String {
        "a URL".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }

    fn show(&self) -> Value {
        Value::Text(self.to_string())
    }

    fn hides(&self) -> bool {
        self.to_string() != self.0
    }
}

#[cfg(test)]
mod tests;
