//! Doors: each speaks one protocol, calls the hub's verbs and knows no rules.

mod admission_queue;
mod auth_failures;
pub mod body;
mod close_codes;
mod doorway;
mod envelope;
mod greeting;
pub mod http;
pub(crate) mod json;
pub mod origins;
mod packet_rate;
pub mod params;
mod parts;
mod peer;
pub(crate) mod poll;
mod posted;
mod requests;
mod settings;
pub mod socketio;
pub(crate) mod sse;
mod upgrade;
mod wanted;
mod web_address;
pub(crate) mod websocket;
mod wire;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use doorway::{Doorway, DoorwayConfig, client_address};
pub use settings::{
    EventsSettings, HttpSettings, PollSettings, SocketIoSettings, Transport, WebSocketSettings,
};

/// Locks a mutex whose data stays whole even if a holder panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
