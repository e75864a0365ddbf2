//! Handlers of the embedding application's events.
//!
//! A handler is a function of [extractors](FromEvent), in any order: the event's arguments ([`Data`]), the context, the sender of the
//! ack, and so on. What it returns is the ack, unless it takes the [`AckSender`].

use std::{
    any::{Any, TypeId, type_name},
    collections::HashMap,
    sync::Arc,
};

mod ack;
mod context;
mod emitter;
mod encoding;
mod extractors;
mod handler;
mod handler_error;
mod request;

pub use ack::AckSender;
pub use context::EventContext;
pub use emitter::Emitter;
pub use extractors::{Data, FromEvent, State, TryData};
pub use handler::{EventHandler, HandlerFuture, HandlerReply, IntoReply};
pub use handler_error::HandlerError;
pub use request::EventRequest;

pub(super) use encoding::encode_ok;
use handler::BoxedHandler;

/// The application's handlers, and the values that they share.
#[derive(Default)]
pub(crate) struct Handlers {
    by_name: HashMap<String, BoxedHandler>,
    /// One name for each handler, also if there are two of one name.
    names: Vec<String>,
    states: Arc<SharedStates>,
}

/// The values that handlers get by [`State`], one of a type.
#[derive(Default)]
pub(super) struct SharedStates(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl Handlers {
    /// Registers a handler of an event.
    pub(crate) fn add<Arguments>(&mut self, event: &str, handler: impl EventHandler<Arguments>) {
        self.by_name
            .insert(event.to_owned(), handler::boxed(handler));
        self.names.push(event.to_owned());
    }

    /// Adds a value for handlers. Call it before the server is built.
    pub(crate) fn add_state<T: Send + Sync + 'static>(&mut self, value: T) {
        let states = Arc::get_mut(&mut self.states);
        let states = states.expect("states are shared once the server is built");
        states.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The names of the events, one for each handler.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn get(&self, event: &str) -> Option<&BoxedHandler> {
        self.by_name.get(event)
    }

    pub(super) fn states(&self) -> &Arc<SharedStates> {
        &self.states
    }
}

impl SharedStates {
    /// The value of a type.
    ///
    /// # Errors
    /// `internal` if there is none.
    fn get<T: Clone + 'static>(&self) -> Result<T, HandlerError> {
        let value = self.0.get(&TypeId::of::<T>());
        let value = value.and_then(|value| value.downcast_ref::<T>());
        value.cloned().ok_or_else(|| {
            let name = type_name::<T>();
            tracing::error!(
                state = name,
                "a handler takes a State that AppBuilder::state was not given"
            );
            HandlerError::internal()
        })
    }
}
