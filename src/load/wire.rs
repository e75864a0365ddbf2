//! The client's side of HTTP and WebSocket, by hand: no buffers of its own for each connection, and nothing copied that is only
//! looked at.

pub(super) mod http;
pub(super) mod reader;
pub(super) mod websocket;

#[cfg(test)]
mod tests;
