//! Decides when the hub's packets may go straight to a session's WebSocket, and when they have to wait for socketioxide's.
//!
//! Two streams of packets go to one client: socketioxide's own (replies to CONNECT, pings, what an application emits) and
//! the hub's. The hub's must not overtake the reply to their namespace's CONNECT, and must not use a WebSocket before the
//! client has switched to it from polling. Both moments can be observed: a **barrier** sent through socketioxide comes out
//! of it, over whichever transport, after everything that went in before.
//!
//! - While a barrier is in flight, the hub's packets are held. Where the last barrier passes, they are released: spliced
//!   into the poll response in its place, or behind it into the WebSocket's queue, which is open from then on.
//! - While a session polls, a barrier is sent whenever a packet is held, so that a pending poll is answered.
//! - A namespace that connects adds one ([`add_barrier`](SendGate::add_barrier)), since its reply to CONNECT may still be on
//!   its way.
//! - An upgrade adds one when `3probe` passes ([`start_upgrade`](SendGate::start_upgrade)): socketioxide holds its receiving
//!   end then, so that barrier can only pass in the WebSocket, and only once the client has switched to it. A barrier that
//!   left with the last poll response is spliced there: the client takes that response before it upgrades.
//!
//! Pure: knows no packets and sends nothing. A caller that is told to send a barrier sends it, and reports a failure.

/// State of one session's send gate.
#[derive(Debug, Default)]
pub(super) struct SendGate {
    websocket: bool,
    open: bool,
    barriers_in_flight: usize,
}

impl SendGate {
    /// The gate of a session that starts as a WebSocket. Nothing is addressed to it before a namespace has connected.
    pub(super) fn websocket() -> Self {
        Self {
            websocket: true,
            ..Self::default()
        }
    }

    /// The gate of a stream that only the hub sends to.
    pub(super) fn open() -> Self {
        Self {
            open: true,
            ..Self::websocket()
        }
    }

    /// Whether packets go straight to the WebSocket.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether packets go by polling now.
    pub(super) fn is_polling(&self) -> bool {
        !self.websocket
    }

    /// A packet is held. Returns true if a barrier has to be sent for it.
    pub(super) fn hold_packet(&mut self) -> bool {
        let needed = !self.websocket && self.barriers_in_flight == 0;
        self.barriers_in_flight += usize::from(needed);
        needed
    }

    /// A namespace's CONNECT has been replied to: the caller sends a barrier.
    pub(super) fn add_barrier(&mut self) {
        self.open = false;
        self.barriers_in_flight += 1;
    }

    /// The session is about to become a WebSocket: the caller sends a barrier.
    pub(super) fn start_upgrade(&mut self) {
        self.websocket = true;
        self.add_barrier();
    }

    /// A barrier has passed. Returns true if held packets are released here.
    pub(super) fn pass_barrier(&mut self) -> bool {
        self.barriers_in_flight = self.barriers_in_flight.saturating_sub(1);
        if self.barriers_in_flight > 0 {
            return false;
        }
        self.open = self.websocket;
        true
    }

    /// A barrier could not be sent: no namespace is connected, and the next one that connects sends its own. Returns true if
    /// none is in flight.
    pub(super) fn cancel_barrier(&mut self) -> bool {
        self.barriers_in_flight = self.barriers_in_flight.saturating_sub(1);
        self.barriers_in_flight == 0
    }
}

#[cfg(test)]
mod tests;
