//! Events of the embedding application: typed handlers beside the contract's own events.

use std::{collections::HashMap, future::Future, pin::Pin, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::{RawValue, to_raw_value};

use super::SocketRef;
use crate::{
    error::{Code, Error, Result},
    hub::{Connection, Hub, Publish, Publishing},
    model::ConnectionId,
    transport::{json, requests::REQUESTS},
};

/// What a handler of an application's event can work with.
#[derive(Clone)]
pub struct EventContext {
    /// The rules: send to rooms, read history.
    pub hub: Hub,
    /// Who sent the event, and from where.
    pub connection: Arc<Connection>,
    /// The socket itself, for whatever socketioxide offers but its disconnect and fallback handlers, which are taken. Rooms that
    /// it is joined to by this are kept with the session, as they are when a handler returns and when the socket ends: a client
    /// that is recovered is in them again. Its `extensions` are not. `socket.id` is a secret between the server and its client:
    /// show others [`id`](Self::id).
    pub socket: SocketRef,
}

impl EventContext {
    /// The connection's public id, the client's `socket.id`. It stays over a recovery, and is a room of socketioxide as well:
    /// `to(id)` reaches this client, on whatever node it is.
    pub fn id(&self) -> ConnectionId {
        self.connection.id()
    }

    /// What [`set_state`](Self::set_state) has kept with the connection. It is stored with the session, before the handler's
    /// answer goes out, and is back after a recovery.
    ///
    /// # Errors
    /// `internal` if what is kept is no `T`.
    pub fn state<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        let Some(state) = self.connection.state() else {
            return Ok(None);
        };
        let state = serde_json::from_str(state.get()).map_err(|error| {
            Error::new(Code::Internal, "a connection's state is of another form").caused_by(error)
        });
        state.map(Some)
    }

    /// Keeps something with the connection, in place of what was kept before.
    ///
    /// # Errors
    /// `bad_request` if it is no JSON object, `too_large` if it has more than 8 KiB, `internal` if it cannot be encoded.
    pub fn set_state(&self, state: &impl Serialize) -> Result<()> {
        let state = to_raw_value(state).map_err(|error| {
            Error::new(Code::Internal, "a connection's state cannot be encoded").caused_by(error)
        })?;
        self.connection.set_state(Some(state))
    }

    /// Sends to a room in the sender's name; its grants apply. The sender's rate does not: the event that is handled has
    /// passed it.
    ///
    /// # Errors
    /// Whatever [`Hub::publish`] says.
    pub async fn publish(&self, publish: Publish) -> Result<Publishing> {
        self.hub.publish_admitted(&self.connection, publish).await
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Box<RawValue>>> + Send>>;
type Handler = Arc<dyn Fn(EventContext, &RawValue) -> Answer + Send + Sync>;

/// The application's events by name.
#[derive(Clone, Default)]
pub(crate) struct CustomEvents(HashMap<String, Handler>);

impl CustomEvents {
    /// Has `handler` called with the event's argument; its answer goes into the ack beside `ok: true`.
    ///
    /// # Panics
    /// If the name is one of the contract's own events: a defect of the application, found at its start.
    pub(crate) fn insert<F, Fut, T, R>(&mut self, event: &str, handler: F)
    where
        F: Fn(EventContext, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
        T: DeserializeOwned,
        R: Serialize + 'static,
    {
        assert!(
            !REQUESTS.contains(&event),
            "{event} is an event of the server itself; choose another name"
        );
        let handler: Handler =
            Arc::new(move |context, argument| match json::read(argument.get()) {
                Ok(argument) => {
                    let answer = handler(context, argument);
                    Box::pin(async move { acknowledged(&answer.await?) })
                }
                Err(error) => Box::pin(async move { Err(error) }),
            });
        self.0.insert(event.to_owned(), handler);
    }

    pub(super) fn get(&self, event: &str) -> Option<&Handler> {
        self.0.get(event)
    }
}

/// The ack of something that worked: `{ "ok": true, ... }`.
pub(super) fn acknowledged(reply: &impl Serialize) -> Result<Box<RawValue>> {
    #[derive(Serialize)]
    struct Acknowledged<'a, R> {
        ok: bool,
        #[serde(flatten)]
        reply: &'a R,
    }
    to_raw_value(&Acknowledged { ok: true, reply }).map_err(|error| {
        Error::new(Code::Internal, "the answer could not be encoded").caused_by(error)
    })
}

#[cfg(test)]
mod tests;
