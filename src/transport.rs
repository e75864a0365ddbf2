//! Transports: each speaks one protocol, sends requests to the hub, and knows no rules.

mod admission_queue;
mod auth_failures;
mod close_codes;
mod doorway;
mod envelope;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod greeting;
mod packet_rate;
mod parts;
mod peer;
pub(crate) mod poll;
mod requests;
mod settings;
pub mod socketio;
pub(crate) mod sse;
mod wanted;
pub(crate) mod websocket;
mod wire;

pub(crate) use doorway::{Doorway, DoorwayConfig};

use crate::http::{buffered_body, client_address, json, lock};
pub use settings::{
    EventsSettings, HttpSettings, PollSettings, SocketIoSettings, Transport, WebSocketSettings,
};
