//! The way out of a session: what is sent to it, in which order, and within which bounds; nothing else knows of frames.
//!
//! socketioxide is handed a stream, [`Wire`]. What it writes there is taken apart into whole frames ([`frame`]) and queued in
//! the session's [`Outbox`], where the hub's packets are queued too, framed once for all who get them. The [`lane`] says
//! when those may go, and a few tasks write ([`flusher`]). Of a session that polls, the answers pass through [`payload`].

mod flusher;
mod frame;
mod lane;
mod outbox;
mod payload;
mod tap;

pub(super) use flusher::{Flushers, Shard};
pub(super) use frame::{Frame, MARK};
pub(super) use outbox::{Bounds, Full, Outbox, Writer};
pub(super) use payload::{Encoding, pass};
pub(super) use tap::Wire;

#[cfg(test)]
pub(super) mod testing {
    //! An outbox of no session, for tests of what is beside it.

    use std::{sync::Arc, time::Duration};

    use super::{Bounds, Outbox};

    pub(in crate::transport::socketio) fn outbox() -> Arc<Outbox> {
        let bounds = Bounds {
            bytes: 1 << 20,
            stall: Duration::from_secs(10),
        };
        Outbox::new(
            bounds,
            Arc::default(),
            std::sync::Weak::new(),
            Arc::default(),
        )
    }
}
