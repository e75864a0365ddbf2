//! Doors: each speaks one protocol, calls the hub's verbs and knows no rules.

pub mod http;
pub mod origins;
mod settings;
pub mod socketio;

pub use settings::{HttpSettings, SocketIoSettings, Transport};
