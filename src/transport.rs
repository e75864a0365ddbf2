//! Transports: each speaks one protocol, sends requests to the hub, and knows no rules.

mod admission;
mod close_codes;
mod envelope;
mod framed_client;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod message_memory;
mod packet_rate;
pub(crate) mod poll;
mod requests;
mod room_query;
mod session_event;
mod settings;
pub mod socketio;
pub(crate) mod sse;
pub(crate) mod websocket;
mod wire;

use admission::TOKEN_NEEDED;
pub(crate) use admission::{AdmissionConfig, AdmissionControl};
pub use settings::{EventsSettings, PollSettings, SocketIoSettings, Transport, WebSocketSettings};

use crate::http::{buffered_body, client_address};
