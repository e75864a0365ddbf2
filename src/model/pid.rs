//! The secret by which a client that comes back names its session.

use std::fmt;

/// A session's secret, `pid` in Socket.IO's words: 128 random bits as 32 lower-case hexadecimal digits.
///
/// Whoever knows it and speaks for the same user can resume the session, so it is shown to its owner alone: its `Debug`
/// does not tell it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pid(u128);

impl Pid {
    /// A new one.
    pub fn fresh() -> Self {
        Self(rand::random())
    }

    /// Reads one as it was given out; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let known = text.len() == 32 && text.bytes().all(plain);
        known
            .then(|| u128::from_str_radix(text, 16).ok().map(Self))
            .flatten()
    }

    /// The text that clients give back.
    pub fn reveal(&self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pid(..)")
    }
}

#[cfg(test)]
mod tests;
