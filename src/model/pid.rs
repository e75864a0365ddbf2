//! The secret that resumes a session.

use std::fmt;

use super::Timestamp;

/// How many bits of a secret are random; those before them are the second of its making.
const RANDOM_BITS: u32 = 96;

/// The secret of a session, Socket.IO's private session id (`pid`), as 32 lower-case hexadecimal digits.
///
/// It begins with the time, so that sessions that begin together are stored together: a database changes fewer pages then. 96 bits are
/// random.
///
/// It resumes the session of the same user, so only its owner receives it, and `Debug` redacts it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pid(u128);

impl Pid {
    /// A new secret.
    pub fn generate() -> Self {
        let seconds = u128::from(Timestamp::now().0 / 1000) << RANDOM_BITS;
        Self(seconds | rand::random::<u128>() >> (u128::BITS - RANDOM_BITS))
    }

    /// Parses the text of [`reveal`](Self::reveal); `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_valid = text.len() == 32 && text.bytes().all(is_lower_hex);
        is_valid
            .then(|| u128::from_str_radix(text, 16).ok().map(Self))
            .flatten()
    }

    /// The text that the client is given.
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
