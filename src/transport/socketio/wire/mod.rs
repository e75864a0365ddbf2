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
mod state;
mod tap;

pub(super) use flusher::{Flushers, Shard};
pub(super) use frame::{Frame, MARK};
pub(super) use outbox::{Bounds, Full, Outbox, Writer};
pub(super) use payload::{Encoding, pass};
pub(super) use tap::Wire;

#[cfg(test)]
pub(super) mod testing {
    //! Ways out of no session, for tests of what is beside them.

    use std::{
        net::Ipv4Addr,
        sync::{Arc, Weak},
        time::Duration,
    };

    use socketioxide::SocketIo;

    use super::{Bounds, Outbox};
    use crate::{
        limits::Admission,
        transport::socketio::{Engine, link::Link},
    };

    const BOUNDS: Bounds = Bounds {
        bytes: 1 << 20,
        stall: Duration::from_secs(10),
    };

    pub(in crate::transport::socketio) fn outbox() -> Arc<Outbox> {
        Outbox::new(BOUNDS, Arc::default(), Weak::new(), Arc::default())
    }

    /// A session of an engine that may or may not know it.
    pub(super) fn link() -> (Arc<Link>, Engine, SocketIo) {
        let (engine, io) = SocketIo::builder().build_svc();
        let admitted = Admission::new(1, 1)
            .admit(Ipv4Addr::LOCALHOST.into())
            .unwrap();
        let out = (BOUNDS, Arc::default());
        let link = Link::new(engine.clone(), None, admitted, out, Arc::default());
        (link, engine, io)
    }
}
