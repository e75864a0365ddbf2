//! Switchboard: a realtime server you run instead of write.
//!
//! Any socket.io client connects unchanged and gets rooms, acknowledged and numbered messages, history and identity.
//!
//! ```text
//! socket.io | ws | sse | poll    transports: speak a protocol, know no rules
//!     |
//!    hub                         the rules: permissions, presence, order
//!     |
//!  backend                       the log and the bus: orders, stores, delivers
//! memory | sqlite | redis
//! ```
//!
//! # Embedding
//!
//! The binary is a thin wrapper around [`App`]. An application that needs events or routes of its own embeds it:
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use switchboard::{App, Data, config::Config};
//!
//! #[derive(Deserialize)]
//! struct Roll { sides: u32 }
//!
//! #[derive(Serialize)]
//! struct Rolled { value: u32 }
//!
//! async fn roll(Data(roll): Data<Roll>) -> switchboard::Result<Rolled> {
//!     Ok(Rolled { value: roll.sides })
//! }
//!
//! # async fn run() -> Result<(), switchboard::StartError> {
//! let app = App::builder(Config::from_env()?)
//!     .event("roll", roll)
//!     .build()
//!     .await?;
//! // An event emitted by the application reaches the sockets of all nodes.
//! let io: switchboard::SocketIo = app.io().clone();
//! tokio::spawn(async move { io.to("lobby").emit("news", "the dice are out").await });
//! let listener = switchboard::app::listen(app.config().listen)?;
//! app.run(listener, switchboard::app::stop_signal()).await;
//! # Ok(())
//! # }
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
pub mod app;
pub mod auth;
pub mod config;
mod documents;
mod emitters;
pub mod error;
mod events;
mod hooks;
pub mod hub;
mod limits;
mod load;
pub mod model;
mod options;
mod pages;
pub mod pattern;
mod policies;
mod procfs;
mod retry;
mod sync;
pub mod testing;
mod traces;

// Not part of the API: used by the binary, the benchmarks and the integration tests.
#[doc(hidden)]
pub mod backend;
#[doc(hidden)]
pub mod cli;
#[doc(hidden)]
pub mod http;
#[doc(hidden)]
pub mod progress;
#[doc(hidden)]
pub mod telemetry;
#[doc(hidden)]
pub mod transport;

pub use app::{App, AppBuilder, AppHandle, StartError};
pub use error::{Code, Error, Result};
// Its examples run as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
mod embedding_guide {}

/// What the fuzzers in `fuzz/` call.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::{emitters::fuzzing::*, transport::fuzzing::*};
}
// The version that handlers and namespaces of an application have to use.
pub use transport::socketio::socketioxide;
pub use transport::socketio::{
    AckEmitter, AckSender, Acks, Adapter, Data, DisconnectReason, Emitter, EventContext,
    EventHandler, EventRequest, FromEvent, HandlerError, HandlerFuture, HandlerReply, IntoReply,
    NamespaceBuilder, SocketIo, SocketRef, State, TryData,
};
