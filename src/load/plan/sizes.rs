//! How large messages are.

use rand::RngExt;

use crate::load::marker;

/// Sizes of messages' data in bytes of JSON, quotes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// Any of these, each as often as the others.
    List(Vec<usize>),
    /// Any between these, both included.
    Range(usize, usize),
}

impl Sizes {
    /// Parses `128`, `128,1024` or `64-4096`.
    ///
    /// # Errors
    /// What was expected.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let expected =
            || "expected bytes such as 128, several such as 128,1024, or a range such as 64-4096";
        let number = |text: &str| text.trim().parse::<usize>().map_err(|_| expected());
        let sizes = match text.split_once('-') {
            Some((from, to)) => Self::Range(number(from)?, number(to)?),
            None => Self::List(text.split(',').map(number).collect::<Result<_, _>>()?),
        };
        let smallest = match &sizes {
            Self::Range(from, to) if from > to => return Err(expected().to_owned()),
            Self::Range(from, _) => *from,
            Self::List(list) => list.iter().copied().min().unwrap_or(0),
        };
        if smallest < MIN {
            return Err(format!(
                "a message has at least {MIN} bytes: it carries its number and time"
            ));
        }
        Ok(sizes)
    }

    /// Bytes to put behind the marker of the next message.
    pub(in crate::load) fn next_padding(&self) -> usize {
        let size = match self {
            Self::List(list) if list.len() == 1 => list[0],
            Self::List(list) => list[rand::rng().random_range(0..list.len())],
            Self::Range(from, to) => rand::rng().random_range(*from..=*to),
        };
        size - MIN
    }
}

/// A marker in quotes.
const MIN: usize = marker::LEN + 2;
