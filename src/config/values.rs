//! The types that options have: numbers, texts, lists, addresses, sizes and secrets.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use ipnet::IpNet;

use super::setting::{Setting, Unfit, Value};
use crate::{
    model::{EventName, Namespace},
    pattern::Pattern,
};

/// Types that read and write themselves already, and what is particular to each.
macro_rules! by_text {
    ($($type:ty, $metavar:literal, $value:ident, $expected:literal;)+) => { $(
        impl Setting for $type {
            const METAVAR: &'static str = $metavar;

            fn expected() -> String {
                $expected.to_owned()
            }

            fn parse(text: &str) -> Option<Self> {
                <$type>::from_str(text.trim()).ok()
            }

            fn show(&self) -> Value {
                Value::$value(self.to_string())
            }
        }
    )+ };
}

by_text! {
    bool, "true|false", Bare, "true or false";
    u32, "NUMBER", Bare, "a whole number, 0 to 4294967295";
    u64, "NUMBER", Bare, "a whole number, 0 or more";
    usize, "NUMBER", Bare, "a whole number, 0 or more";
    Pattern, "PATTERN", Text, "a pattern of at most 128 bytes, in which * matches any run of characters, without white space and = , ;";
    EventName, "EVENT", Text, "the name of an event of the application's own";
    Namespace, "NAMESPACE", Text, "a namespace such as / or /chat: it begins with / and has no white space and none of , ? { }";
}

impl Setting for String {
    const METAVAR: &'static str = "TEXT";
    const FREE: bool = true;

    fn expected() -> String {
        "text".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl Setting for PathBuf {
    const METAVAR: &'static str = "PATH";

    fn expected() -> String {
        "a path".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }

    fn show(&self) -> Value {
        Value::Text(self.display().to_string())
    }
}

impl Setting for SocketAddr {
    const METAVAR: &'static str = "ADDRESS";

    fn expected() -> String {
        "an address and a port such as 127.0.0.1:3000, [::1]:3000 or localhost:3000".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_prefix("localhost:") {
            Some(port) => Some((Ipv4Addr::LOCALHOST, port.parse::<u16>().ok()?).into()),
            None => text.parse().ok(),
        }
    }

    fn show(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl Setting for IpNet {
    const METAVAR: &'static str = "NETWORK";

    fn expected() -> String {
        "an address or a network such as 10.0.0.7 or 10.0.0.0/8".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        text.parse::<IpAddr>()
            .map(IpNet::from)
            .or_else(|_| text.parse())
            .ok()
    }

    fn show(&self) -> Value {
        Value::Text(self.to_string())
    }
}

/// Empty text is no value.
impl<T: Setting> Setting for Option<T> {
    const METAVAR: &'static str = T::METAVAR;
    const SECRET: bool = T::SECRET;
    const FREE: bool = T::FREE;

    fn expected() -> String {
        T::expected()
    }

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        T::parse(text).map(Some)
    }

    fn show(&self) -> Value {
        match self {
            Some(value) => value.show(),
            None => Value::Text(String::new()),
        }
    }

    fn hides(&self) -> bool {
        self.as_ref().is_some_and(T::hides)
    }
}

/// As one text the items stand between separators; a file has an array.
impl<T: Setting> Setting for Vec<T> {
    const METAVAR: &'static str = "LIST";
    const SECRET: bool = T::SECRET;

    fn expected() -> String {
        format!("a list, each item {}", T::expected())
    }

    fn parse(text: &str) -> Option<Self> {
        Self::read(&Value::Text(text.to_owned())).ok()
    }

    fn show(&self) -> Value {
        Value::Items(
            self.iter()
                .map(|item| match item.show() {
                    Value::Text(text) | Value::Bare(text) => text,
                    Value::Items(items) => items.join(" "),
                })
                .collect(),
        )
    }

    fn hides(&self) -> bool {
        self.iter().any(T::hides)
    }

    fn read(value: &Value) -> Result<Self, Unfit> {
        let item = |text: &str| {
            T::parse(text).ok_or_else(|| Unfit {
                expected: T::expected(),
                item: Some(text.to_owned()),
            })
        };
        match value {
            Value::Text(text) | Value::Bare(text) => text
                .split(T::SEPARATORS)
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(item)
                .collect(),
            Value::Items(items) => items.iter().map(|text| item(text)).collect(),
        }
    }
}

/// A number of bytes: `65536`, `64 KiB`, `1MiB`, `2 GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes; the greatest there is where memory cannot address as many.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Units of 1024 first: a size is written with the greatest of those that divides it.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS[..3]
            .iter()
            .find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit))
        {
            Some((name, unit)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl Setting for ByteSize {
    const METAVAR: &'static str = "SIZE";

    fn expected() -> String {
        "a size such as 65536, 64 KiB or 1 MiB".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim() {
            "" => 1,
            unit => UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, size)| *size)?,
        };
        number.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }

    fn show(&self) -> Value {
        Value::Text(self.to_string())
    }
}

#[cfg(test)]
mod tests;
