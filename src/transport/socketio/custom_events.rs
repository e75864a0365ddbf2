//! Events of the embedding application: typed handlers beside the contract's own events.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use super::SocketRef;
use crate::{
    error::{Code, Error, Result},
    hub::{Connection, Hub, Publish, PublishOutcome},
    model::ConnectionId,
    transport::{json, requests::REQUEST_EVENTS},
};

/// The context of a handler for an application's event.
///
/// ```
/// use switchboard::{Error, EventContext, Result};
///
/// /// Counts the calls of a connection, also over recoveries.
/// async fn count(context: EventContext, step: u32) -> Result<u32> {
///     if step == 0 {
///         return Err(Error::bad_request("a step is at least 1"));
///     }
///     #[derive(Default, serde::Serialize, serde::Deserialize)]
///     struct Counter { total: u32 }
///
///     let mut counter: Counter = context.state()?.unwrap_or_default();
///     counter.total += step;
///     context.set_state(&counter)?;
///     Ok(counter.total)
/// }
/// ```
#[derive(Clone)]
pub struct EventContext {
    /// The hub: publishes to rooms, reads history.
    pub hub: Hub,
    /// The connection that sent the event.
    pub connection: Arc<Connection>,
    /// The socket, with everything that socketioxide offers except for disconnect and fallback handlers, which are taken. Rooms
    /// that it joins are stored with the session when a handler returns and when the socket ends: a client that recovers its
    /// session is in them again. Its `extensions` are not stored. `socket.id` is a secret between the server and its client:
    /// show others [`id`](Self::id).
    pub socket: SocketRef,
}

impl EventContext {
    /// The connection's public id, the client's `socket.id`. It survives a recovery, and is also a room of socketioxide:
    /// `to(id)` reaches this client, whichever node it is connected to.
    pub fn id(&self) -> ConnectionId {
        self.connection.id()
    }

    /// The state that [`set_state`](Self::set_state) has set for the connection. It is stored with the session before the
    /// handler's ack is sent, and is restored by a recovery.
    ///
    /// # Errors
    /// Fails with `internal` if the state is not a `T`.
    pub fn state<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(state) = self.connection.state() else {
            return Ok(None);
        };
        let state = serde_json::from_str(state.get()).map_err(|error| {
            Error::new(Code::Internal, "a connection's state is of another form").caused_by(error)
        });
        state.map(Some)
    }

    /// Sets the state of the connection and replaces an earlier one.
    ///
    /// # Errors
    /// Fails with `bad_request` if it is not a JSON object, `too_large` if it has more than 8 KiB, and `internal` if it cannot be encoded.
    pub fn set_state(&self, state: &impl Serialize) -> Result<()> {
        let state = to_raw_value(state).map_err(|error| {
            Error::new(Code::Internal, "a connection's state cannot be encoded").caused_by(error)
        })?;
        self.connection.set_state(Some(state))
    }

    /// Publishes to a room in the sender's name. The sender's grants apply; its rate limit does not, since the handled event
    /// has passed it.
    ///
    /// # Errors
    /// Those of [`Hub::publish`], but `rate_limited`.
    pub async fn publish(&self, publish: Publish) -> Result<PublishOutcome> {
        self.hub.publish_admitted(&self.connection, publish).await
    }
}

type HandlerFuture = Pin<Box<dyn Future<Output = Result<Box<RawValue>>> + Send>>;
type EventHandler = Arc<dyn Fn(EventContext, &RawValue) -> HandlerFuture + Send + Sync>;

/// The handlers of the application's events, by name.
#[derive(Clone, Default)]
pub(crate) struct CustomEvents(HashMap<String, EventHandler>);

impl CustomEvents {
    /// Registers a handler that is called with the event's argument; its result is sent in the ack beside `ok: true`.
    ///
    /// # Panics
    /// If the name is an event of the public contract. This is a defect of the application, found when it starts.
    pub(crate) fn insert<F, Fut, T, R>(&mut self, event: &str, handler: F)
    where
        F: Fn(EventContext, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        T: DeserializeOwned,
        R: Serialize + 'static,
    {
        assert!(
            !REQUEST_EVENTS.contains(&event),
            "{event} is an event of the server itself; choose another name"
        );
        let handler: EventHandler =
            Arc::new(move |context, argument| match json::read(argument.get()) {
                Ok(argument) => {
                    let result = handler(context, argument);
                    Box::pin(async move { encode_ack(&result.await?) })
                }
                Err(error) => Box::pin(async move { Err(error) }),
            });
        self.0.insert(event.to_owned(), handler);
    }

    pub(super) fn get(&self, event: &str) -> Option<&EventHandler> {
        self.0.get(event)
    }
}

/// Encodes the ack of an event that succeeded: `{ "ok": true, ... }`.
pub(super) fn encode_ack(reply: &impl Serialize) -> Result<Box<RawValue>> {
    #[derive(Serialize)]
    struct Acknowledged<'a, R> {
        ok: bool,
        #[serde(flatten)]
        reply: &'a R,
    }
    to_raw_value(&Acknowledged { ok: true, reply }).map_err(|error| {
        Error::new(Code::Internal, "the ack could not be encoded").caused_by(error)
    })
}

#[cfg(test)]
mod tests;
