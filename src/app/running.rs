//! What a server does besides accepting connections: its background tasks, and the order in which they end.

use std::sync::Mutex;

use axum::Router;
use tokio::{runtime::Handle, task::AbortHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{App, drain::drain};
use crate::{
    backend::Backend,
    config::DrainSettings,
    emitters,
    hooks::NotifyTasks,
    hub::{CloseReason, Hub},
    sync::lock,
};

/// The background tasks of a server whose router an application serves itself: see [`App::into_router`].
///
/// Dropping it stops everything at once: connections would otherwise stay open with nothing to deliver to them. Call
/// [`shutdown`](Self::shutdown) to end in order.
#[must_use = "the server stops when this is dropped"]
pub struct AppHandle {
    hub: Hub,
    backend: Backend,
    drain: DrainSettings,
    draining: CancellationToken,
    stop_requested: CancellationToken,
    /// Ends the refreshing of keys when this is dropped.
    _key_refresh: DropGuard,
    /// Where the connections are, wherever this is dropped.
    runtime: Handle,
    /// Ends the connections of the server's own listeners.
    end: CancellationToken,
    tasks: Vec<AbortHandle>,
    /// What tells back ends what happened; `None` once it has ended.
    notify: Mutex<Option<NotifyTasks>>,
}

/// Starts the background tasks, and the listener for operators.
pub(super) fn start(app: App) -> (Router, AppHandle) {
    let server = app.server_config();
    let delivering = tokio::spawn(app.hub.clone().deliver_all(app.deliveries));
    let tending = tokio::spawn(app.hub.clone().run_maintenance());
    let emitters = emitters::start(
        &app.hub,
        app.backend.pubsub.as_ref(),
        &app.config.redis,
        &app.config.socketio.namespaces,
        app.config.socketio.max_payload.bytes(),
    );
    let lease = app.hub.lease();
    let notify = app
        .hub
        .hooks()
        .start_notifications(&app.backend.outbox, lease);
    let end = CancellationToken::new();
    if let Some(internal) = app.internal {
        tokio::spawn(internal.serve(server, end.clone()));
    }
    let handle = AppHandle {
        hub: app.hub,
        backend: app.backend,
        drain: app.config.drain,
        draining: app.draining,
        stop_requested: app.stop_requested,
        _key_refresh: app.key_refresh,
        runtime: Handle::current(),
        end,
        tasks: [delivering.abort_handle(), tending.abort_handle()]
            .into_iter()
            .chain(emitters)
            .collect(),
        notify: Mutex::new(Some(notify)),
    };
    (app.router, handle)
}

impl AppHandle {
    /// Completes when an operator shuts this node down, in the dashboard or by `POST /v1/nodes/{node}/drain`: call
    /// [`shutdown`](Self::shutdown) then, and end the process.
    pub async fn stop_requested(&self) {
        self.stop_requested.cancelled().await;
    }

    /// Ends in order, as [`App::run`] does: refuses new clients, notifies and closes the others over `drain.over`, and returns
    /// once everything that was accepted is stored. Requests that are still open are left to the application's HTTP server.
    pub async fn shutdown(self) {
        self.drain().await;
        self.close().await;
    }

    /// Cancelled when the connections of the server's own listeners have to end.
    pub(super) fn end(&self) -> &CancellationToken {
        &self.end
    }

    /// Whether the drain is so short that new connections need not be accepted meanwhile.
    pub(super) fn drains_briefly(&self) -> bool {
        self.drain.is_brief(self.has_peers())
    }

    /// Closes all clients.
    pub(super) async fn drain(&self) {
        drain(&self.hub, &self.drain, self.has_peers(), &self.draining).await;
    }

    /// Ends the server's own listeners, and stores everything that was accepted, even if its sender no longer waits for the
    /// ack. What else runs ends when this is dropped.
    pub(super) async fn close(&self) {
        self.end.cancel();
        let notify = lock(&self.notify).take();
        if let Some(notify) = notify {
            notify.stop().await;
        }
        self.backend.log.close().await;
    }

    fn has_peers(&self) -> bool {
        let pubsub = self.backend.pubsub.as_ref();
        pubsub.is_some_and(|pubsub| pubsub.node_count() > 1)
    }
}

impl Drop for AppHandle {
    fn drop(&mut self) {
        self.draining.cancel();
        self.end.cancel();
        self.hub.close_new_connections();
        // Closing them may need the runtime, and the thread that drops this need not be one of its own.
        let _entered = self.runtime.enter();
        for connection in self.hub.connections() {
            connection.close(CloseReason::Draining);
        }
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
