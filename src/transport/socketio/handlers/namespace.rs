//! What an application handles in one namespace.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    EventHandler,
    handler::{self, BoxedHandler},
};

/// What an application handles in one namespace; see [`AppBuilder::namespace`](crate::app::AppBuilder::namespace).
///
/// ```
/// use switchboard::{App, Data, DisconnectReason, EventContext, Result, config::Config, model::RoomName};
///
/// async fn enter(context: EventContext, Data(room): Data<RoomName>) -> Result<()> {
///     context.join(&room).await
/// }
///
/// async fn left(context: EventContext, reason: DisconnectReason) -> Result<()> {
///     for room in context.rooms() {
///         context.to(room).emit("left", &(context.id(), reason.as_str())).await?;
///     }
///     Ok(())
/// }
///
/// let app = App::builder(Config::default()).namespace("/game", |game| {
///     game.without_contract().event("enter", enter).on_disconnect(left)
/// });
/// ```
#[derive(Default)]
#[must_use = "the namespace has only what its builder is returned with"]
pub struct NamespaceBuilder {
    handlers: Arc<NamespaceHandlers>,
    /// The names of the events, one for each handler, also if there are two of one name.
    names: Vec<String>,
    /// A lifecycle handler that was given twice.
    repeated: Option<&'static str>,
    without_contract: bool,
}

/// The handlers of one namespace.
#[derive(Default)]
pub(in crate::transport::socketio) struct NamespaceHandlers {
    /// A few names that are looked up with each event: a hash of the name would cost more than comparing it.
    events: BTreeMap<String, BoxedHandler>,
    on_connect: Option<BoxedHandler>,
    on_disconnect: Option<BoxedHandler>,
}

impl NamespaceBuilder {
    /// Handles an event. See [`AppBuilder::event`](crate::app::AppBuilder::event).
    pub fn event<Arguments>(mut self, name: &str, handler: impl EventHandler<Arguments>) -> Self {
        let handler = handler::boxed(handler);
        self.own_handlers().events.insert(name.to_owned(), handler);
        self.names.push(name.to_owned());
        self
    }

    /// Is called when a client has connected. See [`AppBuilder::on_connect`](crate::app::AppBuilder::on_connect).
    pub fn on_connect<Arguments>(mut self, handler: impl EventHandler<Arguments>) -> Self {
        let before = self
            .own_handlers()
            .on_connect
            .replace(handler::boxed(handler));
        self.repeated = self.repeated.or(before.map(|_| "on_connect"));
        self
    }

    /// Is called when a client has disconnected. See [`AppBuilder::on_disconnect`](crate::app::AppBuilder::on_disconnect).
    pub fn on_disconnect<Arguments>(mut self, handler: impl EventHandler<Arguments>) -> Self {
        let before = self
            .own_handlers()
            .on_disconnect
            .replace(handler::boxed(handler));
        self.repeated = self.repeated.or(before.map(|_| "on_disconnect"));
        self
    }

    /// Turns the contract's own events off in this namespace, whatever `socketio.contract` says: clients can send what is handled or
    /// relayed and nothing else, and are sent no event of the server's.
    pub fn without_contract(mut self) -> Self {
        self.without_contract = true;
        self
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    pub(super) fn repeated(&self) -> Option<&'static str> {
        self.repeated
    }

    pub(super) fn is_without_contract(&self) -> bool {
        self.without_contract
    }

    pub(super) fn handlers(&self) -> Arc<NamespaceHandlers> {
        self.handlers.clone()
    }

    fn own_handlers(&mut self) -> &mut NamespaceHandlers {
        let handlers = Arc::get_mut(&mut self.handlers);
        handlers.expect("handlers are shared once the server is built")
    }
}

impl NamespaceHandlers {
    pub(in crate::transport::socketio) fn event(&self, name: &str) -> Option<&BoxedHandler> {
        self.events.get(name)
    }

    pub(in crate::transport::socketio) fn on_connect(&self) -> Option<&BoxedHandler> {
        self.on_connect.as_ref()
    }

    pub(in crate::transport::socketio) fn on_disconnect(&self) -> Option<&BoxedHandler> {
        self.on_disconnect.as_ref()
    }
}
