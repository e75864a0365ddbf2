//! Typed options: what a section of the configuration is made of.
//!
//! A section is a struct that [`section!`] defines, in the module that it configures. A field is an option, and its flag,
//! environment variable, key in the file, help text and documentation all come from that one line. How sections are put
//! together, loaded and printed is up to [`config`](crate::config); nothing here knows which options exist.

mod duration;
mod problem;
mod secret;
mod section;
mod tables;
mod types;
mod value;

pub use duration::{format_duration, parse_duration};
pub(crate) use problem::check_above_zero;
pub use problem::{ConfigError, ConfigWarning, Problem, ValueSource};
pub use secret::{Secret, SecretUrl};
pub use section::Section;
pub(crate) use section::{choice, section};
pub(crate) use tables::TableReader;
pub use tables::Tables;
pub use types::{ByteSize, Fraction};
pub(crate) use value::ENV_PREFIX;
pub use value::{InvalidValue, OptionSpec, OptionValue, TableEntry, Value};
