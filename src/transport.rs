//! Transports: each speaks one protocol, sends requests to the hub, and knows no rules.

mod admission;
mod client_socket;
mod close_codes;
pub(crate) mod collab;
mod document_session;
mod document_socket;
mod envelope;
mod framed_client;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod message_memory;
mod packet_rate;
pub(crate) mod poll;
mod read_buffer;
mod requests;
mod room_query;
mod session_event;
mod settings;
pub mod socketio;
pub(crate) mod sse;
pub(crate) mod websocket;
mod wire;
pub(crate) mod yjs;

use admission::TOKEN_NEEDED;
pub(crate) use admission::{AdmissionConfig, AdmissionControl};
pub use settings::{EventsSettings, PollSettings, SocketIoSettings, Transport, WebSocketSettings};

use crate::http::{buffered_body, client_address};
