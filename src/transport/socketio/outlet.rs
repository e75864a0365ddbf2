//! The way out of one Socket.IO connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, Serializer, ser::SerializeTuple};
use serde_json::value::RawValue;
use socketioxide::{AckError, SendError, SocketError, extract::SocketRef};

use super::link::Link;
use crate::{
    hub::{Asking, Close, Drained, Outgoing, Outlet},
    telemetry::Metrics,
};

/// Emits to one socket, and closes it when it takes no more.
pub(super) struct SocketOutlet {
    socket: SocketRef,
    link: Arc<Link>,
    metrics: Arc<Metrics>,
    closing: AtomicBool,
}

impl SocketOutlet {
    pub(super) fn new(socket: SocketRef, link: Arc<Link>, metrics: Arc<Metrics>) -> Self {
        Self {
            socket,
            link,
            metrics,
            closing: AtomicBool::new(false),
        }
    }

    /// What became of a packet: one that found no place has been lost, so the connection cannot go on.
    pub(super) fn sent(&self, result: Result<(), SendError>) {
        match result {
            Ok(()) | Err(SendError::Socket(SocketError::Closed)) => {}
            Err(SendError::Socket(SocketError::InternalChannelFull)) => self.close(Close::Slow),
            Err(error) => tracing::error!(%error, "an event could not be encoded"),
        }
    }
}

impl Outlet for SocketOutlet {
    fn push(&self, event: &Outgoing) {
        if self.closing.load(Ordering::Relaxed) {
            return;
        }
        let arguments = event.arguments();
        let result = self
            .socket
            .emit(&*arguments.name, &Spread(&arguments.values));
        self.sent(result);
    }

    fn ask(&self, event: &Outgoing, within: Duration) -> Asking {
        let arguments = event.arguments();
        let asked = self
            .socket
            .timeout(within)
            .emit_with_ack::<_, (Box<RawValue>,)>(&*arguments.name, &Spread(&arguments.values));
        match asked {
            Ok(answer) => Box::pin(async move {
                // An ack without an argument is an answer too, one that says nothing.
                match answer.await {
                    Ok((data,)) => Some(data),
                    Err(AckError::Decode(_)) => RawValue::from_string("null".to_owned()).ok(),
                    Err(_) => None,
                }
            }),
            Err(error) => {
                self.sent(Err(error));
                Box::pin(std::future::ready(None))
            }
        }
    }

    fn is_behind(&self) -> bool {
        false
    }

    fn drained(&self) -> Drained {
        Box::pin(std::future::ready(()))
    }

    fn close(&self, why: Close) {
        if self.closing.swap(true, Ordering::Relaxed) {
            return;
        }
        self.metrics.closed(why.as_str());
        match why {
            Close::Draining => tracing::debug!("a connection is closed to drain"),
            _ => tracing::info!(
                reason = why.as_str(),
                "a connection is closed by the server"
            ),
        }
        match why {
            // Whoever is disconnected from the namespace by the server does not come back by itself, as it should be
            // when its token is no good any more.
            Close::Expired if self.socket.clone().disconnect().is_ok() => {}
            _ => self.link.close(),
        }
    }
}

/// Arguments that are JSON text already, as the separate arguments of one event.
pub(super) struct Spread<'a>(pub(super) &'a [Box<RawValue>]);

impl Serialize for Spread<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut arguments = serializer.serialize_tuple(self.0.len())?;
        for value in self.0 {
            arguments.serialize_element(value)?;
        }
        arguments.end()
    }
}
