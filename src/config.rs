//! The server's configuration: the root of all options, loaded from flags, environment and file, checked, and printed.
//!
//! The sections belong to the modules that they configure; [`Config`] puts them together. A [`Config`] can also be built
//! in code:
//!
//! ```
//! use switchboard::config::{ByteSize, Config};
//!
//! let mut config = Config::default();
//! config.limits.message_bytes = ByteSize::new(1024);
//! config.check().expect("the configuration is consistent");
//! ```

mod check;
mod file;
mod load;
mod print;
mod root;
mod suggest;
#[cfg(test)]
mod tests;

pub(crate) use check::Identities;
pub(crate) use load::load_as;
pub use load::{ConfigSources, DEFAULT_FILE, LoadedConfig, ValueSources, load};
pub(crate) use print::print;
#[doc(hidden)]
pub use print::table;
pub use root::{Config, DrainSettings, LogFormat, LogSettings, Store};

pub use crate::backend::EmitterSystem;
pub use crate::documents::DocumentSettings;
pub use crate::events::{ContractScope, RelayMode, RelayRule};
pub use crate::hooks::HooksSettings;
pub use crate::http::{RouteGroup, TlsSettings};
pub use crate::options::{
    ByteSize, ConfigError, ConfigWarning, Fraction, InvalidValue, Problem, Secret, SecretUrl,
    TableEntry, Tables, Value, ValueSource,
};
pub(crate) use crate::options::{OptionSpec, OptionValue, Section, parse_duration};
pub use crate::traces::TraceSettings;
