//! When a session's packets may go straight to its WebSocket, and when they have to wait for socketioxide's.
//!
//! Two streams of packets go to one client: those that socketioxide writes itself (the answer to CONNECT, pings, what an
//! application emits) and ours. Ours must not overtake the answer to their namespace's CONNECT, and must not use a
//! WebSocket before the client has taken it over from polling. Both moments can be seen: a **mark** sent through
//! socketioxide comes out of it, by whichever transport, behind everything that went in before.
//!
//! - While a mark is under way, our packets wait. Where the last one comes by, they go on: spliced into the poll's answer
//!   in its place, or behind it into the WebSocket's queue, which from then on is open.
//! - While a session polls, every time something waits a mark is sent, so that the poll is answered.
//! - A namespace that connects sends one ([`fence`](Lane::fence)), since its answer to CONNECT may still be under way.
//! - An upgrade sends one when `3probe` passes ([`upgraded`](Lane::upgraded)): socketioxide holds its receiving end then, so
//!   that mark can only come by in the WebSocket, and only when the client has taken it over. One that left by the last
//!   poll is spliced there: the client takes that answer before it upgrades.
//!
//! Knows no packets and sends nothing: whoever is told that a mark is needed sends it, and says if that failed.

/// Where a session stands.
#[derive(Debug, Default)]
pub(super) struct Lane {
    websocket: bool,
    open: bool,
    marks: usize,
}

impl Lane {
    /// A session that begins as a WebSocket; nothing is for it before a namespace has connected.
    pub(super) fn websocket() -> Self {
        Self {
            websocket: true,
            ..Self::default()
        }
    }

    /// A stream that nobody but us sends to.
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
    pub(super) fn polls(&self) -> bool {
        !self.websocket
    }

    /// Something waits: true if a mark is to be sent for it.
    pub(super) fn waits(&mut self) -> bool {
        let needed = !self.websocket && self.marks == 0;
        self.marks += usize::from(needed);
        needed
    }

    /// A namespace was answered: a mark is to be sent.
    pub(super) fn fence(&mut self) {
        self.open = false;
        self.marks += 1;
    }

    /// The session is about to be a WebSocket: a mark is to be sent.
    pub(super) fn upgraded(&mut self) {
        self.websocket = true;
        self.fence();
    }

    /// A mark has come by: true if packets that waited go on here.
    pub(super) fn passed(&mut self) -> bool {
        self.marks = self.marks.saturating_sub(1);
        if self.marks > 0 {
            return false;
        }
        self.open = self.websocket;
        true
    }

    /// A mark could not be sent: nobody is connected to any namespace, and the next that connects sends its own. True if
    /// none is under way.
    pub(super) fn unsent(&mut self) -> bool {
        self.marks = self.marks.saturating_sub(1);
        self.marks == 0
    }
}

#[cfg(test)]
mod tests;
