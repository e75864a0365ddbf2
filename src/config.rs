//! Configuration: every option defined once, read from flags, environment and file, checked as a whole, printed.
//!
//! An option is a field of a struct that the `section!` macro makes; each module owns its own section. Flag, variable,
//! line of the file, help text and the manual's table all come from that one definition. A [`Config`] can be had
//! without any of them:
//!
//! ```
//! use switchboard::config::{ByteSize, Config};
//!
//! let mut config = Config::default();
//! config.limits.message_bytes = ByteSize::new(1024);
//! config.check().expect("the defaults go together");
//! ```

mod check;
mod duration;
mod file;
mod load;
mod print;
mod problem;
mod secret;
mod section;
mod server;
mod setting;
mod suggest;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use check::above_zero;
pub use duration::{parse_duration, show_duration};
pub use load::{DEFAULT_FILE, Loaded, Origins, Sources, load};
pub use print::{print, table};
pub use problem::{Origin, Problem, Problems, Warning};
pub use secret::{Secret, SecretUrl};
pub use section::Section;
pub(crate) use section::{choice, section};
pub use server::{Config, DrainSettings, LogFormat, LogSettings, Store};
pub use setting::{OptionSpec, Setting, Unfit, Value};
pub use values::ByteSize;
