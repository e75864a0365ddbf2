//! WebTransport: sessions over HTTP/3, on the UDP port of the same number.
//!
//! A client's request for a session goes to the router like any other, as a CONNECT with an [`IncomingSession`] in its extensions. Its handler
//! accepts that and responds with 101; any other response refuses the session.

mod listener;
mod session;

pub(crate) use listener::WebTransportListener;
pub(crate) use session::{IncomingSession, SessionWriter};
