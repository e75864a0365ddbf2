//! What makes a type fit for an option: it reads itself from text, writes itself, and says what it expects.
//!
//! A flag, an environment variable, a line of the file and the built-in default all come through here as a
//! [`Value`], so there is one parser a type.

use std::fmt;

/// A value as a source gives it, before an option's type has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text; in a file it stands in quotes.
    Text(String),
    /// A number or a truth value, which a file has without quotes.
    Bare(String),
    /// A list, one text an item.
    Items(Vec<String>),
}

impl Value {
    /// The value as a file has it.
    pub fn to_toml(&self) -> String {
        match self {
            Value::Text(text) => toml::Value::String(text.clone()).to_string(),
            Value::Bare(text) => text.clone(),
            Value::Items(items) => toml::Value::from(items.clone()).to_string(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) | Value::Bare(text) => fmt::Debug::fmt(text, f),
            Value::Items(items) => fmt::Debug::fmt(items, f),
        }
    }
}

/// Why a value was not accepted: what would have been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// What is expected, as a noun phrase.
    pub expected: String,
    /// The item of a list that is wrong.
    pub item: Option<String>,
}

impl Unfit {
    /// A value that is not `expected`.
    pub fn expected(expected: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            item: None,
        }
    }
}

/// A type that an option can have.
pub trait Setting: Sized {
    /// The word for a value in the help text.
    const METAVAR: &'static str;
    /// Never printed.
    const SECRET: bool = false;
    /// Any text is a value, so one may begin with a hyphen on the command line.
    const FREE: bool = false;
    /// What stands between the items of a list of these when it is written as one text.
    const SEPARATORS: fn(char) -> bool = |c| c == ',';

    /// What is expected, as a noun phrase.
    fn expected() -> String;

    /// Reads text; `None` if it is not [`expected`](Self::expected).
    fn parse(text: &str) -> Option<Self>;

    /// The value, such that reading it gives the same again.
    fn show(&self) -> Value;

    /// Whether [`show`](Self::show) leaves out what is secret, and so cannot be read again.
    fn hides(&self) -> bool {
        false
    }

    /// Reads a value of a source.
    fn read(value: &Value) -> Result<Self, Unfit> {
        match value {
            Value::Text(text) | Value::Bare(text) => Self::parse(text),
            Value::Items(_) => None,
        }
        .ok_or_else(|| Unfit::expected(Self::expected()))
    }
}

/// One option: all that its flag, variable, line, help and documentation are made from.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The table of the file that it is in; empty at the top.
    pub section: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// The default, as text.
    pub default: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// The word for its value in the help text.
    pub metavar: &'static str,
    /// Whether its value is never printed.
    pub secret: bool,
    /// Whether any text is a value.
    pub free: bool,
    /// What values it takes.
    pub expected: fn() -> String,
}

/// What every environment variable of ours begins with.
pub const ENV_PREFIX: &str = "SWITCHBOARD_";

impl OptionSpec {
    /// Its name in full: `limits.message_bytes`.
    pub fn path(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }

    /// Its flag, without the hyphens before it: `limits-message-bytes`.
    pub fn flag(&self) -> String {
        self.path().replace(['.', '_'], "-")
    }

    /// Its environment variable: `SWITCHBOARD_LIMITS_MESSAGE_BYTES`.
    pub fn env(&self) -> String {
        format!(
            "{ENV_PREFIX}{}",
            self.path().replace('.', "_").to_uppercase()
        )
    }

    /// Whether it is a plain switch.
    pub fn is_switch(&self) -> bool {
        self.metavar == <bool as Setting>::METAVAR
    }
}
