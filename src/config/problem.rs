//! What can be wrong with a configuration, and where it was said.

use std::{fmt, io, path::PathBuf};

use super::setting::{Unfit, Value};
use crate::auth::KeyProblem;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, counted from 1.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line, without its hyphens.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path, line) => write!(f, "{}:{line}", path.display()),
            Origin::Environment(name) => write!(f, "environment {name}"),
            Origin::Flag(name) => write!(f, "--{name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub enum Problem {
    /// A file cannot be read.
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// A file is not TOML.
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser says.
        message: String,
    },
    /// There is no such option.
    Unknown {
        /// Where.
        origin: Origin,
        /// What was written.
        name: String,
        /// What was meant, perhaps.
        like: Option<String>,
    },
    /// An option does not take this value.
    Unfit {
        /// Where.
        origin: Origin,
        /// The option.
        option: String,
        /// The value; `None` when it must not be shown or cannot.
        value: Option<Value>,
        /// What it takes.
        unfit: Unfit,
    },
    /// Values that do not go together, or not with the world.
    Rule {
        /// The options concerned.
        options: Vec<&'static str>,
        /// What is wrong and what to do about it.
        message: String,
    },
}

impl Problem {
    /// Values of `options` break a rule.
    pub fn rule(options: &[&'static str], message: impl Into<String>) -> Self {
        Self::Rule {
            options: options.to_vec(),
            message: message.into(),
        }
    }

    /// Whether this is about the value of `option`.
    pub(super) fn concerns(&self, option: &str) -> bool {
        matches!(self, Problem::Unfit { option: mine, .. } if mine == option)
    }
}

/// Longer values are cut in messages.
const SHOWN: usize = 100;

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
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
            Problem::Syntax { origin, message } => {
                write!(f, "{origin}: this is not TOML: {message}")
            }
            Problem::Unknown { origin, name, like } => {
                write!(f, "{origin}: there is no option {name}")?;
                match like {
                    Some(like) => write!(f, "; did you mean {like}?"),
                    None => Ok(()),
                }
            }
            Problem::Unfit {
                origin,
                option,
                value,
                unfit,
            } => {
                write!(f, "{origin}: {option}")?;
                match (value, &unfit.item) {
                    (Some(_), Some(item)) => {
                        write!(f, " has {}", shown(&Value::Text(item.clone())))?;
                    }
                    (Some(value), None) => write!(f, " is {}", shown(value))?,
                    (None, _) => f.write_str(" has a wrong value")?,
                }
                write!(f, "; expected {}", unfit.expected)
            }
            Problem::Rule { options, message } => write!(f, "{}: {message}", options.join(", ")),
        }
    }
}

/// Something that is probably not meant, and does no harm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The environment variable that nothing reads.
    pub variable: String,
    /// The one that was meant, perhaps.
    pub like: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "environment {}: nothing reads this; did you mean {}?",
            self.variable, self.like
        )
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Default)]
pub struct Problems {
    /// What is wrong; never empty in an error.
    pub problems: Vec<Problem>,
    /// What is probably not meant.
    pub warnings: Vec<Warning>,
}

impl Problems {
    /// Keys that cannot be used.
    pub(crate) fn of_keys(keys: Vec<KeyProblem>) -> Self {
        Self {
            problems: keys.into_iter().map(Problem::from).collect(),
            warnings: Vec::new(),
        }
    }
}

impl From<KeyProblem> for Problem {
    fn from(problem: KeyProblem) -> Self {
        Self::rule(&[problem.option], problem.what)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => write!(f, "a problem in the configuration:")?,
            count => write!(f, "{count} problems in the configuration:")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
