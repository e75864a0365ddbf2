//! The interface between an option's type and the places that its value comes from.
//!
//! A flag, an environment variable, a key of the file and the built-in default all arrive as a [`Value`], and
//! [`OptionValue`] is the only parser of each type.

use std::fmt;

/// The value of an option as a configuration file represents it, before its type is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string; flags and environment variables are always strings.
    Text(String),
    /// A number or a boolean, written without quotes in a file.
    Bare(String),
    /// An array; each item is kept as text.
    Items(Vec<String>),
    /// An array of tables.
    Tables(Vec<Vec<TableEntry>>),
}

/// A key of a table, and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableEntry {
    /// The key.
    pub key: String,
    /// The value.
    pub value: serde_json::Value,
    /// Whether the value leaves out a secret.
    pub redacted: bool,
}

impl TableEntry {
    /// Formats the entry as a line of TOML, as a comment if it leaves out a secret.
    fn to_toml(&self) -> String {
        let mut table = toml::Table::new();
        // JSON has a null, TOML has none: it is left out.
        if let Ok(value) = toml::Value::try_from(&self.value) {
            table.insert(self.key.clone(), value);
        }
        let comment = if self.redacted { "# " } else { "" };
        format!("{comment}{table}")
    }
}

impl Value {
    /// Formats the value as TOML.
    pub fn to_toml(&self) -> String {
        match self {
            Value::Text(text) => toml::Value::String(text.clone()).to_string(),
            Value::Bare(text) => text.clone(),
            Value::Items(items) => toml::Value::from(items.clone()).to_string(),
            Value::Tables(tables) if tables.is_empty() => "[]".to_owned(),
            Value::Tables(tables) => {
                let inline = tables.iter().map(|table| {
                    let entries = table.iter().filter(|entry| !entry.redacted);
                    let entries: Vec<_> = entries
                        .map(|entry| entry.to_toml().trim_end().to_owned())
                        .collect();
                    format!("{{ {} }}", entries.join(", "))
                });
                format!("[{}]", inline.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Formats tables as `[[path]]` in TOML, each with a comment behind that, and a key a line; `None` if there is none.
    pub(crate) fn to_toml_tables(&self, path: &str, comment: &str) -> Option<String> {
        let Value::Tables(tables) = self else {
            return None;
        };
        let tables = tables.iter().map(|table| {
            let lines: String = table.iter().map(TableEntry::to_toml).collect();
            format!("\n[[{path}]]{comment}\n{lines}")
        });
        Some(tables.collect()).filter(|text: &String| !text.is_empty())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) | Value::Bare(text) => fmt::Debug::fmt(text, f),
            Value::Items(items) => fmt::Debug::fmt(items, f),
            Value::Tables(_) => f.write_str(&self.to_toml()),
        }
    }
}

/// Why an option rejected a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// What the option accepts, as a noun phrase.
    pub expected: String,
    /// The offending item, if the value is a list.
    pub item: Option<String>,
}

impl InvalidValue {
    /// The value is not `expected`, a noun phrase.
    pub fn expected(expected: impl Into<String>) -> Self {
        Self {
            expected: expected.into(),
            item: None,
        }
    }
}

/// A type that an option can have.
pub trait OptionValue: Sized {
    /// The placeholder for the value in `--help`.
    const METAVAR: &'static str;
    /// Whether the value is never printed.
    const SECRET: bool = false;
    /// Whether any text is valid, so that a value on the command line may begin with a hyphen.
    const ANY_TEXT: bool = false;
    /// What separates the items of a list of this type when the list is written as one text.
    const SEPARATORS: fn(char) -> bool = |c| c == ',';

    /// What the type accepts, as a noun phrase for error messages.
    fn expected() -> String;

    /// Parses text; `None` if it is not [`expected`](Self::expected).
    fn parse(text: &str) -> Option<Self>;

    /// The inverse of [`from_value`](Self::from_value), except for what is [redacted](Self::is_redacted).
    fn to_value(&self) -> Value;

    /// Whether [`to_value`](Self::to_value) leaves out a secret, so that it does not read back to the same value.
    fn is_redacted(&self) -> bool {
        false
    }

    /// Parses a value of any source.
    ///
    /// # Errors
    /// If the value is not [`expected`](Self::expected).
    fn from_value(value: &Value) -> Result<Self, InvalidValue> {
        match value {
            Value::Text(text) | Value::Bare(text) => Self::parse(text),
            Value::Items(_) | Value::Tables(_) => None,
        }
        .ok_or_else(|| InvalidValue::expected(Self::expected()))
    }
}

/// The definition of one option, from which its flag, environment variable, key, help and documentation are generated.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The table of the file that the option is in; empty for the top level.
    pub section: &'static str,
    /// The key in that table.
    pub name: &'static str,
    /// The default, as text.
    pub default: &'static str,
    /// The description: one or more sentences.
    pub doc: &'static str,
    /// The placeholder for the value in `--help`.
    pub metavar: &'static str,
    /// Whether the value is never printed.
    pub secret: bool,
    /// Whether any text is a valid value.
    pub any_text: bool,
    /// What the option accepts, as a noun phrase.
    pub expected: fn() -> String,
}

/// The prefix of every environment variable.
pub const ENV_PREFIX: &str = "SWITCHBOARD_";

impl OptionSpec {
    /// The full name: `limits.message_bytes`.
    pub fn path(&self) -> String {
        match self.section {
            "" => self.name.to_owned(),
            section => format!("{section}.{}", self.name),
        }
    }

    /// The flag without its leading hyphens: `limits-message-bytes`.
    pub fn flag(&self) -> String {
        self.path().replace(['.', '_'], "-")
    }

    /// The environment variable: `SWITCHBOARD_LIMITS_MESSAGE_BYTES`.
    pub fn env(&self) -> String {
        format!(
            "{ENV_PREFIX}{}",
            self.path().replace('.', "_").to_uppercase()
        )
    }

    /// Whether the option is a boolean, whose flag needs no value.
    pub fn is_switch(&self) -> bool {
        self.metavar == <bool as OptionValue>::METAVAR
    }
}
