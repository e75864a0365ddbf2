//! What handlers take from an event.

use bytes::Bytes;
use http::HeaderMap;
use serde::de::DeserializeOwned;

use super::{
    AckSender, DisconnectReason, EventContext, EventRequest, HandlerError, decoding::decode,
};
use crate::{
    auth::Principal,
    error::Result,
    hub::Hub,
    transport::socketio::{SocketIo, SocketRef},
};

/// A type that handlers can have as an argument.
pub trait FromEvent: Sized {
    /// Takes the value from an event.
    ///
    /// # Errors
    /// Why the event cannot be handled; its client is told.
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError>;
}

/// The arguments of the event: a tuple for several, anything else for the first one, `()` for none. A missing one is `null`, which an
/// `Option` takes, and one more than the handler takes is ignored. A value of type `bytes::Bytes` is a binary attachment, wherever it
/// is. An event whose arguments are of another form is refused as `bad_request`.
#[derive(Clone, Debug)]
pub struct Data<T>(pub T);

/// As [`Data`], for a handler that looks at wrong arguments itself.
#[derive(Debug)]
pub struct TryData<T>(pub Result<T>);

/// A value that [`AppBuilder::state`](crate::app::AppBuilder::state) was given.
#[derive(Clone, Debug)]
pub struct State<T>(pub T);

impl<T: DeserializeOwned + 'static> FromEvent for Data<T> {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        TryData::from_event(event).and_then(|TryData(data)| Ok(Self(data?)))
    }
}

impl<T: DeserializeOwned + 'static> FromEvent for TryData<T> {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        Ok(Self(decode(&event.text, event.attachments.as_ref())))
    }
}

/// The only argument of an event that has a single, binary one.
impl FromEvent for Bytes {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        Data::from_event(event).map(|Data(bytes)| bytes)
    }
}

impl<T: Clone + 'static> FromEvent for State<T> {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        event.states.get().map(Self)
    }
}

impl FromEvent for AckSender {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        event.ack.take().ok_or_else(|| {
            tracing::error!("a handler takes the AckSender twice");
            HandlerError::internal()
        })
    }
}

impl FromEvent for DisconnectReason {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        event.disconnect_reason.ok_or_else(|| {
            tracing::error!("only the handler of on_disconnect has a DisconnectReason");
            HandlerError::internal()
        })
    }
}

impl FromEvent for EventContext {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        Ok(event.context().clone())
    }
}

impl FromEvent for SocketRef {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        Ok(event.context().socket.clone())
    }
}

impl FromEvent for SocketIo {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        Ok(event.context().io.clone())
    }
}

impl FromEvent for Hub {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        Ok(event.peek_context().hub.clone())
    }
}

/// Who sent the event.
impl FromEvent for Principal {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        Ok(Principal::clone(
            &event.peek_context().connection.principal(),
        ))
    }
}

/// The headers of the client's handshake.
impl FromEvent for HeaderMap {
    fn from_event(event: &mut EventRequest) -> Result<Self, HandlerError> {
        Ok(event.peek_context().socket.req_parts().headers.clone())
    }
}
