//! How an outbox gets the socket that it writes to.

use std::{io, sync::Arc, task::Context};

use super::{
    super::send_gate::SendGate,
    Outbox,
    state::{Effects, FirstPing, connection_closed},
};

use crate::http::upgrade::StreamWriter;

impl Outbox {
    /// Starts the session as a WebSocket of socketioxide's.
    pub(in crate::transport::wire) fn attach_websocket(&self, writer: StreamWriter) {
        self.attach(writer, SendGate::websocket());
    }

    /// Starts the session as a stream that socketioxide does not know: the hub's packets are sent at once.
    pub(in crate::transport) fn attach_plain(&self, writer: StreamWriter) {
        self.attach(writer, SendGate::open());
    }

    fn attach(&self, writer: StreamWriter, gate: SendGate) {
        let mut state = self.lock();
        if !state.ended {
            state.writer = Some(writer);
            state.gate = gate;
        }
    }

    /// Continues a session that has polled in this WebSocket.
    ///
    /// # Errors
    /// The session has ended, or continues in another WebSocket.
    pub(in crate::transport::wire) fn attach_upgraded(
        self: &Arc<Self>,
        writer: StreamWriter,
    ) -> io::Result<()> {
        let mut state = self.lock();
        if state.ended || state.writer.is_some() {
            return Err(connection_closed());
        }
        state.writer = Some(writer);
        state.gate.start_upgrade();
        let effects = Effects {
            send_barrier: true,
            ..Effects::default()
        };
        self.apply_effects(state, effects);
        Ok(())
    }

    /// Whether the session polls: no WebSocket is attached yet.
    pub(in crate::transport) fn is_polling(&self) -> bool {
        self.lock().gate.is_polling()
    }

    /// Keeps the first ping that socketioxide writes from the client.
    pub(in crate::transport::wire) fn intercept_first_ping(&self) {
        self.lock().first_ping = FirstPing::Expected;
    }

    /// Whether socketioxide's first ping has been intercepted, or the outbox has ended; if not, the task of `context` is woken
    /// then.
    pub(in crate::transport::wire) fn poll_first_ping(&self, context: &Context<'_>) -> bool {
        let ended = self.register_reader(context, true);
        ended || self.lock().first_ping == FirstPing::Intercepted
    }
}
