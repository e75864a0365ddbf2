//! The types that options have: numbers, text, lists, addresses, sizes and names.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use ipnet::IpNet;

use super::value::{InvalidValue, OptionValue, Value};
use crate::{
    model::{EventName, Namespace},
    pattern::Pattern,
};

/// Implements [`OptionValue`] by `FromStr` and `Display`.
macro_rules! by_from_str {
    ($($type:ty, $metavar:literal, $value:ident, $expected:literal;)+) => { $(
        impl OptionValue for $type {
            const METAVAR: &'static str = $metavar;

            fn expected() -> String {
                $expected.to_owned()
            }

            fn parse(text: &str) -> Option<Self> {
                <$type>::from_str(text.trim()).ok()
            }

            fn to_value(&self) -> Value {
                Value::$value(self.to_string())
            }
        }
    )+ };
}

by_from_str! {
    bool, "true|false", Bare, "true or false";
    u32, "NUMBER", Bare, "a whole number, 0 to 4294967295";
    u64, "NUMBER", Bare, "a whole number, 0 or more";
    usize, "NUMBER", Bare, "a whole number, 0 or more";
    Pattern, "PATTERN", Text, "a pattern of at most 128 bytes, in which * matches any run of characters, without white space and = , ;";
    EventName, "EVENT", Text, "an event name that the server does not use itself";
    Namespace, "NAMESPACE", Text, "a namespace such as / or /chat: it begins with / and has no white space and none of , ? { }";
}

impl OptionValue for String {
    const METAVAR: &'static str = "TEXT";
    const ANY_TEXT: bool = true;

    fn expected() -> String {
        "text".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
}

impl OptionValue for PathBuf {
    const METAVAR: &'static str = "PATH";

    fn expected() -> String {
        "a path".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.into())
    }

    fn to_value(&self) -> Value {
        Value::Text(self.display().to_string())
    }
}

impl OptionValue for SocketAddr {
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

    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl OptionValue for IpNet {
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

    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}

/// Empty text is `None`.
impl<T: OptionValue> OptionValue for Option<T> {
    const METAVAR: &'static str = T::METAVAR;
    const SECRET: bool = T::SECRET;
    const ANY_TEXT: bool = T::ANY_TEXT;

    fn expected() -> String {
        T::expected()
    }

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(None);
        }
        T::parse(text).map(Some)
    }

    fn to_value(&self) -> Value {
        match self {
            Some(value) => value.to_value(),
            None => Value::Text(String::new()),
        }
    }

    fn is_redacted(&self) -> bool {
        self.as_ref().is_some_and(T::is_redacted)
    }
}

/// Written as text with separators, or as an array in a file.
impl<T: OptionValue> OptionValue for Vec<T> {
    const METAVAR: &'static str = "LIST";
    const SECRET: bool = T::SECRET;

    fn expected() -> String {
        format!("a list, each item {}", T::expected())
    }

    fn parse(text: &str) -> Option<Self> {
        Self::from_value(&Value::Text(text.to_owned())).ok()
    }

    fn to_value(&self) -> Value {
        Value::Items(
            self.iter()
                .map(|item| match item.to_value() {
                    Value::Text(text) | Value::Bare(text) => text,
                    Value::Items(items) => items.join(" "),
                    Value::Tables(_) => String::new(),
                })
                .collect(),
        )
    }

    fn is_redacted(&self) -> bool {
        self.iter().any(T::is_redacted)
    }

    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        let item = |text: &str| {
            T::parse(text).ok_or_else(|| InvalidValue {
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
            Value::Tables(_) => Err(InvalidValue::expected(Self::expected())),
        }
    }
}

/// A number of bytes: `65536`, `64 KiB`, `1MiB`, `2 GB`.
///
/// ```
/// use switchboard::config::ByteSize;
///
/// assert_eq!(ByteSize::new(65_536).to_string(), "64 KiB");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// A size of `bytes`.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes, capped at `usize::MAX`.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Binary units first: a size is formatted with the largest of those that divides it.
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

impl OptionValue for ByteSize {
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

    fn to_value(&self) -> Value {
        Value::Text(self.to_string())
    }
}

/// A number from 0 to 1.
///
/// ```
/// use switchboard::config::Fraction;
///
/// assert_eq!(Fraction::new(0.25).map(Fraction::value), Some(0.25));
/// assert_eq!(Fraction::new(1.5), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Fraction(f64);

impl Fraction {
    /// A number, if it is from 0 to 1.
    pub fn new(value: f64) -> Option<Self> {
        (0.0..=1.0).contains(&value).then_some(Self(value))
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl OptionValue for Fraction {
    const METAVAR: &'static str = "FRACTION";

    fn expected() -> String {
        "a number from 0 to 1".to_owned()
    }

    fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().and_then(Self::new)
    }

    fn to_value(&self) -> Value {
        Value::Bare(self.0.to_string())
    }
}

#[cfg(test)]
mod tests;
