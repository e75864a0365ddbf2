//! The way out of a session: what is sent to it, in which order, and within which bounds; nothing else knows of frames.
//!
//! socketioxide is handed a stream, [`Wire`]. What it writes there is taken apart into whole frames ([`frame`]) and queued in
//! the session's [`Outbox`], where the hub's packets are queued too, framed once for all who get them. The [`lane`] says
//! when those may go, and a few tasks write ([`flusher`]). Of a session that polls, the answers pass through [`payload`].

mod flusher;
mod frame;
mod lane;
pub(super) mod other_parser;
mod outbox;
mod payload;
mod refused;
mod rewrite;
mod state;
mod tap;

use crate::hub::CloseReason;

pub(super) use flusher::{Flushers, Shard};
pub(super) use frame::{Frame, MARK};
pub(super) use outbox::{Bounds, Full, Outbox, Writer};
pub(super) use payload::{Answer, Encoding, frames, nothing, pass, without_ping};
pub(super) use refused::{NOBODY, refusal};
pub(super) use rewrite::ConnectReply;
pub(super) use tap::Wire;

/// What an outbox is the way out of, as far as that has to be asked or told.
pub(super) trait Session: Send + Sync {
    /// Ends it, for a reason that is counted.
    fn close(&self, why: CloseReason);

    /// What a namespace's answer to CONNECT is to tell.
    fn connect_reply(&self, _namespace: &str) -> Option<ConnectReply> {
        None
    }

    /// Sends a mark through socketioxide; false if no namespace is connected.
    fn mark(&self) -> Result<bool, Full> {
        Ok(false)
    }

    /// An upgrade has failed: nobody polls any more.
    fn leave(&self) {}
}

#[cfg(test)]
pub(super) mod testing {
    //! A way out of no session, for tests of what is beside it.

    use std::{
        sync::{Arc, Weak},
        time::Duration,
    };

    use super::{Bounds, Outbox};
    use crate::transport::socketio::Link;

    pub(in crate::transport) const BOUNDS: Bounds = Bounds {
        bytes: 1 << 20,
        stall: Duration::from_secs(10),
    };

    /// Nobody: an outbox whose session has gone.
    pub(in crate::transport) fn nobody() -> Weak<Link> {
        Weak::new()
    }

    pub(in crate::transport) fn outbox() -> Arc<Outbox> {
        Outbox::new(BOUNDS, Arc::default(), nobody(), Arc::default())
    }
}
