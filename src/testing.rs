//! For the tests of an embedding application: a server on a port of its own, and a Socket.IO client.
//!
//! ```
//! use switchboard::{
//!     App, Data,
//!     config::Config,
//!     testing::{TestClient, TestServer},
//! };
//!
//! async fn add(Data((a, b)): Data<(i64, i64)>) -> switchboard::Result<i64> {
//!     Ok(a + b)
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = TestServer::start(App::builder(Config::default()).event("add", add)).await?;
//! let mut alice = TestClient::connect(&server, serde_json::json!({ "user": "alice" })).await?;
//! let mut bob = TestClient::connect(&server, serde_json::json!({ "user": "bob" })).await?;
//!
//! assert_eq!(alice.emit_with_ack("add", &(1, 2)).await?, [3]);
//!
//! bob.emit_with_ack("join", "lobby").await?;
//! let message = serde_json::json!({ "room": "lobby", "data": "hello" });
//! alice.emit("message", &message).await?;
//! assert_eq!(bob.next("message").await?[0]["data"], "hello");
//! server.stop().await;
//! # Ok(())
//! # }
//! ```

mod client;
mod packet;
mod server;

pub use client::{TestClient, TestClientError};
pub use server::TestServer;
