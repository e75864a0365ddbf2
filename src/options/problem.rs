//! Errors and warnings about a configuration, each with the place that the value came from.

use std::{fmt, io, path::PathBuf};

use super::value::{InvalidValue, Value};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueSource {
    /// A line of a file, counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A command-line flag, without its leading hyphens.
    Flag(String),
}

impl fmt::Display for ValueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueSource::File(path, line) => write!(f, "{}:{line}", path.display()),
            ValueSource::Environment(name) => write!(f, "environment {name}"),
            ValueSource::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug)]
pub enum Problem {
    /// A file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file is not valid TOML.
    Syntax {
        /// The line.
        source: ValueSource,
        /// The parser's message.
        message: String,
    },
    /// There is no such option.
    Unknown {
        /// Where it is set.
        source: ValueSource,
        /// The name as written.
        name: String,
        /// A similar option, if there is one.
        suggestion: Option<String>,
    },
    /// An option does not accept the value.
    Invalid {
        /// Where it is set.
        source: ValueSource,
        /// The option.
        option: String,
        /// The value; `None` if it is secret or not text.
        value: Option<Value>,
        /// What the option accepts.
        reason: InvalidValue,
    },
    /// A key of a table is wrong, where an option is a list of tables.
    Table {
        /// The option.
        option: &'static str,
        /// The table's index, counted from 0.
        index: usize,
        /// The key.
        key: String,
        /// What is wrong and how to fix it.
        message: String,
    },
    /// Values that are valid alone contradict each other or the environment.
    Rule {
        /// The options concerned.
        options: Vec<&'static str>,
        /// What is wrong and how to fix it.
        message: String,
    },
}

impl Problem {
    /// The values of `options` break a rule; `message` says which and how to fix it.
    pub fn rule(options: &[&'static str], message: impl Into<String>) -> Self {
        Self::Rule {
            options: options.to_vec(),
            message: message.into(),
        }
    }

    /// Whether `option` has an invalid value.
    pub(crate) fn is_invalid(&self, option: &str) -> bool {
        matches!(self, Problem::Invalid { option: invalid, .. } if invalid == option)
    }
}

/// Adds a problem if `value` is zero.
pub(crate) fn check_above_zero<T: Default + PartialEq>(
    option: &[&'static str],
    value: &T,
    problems: &mut Vec<Problem>,
) {
    if *value == T::default() {
        problems.push(Problem::rule(option, "must be more than 0"));
    }
}

/// Characters of a value that a message quotes.
const MAX_QUOTED_CHARS: usize = 100;

fn quote(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(MAX_QUOTED_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unreadable { file, cause } => {
                write!(f, "{}: cannot be read: {cause}", file.display())
            }
            Problem::Syntax { source, message } => {
                write!(f, "{source}: invalid TOML: {message}")
            }
            Problem::Unknown {
                source,
                name,
                suggestion,
            } => {
                write!(f, "{source}: unknown option {name}")?;
                match suggestion {
                    Some(suggestion) => write!(f, "; did you mean {suggestion}?"),
                    None => Ok(()),
                }
            }
            Problem::Invalid {
                source,
                option,
                value,
                reason,
            } => {
                write!(f, "{source}: {option}")?;
                match (value, &reason.item) {
                    (Some(_), Some(item)) => {
                        write!(f, " has {}", quote(&Value::Text(item.clone())))?;
                    }
                    (Some(value), None) => write!(f, " is {}", quote(value))?,
                    (None, _) => f.write_str(" has a wrong value")?,
                }
                write!(f, "; expected {}", reason.expected)
            }
            Problem::Table {
                option,
                index,
                key,
                message,
            } => write!(f, "{option}[{index}].{key}: {message}"),
            Problem::Rule { options, message } => write!(f, "{}: {message}", options.join(", ")),
        }
    }
}

/// An environment variable that has our prefix, is not an option, and looks like a misspelling of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigWarning {
    /// The variable.
    pub variable: String,
    /// The variable that was probably meant.
    pub suggestion: String,
}

impl fmt::Display for ConfigWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "environment {}: unknown option, ignored; did you mean {}?",
            self.variable, self.suggestion
        )
    }
}

/// Everything that is wrong with a configuration, reported at once. `Debug` prints it like `Display`, for a `main` that returns it.
#[derive(Default)]
pub struct ConfigError {
    /// The problems; at least one.
    pub problems: Vec<Problem>,
    /// What looks like a mistake but is harmless.
    pub warnings: Vec<ConfigWarning>,
}

impl<P: Into<Problem>> From<Vec<P>> for ConfigError {
    fn from(problems: Vec<P>) -> Self {
        Self {
            problems: problems.into_iter().map(Into::into).collect(),
            warnings: Vec::new(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "invalid configuration:")?,
            count => write!(f, "invalid configuration, {count} problems:")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}
