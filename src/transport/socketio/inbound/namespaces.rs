//! Which namespaces a session is in, so that every CONNECT gets a reply and no packet reaches a namespace too early.
//!
//! socketioxide ignores a CONNECT until it is entirely done with an earlier one to the same namespace, which is a moment after
//! the reply was sent. A client that disconnects and reconnects at once meets that moment, and would never get a reply.
//! socketioxide does not report when it is done; but it calls the connect middleware for every CONNECT that it does not
//! ignore. So a CONNECT is passed again and again until then, and nothing behind it passes, which keeps the order. If
//! socketioxide takes up two copies, only the first one has a client ([`Namespaces::take_request`]).
//!
//! socketioxide closes the transport for a packet to a namespace that it has no socket for, so such packets are recognised
//! here.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use tokio::sync::Notify;

use super::EngineProtocol;
use crate::{sync::lock, transport::socketio::Socket};

/// First delay before a CONNECT is passed again, or a packet for a pending namespace is filtered again.
pub(super) const MIN_RETRY_DELAY: Duration = Duration::from_millis(2);
/// Longest such delay.
pub(super) const MAX_RETRY_DELAY: Duration = Duration::from_millis(100);
/// How long a CONNECT may be ignored, and a packet wait for its namespace.
pub(super) const NAMESPACE_TIMEOUT: Duration = Duration::from_secs(30);

/// The namespaces of a session.
pub(in crate::transport::socketio) struct Namespaces {
    /// Those whose connect middleware is ours. Nothing is known of others, and all their packets pass once the client is identified.
    served: Arc<HashSet<String>>,
    /// The client is known: by the token of its handshake, by a connection to a served namespace, or it need not be.
    identified: AtomicBool,
    /// A CONNECT to a namespace that is not served has passed.
    passed_foreign: AtomicBool,
    states: Mutex<NamespaceStates>,
    changed: Notify,
}

#[derive(Default)]
struct NamespaceStates {
    /// One for each namespace. There are few, mostly one, so they are looked through. A client is not connected to a namespace that is
    /// not in here.
    by_name: Vec<(Box<str>, ConnectState)>,
    /// Waker of the task that reads from the client and waits for a CONNECT to be taken up.
    reader: Option<Waker>,
}

enum ConnectState {
    /// socketioxide has been given a CONNECT with this `auth` payload, and may have ignored it.
    Requested(String),
    /// The middleware is deciding about it.
    Deciding(ClientChange),
    /// The client is connected, or about to get the reply.
    Connected(Weak<Socket>),
}

/// What a client has sent since the middleware began to decide about its CONNECT.
enum ClientChange {
    None,
    /// Another CONNECT, with this `auth` payload.
    Reconnect(String),
    Disconnect,
}

/// What to do with a CONNECT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ConnectStep {
    /// Pass it on; its namespace is not ours.
    Pass,
    /// Refuse it: its namespace is not ours, and does not authenticate clients.
    Refuse,
    /// Pass it on, and nothing behind it until it has been taken up.
    PassAndWait,
    /// Filter it again later: its namespace has only just sent a reply.
    Retry,
    /// Drop it: it replaces the one that is being decided.
    Stored,
    /// Drop it: the client is connected.
    Ignore,
}

/// Whether a client is connected to a namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NamespaceStatus {
    Connected,
    /// About to be connected.
    Pending,
    /// Was about to be connected, and has disconnected.
    Leaving,
    NotConnected,
}

/// What the middleware does after it has decided.
pub(in crate::transport::socketio) enum ConnectDecision {
    /// Returns its decision.
    Final,
    /// Decides again: the client has sent another CONNECT with this `auth` payload.
    Retry(String),
    /// Refuses: the client has disconnected.
    Disconnected,
}

impl Namespaces {
    /// The namespaces of a new session; `identified`: who its client is is known, or need not be.
    pub(super) fn new(
        served: Arc<HashSet<String>>,
        protocol: EngineProtocol,
        identified: bool,
    ) -> Self {
        let mut states = NamespaceStates::default();
        // A client of Engine.IO 3 is connected to the main namespace without a CONNECT.
        if protocol == EngineProtocol::V3 && served.contains("/") {
            states.insert("/", ConnectState::Requested(String::new()));
        }
        Self {
            served,
            identified: AtomicBool::new(identified),
            passed_foreign: AtomicBool::new(false),
            states: Mutex::new(states),
            changed: Notify::new(),
        }
    }

    /// Handles a CONNECT of the client.
    pub(super) fn connect(&self, namespace: &str, auth: &str) -> ConnectStep {
        if !self.served.contains(namespace) {
            if !self.identified.load(Ordering::Relaxed) {
                return ConnectStep::Refuse;
            }
            self.passed_foreign.store(true, Ordering::Relaxed);
            return ConnectStep::Pass;
        }
        let mut states = self.lock();
        match states.get_mut(namespace) {
            None => {
                let requested = ConnectState::Requested(auth.to_owned());
                states.insert(namespace, requested);
                ConnectStep::PassAndWait
            }
            Some(ConnectState::Requested(before)) => {
                auth.clone_into(before);
                ConnectStep::PassAndWait
            }
            Some(ConnectState::Deciding(change)) => {
                *change = ClientChange::Reconnect(auth.to_owned());
                ConnectStep::Stored
            }
            Some(ConnectState::Connected(socket)) if is_connected(socket) => ConnectStep::Ignore,
            Some(ConnectState::Connected(_)) => ConnectStep::Retry,
        }
    }

    /// Handles a DISCONNECT of the client.
    pub(super) fn disconnect(&self, namespace: &str) -> NamespaceStatus {
        let mut states = self.lock();
        if let Some(ConnectState::Deciding(change)) = states.get_mut(namespace) {
            // Deciding may take long, and nothing behind this packet should wait for it.
            *change = ClientChange::Disconnect;
            return NamespaceStatus::Leaving;
        }
        let status = self.status_in(&states, namespace);
        if status == NamespaceStatus::Connected {
            states.remove(namespace);
        }
        status
    }

    /// The client's status in a namespace.
    pub(super) fn status(&self, namespace: &str) -> NamespaceStatus {
        self.status_in(&self.lock(), namespace)
    }

    /// Whether a CONNECT to a namespace that is not served has passed. What became of it is not known here.
    pub(in crate::transport::socketio) fn has_passed_foreign(&self) -> bool {
        self.passed_foreign.load(Ordering::Relaxed)
    }

    /// Whether the connect middleware of a namespace is ours.
    pub(super) fn serves(&self, namespace: &str) -> bool {
        self.served.contains(namespace)
    }

    /// Whether a packet that had to wait for its namespace should be filtered again.
    pub(super) fn is_ready(&self, namespace: &str) -> bool {
        self.status(namespace) != NamespaceStatus::Pending
    }

    fn status_in(&self, states: &NamespaceStates, namespace: &str) -> NamespaceStatus {
        match states.get(namespace) {
            Some(ConnectState::Connected(socket)) if is_connected(socket) => {
                NamespaceStatus::Connected
            }
            Some(ConnectState::Deciding(ClientChange::Disconnect)) => NamespaceStatus::Leaving,
            Some(_) => NamespaceStatus::Pending,
            None if self.served.contains(namespace) => NamespaceStatus::NotConnected,
            None => NamespaceStatus::Connected,
        }
    }

    /// The middleware takes a CONNECT up. Returns its `auth` payload; `None` if no client has sent it: socketioxide was given
    /// it twice.
    pub(in crate::transport::socketio) fn take_request(&self, namespace: &str) -> Option<String> {
        let mut states = self.lock();
        let state = states.get_mut(namespace)?;
        let ConnectState::Requested(auth) = state else {
            return None;
        };
        let auth = std::mem::take(auth);
        *state = ConnectState::Deciding(ClientChange::None);
        let reader = states.reader.take();
        drop(states);
        self.changed.notify_waiters();
        reader.into_iter().for_each(Waker::wake);
        Some(auth)
    }

    /// Whether the client has sent another CONNECT or a DISCONNECT since the one that is being decided.
    pub(in crate::transport::socketio) fn is_superseded(&self, namespace: &str) -> bool {
        let states = self.lock();
        match states.get(namespace) {
            Some(ConnectState::Deciding(change)) => !matches!(change, ClientChange::None),
            _ => true,
        }
    }

    /// The middleware has decided about a CONNECT; `socket` if it is accepted.
    pub(in crate::transport::socketio) fn finish_connect(
        &self,
        namespace: &str,
        socket: Option<Weak<Socket>>,
    ) -> ConnectDecision {
        let mut states = self.lock();
        if let Some(ConnectState::Deciding(change)) = states.get_mut(namespace) {
            match std::mem::replace(change, ClientChange::None) {
                ClientChange::None => {}
                ClientChange::Reconnect(auth) => return ConnectDecision::Retry(auth),
                ClientChange::Disconnect => {
                    states.remove(namespace);
                    return ConnectDecision::Disconnected;
                }
            }
        }
        match socket {
            Some(socket) => {
                self.identified.store(true, Ordering::Relaxed);
                let connected = ConnectState::Connected(socket);
                states.insert(namespace, connected);
            }
            None => states.remove(namespace),
        }
        ConnectDecision::Final
    }

    /// socketioxide has released a socket.
    pub(in crate::transport::socketio) fn socket_closed(&self, socket: &Arc<Socket>) {
        let mut states = self.lock();
        if let Some(ConnectState::Connected(connected)) = states.get(socket.ns())
            && std::ptr::eq(connected.as_ptr(), Arc::as_ptr(socket))
        {
            states.remove(socket.ns());
        }
    }

    /// Whether a CONNECT has been taken up; if not, the task of `context` is woken then.
    pub(super) fn poll_taken(&self, namespace: &str, context: &Context<'_>) -> bool {
        let mut states = self.lock();
        let taken = !states.is_requested(namespace);
        if !taken {
            states.reader = Some(context.waker().clone());
        }
        taken
    }

    /// Waits until a CONNECT has been taken up.
    pub(super) async fn wait_until_taken(&self, namespace: &str) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.lock().is_requested(namespace) {
                return;
            }
            changed.await;
        }
    }

    /// Forgets a CONNECT that was not taken up.
    pub(super) fn cancel_request(&self, namespace: &str) {
        let mut states = self.lock();
        if states.is_requested(namespace) {
            states.remove(namespace);
        }
    }

    fn lock(&self) -> MutexGuard<'_, NamespaceStates> {
        lock(&self.states)
    }
}

impl NamespaceStates {
    fn is_requested(&self, namespace: &str) -> bool {
        matches!(self.get(namespace), Some(ConnectState::Requested(_)))
    }

    fn get(&self, namespace: &str) -> Option<&ConnectState> {
        let mut states = self.by_name.iter();
        states.find_map(|(name, state)| (**name == *namespace).then_some(state))
    }

    fn get_mut(&mut self, namespace: &str) -> Option<&mut ConnectState> {
        let mut states = self.by_name.iter_mut();
        states.find_map(|(name, state)| (**name == *namespace).then_some(state))
    }

    fn insert(&mut self, namespace: &str, state: ConnectState) {
        match self.get_mut(namespace) {
            Some(before) => *before = state,
            None => {
                self.by_name.reserve_exact(1);
                self.by_name.push((namespace.into(), state));
            }
        }
    }

    fn remove(&mut self, namespace: &str) {
        self.by_name.retain(|(name, _)| **name != *namespace);
    }
}

fn is_connected(socket: &Weak<Socket>) -> bool {
    socket.upgrade().is_some_and(|socket| socket.connected())
}

#[cfg(test)]
mod tests;
