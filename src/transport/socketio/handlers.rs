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
mod decoding;
mod disconnect_reason;
mod emitter;
mod encoding;
mod extractors;
mod handler;
mod handler_error;
mod namespace;
mod request;

pub use ack::AckSender;
pub use context::EventContext;
pub use disconnect_reason::DisconnectReason;
pub use emitter::{AckEmitter, Acks, Emitter};
pub use extractors::{Data, FromEvent, State, TryData};
pub use handler::{EventHandler, HandlerFuture, HandlerReply, IntoReply};
pub use handler_error::HandlerError;
pub use namespace::NamespaceBuilder;
pub use request::EventRequest;

pub(super) use encoding::encode_ok;
pub(crate) use encoding::{encode_ack, encode_event};
pub(super) use handler::BoxedHandler;
pub(super) use namespace::NamespaceHandlers;

use crate::{events::EventOwners, model::Namespace};

/// The application's handlers, and the values that they share.
#[derive(Default)]
pub(crate) struct Handlers {
    /// In every namespace that is not among `named`.
    common: NamespaceBuilder,
    named: Vec<(String, NamespaceBuilder)>,
    states: Arc<SharedStates>,
}

/// The values that handlers get by [`State`], one of a type.
#[derive(Default)]
pub(super) struct SharedStates(HashMap<TypeId, Box<dyn Any + Send + Sync>>);

impl Handlers {
    /// Changes what is handled in every namespace that has no handlers of its own.
    pub(crate) fn change(&mut self, change: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder) {
        self.common = change(std::mem::take(&mut self.common));
    }

    /// Adds a namespace with handlers of its own.
    pub(crate) fn add_namespace(&mut self, name: &str, namespace: NamespaceBuilder) {
        self.named.push((name.to_owned(), namespace));
    }

    /// Adds a value for handlers. Call it before the server is built.
    pub(crate) fn add_state<T: Send + Sync + 'static>(&mut self, value: T) {
        let states = Arc::get_mut(&mut self.states);
        let states = states.expect("states are shared once the server is built");
        states.0.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The namespaces with handlers of their own.
    ///
    /// # Errors
    /// Which one cannot be had, as a sentence.
    pub(crate) fn namespaces(&self) -> Result<Vec<Namespace>, String> {
        let mut namespaces = Vec::new();
        for (name, _) in &self.named {
            let namespace = Namespace::parse(name)
                .map_err(|error| format!("{name:?} is no namespace: {}", error.message()))?;
            if namespaces.contains(&namespace) {
                return Err(format!("the namespace {name} is built twice: remove one"));
            }
            namespaces.push(namespace);
        }
        Ok(namespaces)
    }

    /// Claims the handled events.
    ///
    /// # Errors
    /// Which handler cannot have its event and why, as a sentence.
    pub(crate) fn claim(
        &self,
        owners: &mut EventOwners,
        namespaces: &[Namespace],
    ) -> Result<(), String> {
        for namespace in namespaces {
            let builder = self.of(namespace);
            if let Some(repeated) = builder.repeated() {
                return Err(format!(
                    "{repeated} has two handlers in {namespace}: remove one"
                ));
            }
            if builder.is_without_contract() {
                owners.turn_contract_off(namespace);
            }
            for name in builder.names() {
                owners.claim(namespace, name)?;
            }
        }
        Ok(())
    }

    fn of(&self, namespace: &Namespace) -> &NamespaceBuilder {
        let mut named = self.named.iter();
        let named = named.find(|(name, _)| name == namespace.as_str());
        named.map_or(&self.common, |(_, builder)| builder)
    }

    /// The handlers of a namespace.
    pub(super) fn in_namespace(&self, namespace: &Namespace) -> Arc<NamespaceHandlers> {
        self.of(namespace).handlers()
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
