//! Functions as handlers.

use std::{future::Future, pin::Pin};

use serde::Serialize;

use super::{EventRequest, FromEvent, HandlerError, encoding::encode_ok};
use crate::model::EventPayload;

/// The ack of an event as its handler returns it.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<HandlerReply, HandlerError>> + Send>>;

/// The arguments of an ack, encoded.
pub struct HandlerReply(pub(in crate::transport::socketio) EventPayload);

pub(in crate::transport::socketio) type BoxedHandler =
    Box<dyn Fn(&mut EventRequest) -> Result<HandlerFuture, HandlerError> + Send + Sync>;

/// A handler: an async function or closure of up to eight [extractors](FromEvent) that returns an [`IntoReply`].
pub trait EventHandler<Arguments>: Send + Sync + 'static {
    /// Calls the handler.
    ///
    /// # Errors
    /// What an extractor fails with.
    fn call(&self, event: &mut EventRequest) -> Result<HandlerFuture, HandlerError>;
}

/// What a handler may return: nothing, or a `Result` of any value and any error. A value that is an object gets `ok: true`, `()` is
/// `{ ok: true }`, and anything else is sent as it is; an error is sent as `{ ok: false, error }`.
pub trait IntoReply {
    /// The arguments of the ack.
    ///
    /// # Errors
    /// The error that the client is sent.
    fn into_reply(self) -> Result<HandlerReply, HandlerError>;
}

impl IntoReply for () {
    fn into_reply(self) -> Result<HandlerReply, HandlerError> {
        Ok(HandlerReply(EventPayload::ok()))
    }
}

impl<T: Serialize, E: Into<HandlerError>> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<HandlerReply, HandlerError> {
        Ok(HandlerReply(encode_ok(&self.map_err(E::into)?)?))
    }
}

pub(super) fn boxed<Arguments>(handler: impl EventHandler<Arguments>) -> BoxedHandler {
    Box::new(move |event| handler.call(event))
}

macro_rules! handler_of {
    ($($argument:ident),*) => {
        impl<F, Fut, R, $($argument,)*> EventHandler<($($argument,)*)> for F
        where
            F: Fn($($argument,)*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = R> + Send + 'static,
            R: IntoReply + Send + 'static,
            $($argument: FromEvent,)*
        {
            fn call(&self, _event: &mut EventRequest) -> Result<HandlerFuture, HandlerError> {
                let handled = self($($argument::from_event(_event)?,)*);
                Ok(Box::pin(async move { handled.await.into_reply() }))
            }
        }
    };
}

handler_of!();
handler_of!(A);
handler_of!(A, B);
handler_of!(A, B, C);
handler_of!(A, B, C, D);
handler_of!(A, B, C, D, E);
handler_of!(A, B, C, D, E, G);
handler_of!(A, B, C, D, E, G, H);
handler_of!(A, B, C, D, E, G, H, I);
