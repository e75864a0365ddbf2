//! Which namespaces a session is in, so that every CONNECT is answered and nothing comes to a namespace too early.
//!
//! socketioxide ignores a CONNECT for as long as it is not entirely done with an earlier one of that namespace: until a
//! moment after the answer went out. A client that leaves and comes back at once meets that moment, and would never be
//! answered. Nothing tells when it is over; but a CONNECT that is not ignored has the connect middleware called. So a
//! CONNECT is given to socketioxide again until then, and nothing else of the client is, which keeps the order. One that
//! is given twice is taken once: for the second there is no client any more ([`Namespaces::taken`]).
//!
//! socketioxide ends the transport for a packet to a namespace that it has no socket for, so such packets are known here.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, Weak},
    task::{Context, Waker},
};

use tokio::sync::Notify;

use super::{Protocol, Socket};
use crate::transport::lock;

/// The namespaces of a session.
pub(in crate::transport::socketio) struct Namespaces {
    /// Those whose connect middleware is ours. Of others nothing is known, and everything passes.
    served: Arc<HashSet<String>>,
    states: Mutex<States>,
    changed: Notify,
}

#[derive(Default)]
struct States {
    /// By namespace; where there is nothing, the client is not connected.
    of: HashMap<String, State>,
    /// The reader of the client, which waits for a CONNECT to be taken up.
    reader: Option<Waker>,
}

enum State {
    /// socketioxide has been given a CONNECT that says this of the client, and may have ignored it.
    Asked(String),
    /// The middleware decides about it.
    Deciding(Since),
    /// The client is connected, or is about to be told so.
    Connected(Weak<Socket>),
}

/// What a client has done since its CONNECT is decided about.
enum Since {
    Nothing,
    /// It has asked again, and says this of itself.
    Asked(String),
    Left,
}

/// What becomes of a CONNECT.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It passes, and nothing is known of it.
    Pass,
    /// It passes; what comes behind it waits until it has been taken up.
    PassAndWait,
    /// Its namespace has only just been answered.
    Wait,
    /// The one before it is being decided about; it takes its place.
    Noted,
    /// The client is connected.
    Ignore,
}

/// Where a client stands to a namespace.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Here,
    /// It is about to be there.
    NotYet,
    /// It was about to be there, and has left.
    Left,
    Elsewhere,
}

/// What the middleware has to do after it has decided.
pub(in crate::transport::socketio) enum Decided {
    /// Nothing: the answer goes out.
    Over,
    /// To decide again: the client has asked again, and says this of itself.
    Again(String),
    /// To refuse: the client has left.
    Left,
}

impl Namespaces {
    pub(super) fn new(served: Arc<HashSet<String>>, protocol: Protocol) -> Self {
        let mut states = States::default();
        // A client of Engine.IO 3 is connected there without asking.
        if protocol == Protocol::V3 && served.contains("/") {
            states
                .of
                .insert("/".to_owned(), State::Asked(String::new()));
        }
        Self {
            served,
            states: Mutex::new(states),
            changed: Notify::new(),
        }
    }

    /// A CONNECT comes in.
    pub(super) fn connect(&self, namespace: &str, says: &str) -> Step {
        if !self.served.contains(namespace) {
            return Step::Pass;
        }
        let mut states = self.lock();
        match states.of.get_mut(namespace) {
            None => {
                let asked = State::Asked(says.to_owned());
                states.of.insert(namespace.to_owned(), asked);
                Step::PassAndWait
            }
            Some(State::Asked(before)) => {
                says.clone_into(before);
                Step::PassAndWait
            }
            Some(State::Deciding(since)) => {
                *since = Since::Asked(says.to_owned());
                Step::Noted
            }
            Some(State::Connected(socket)) if is_connected(socket) => Step::Ignore,
            Some(State::Connected(_)) => Step::Wait,
        }
    }

    /// A DISCONNECT comes in.
    pub(super) fn disconnect(&self, namespace: &str) -> Place {
        let mut states = self.lock();
        if let Some(State::Deciding(since)) = states.of.get_mut(namespace) {
            // That may take long, and nothing that comes behind this is to wait for it.
            *since = Since::Left;
            return Place::Left;
        }
        let place = self.place_in(&states, namespace);
        if place == Place::Here {
            states.of.remove(namespace);
        }
        place
    }

    /// Something else comes in.
    pub(super) fn place(&self, namespace: &str) -> Place {
        self.place_in(&self.lock(), namespace)
    }

    /// Whether the connect middleware of a namespace is ours.
    pub(super) fn serves(&self, namespace: &str) -> bool {
        self.served.contains(namespace)
    }

    /// Whether a packet that had to wait for its namespace is to be offered again.
    pub(super) fn is_ready(&self, namespace: &str) -> bool {
        self.place(namespace) != Place::NotYet
    }

    fn place_in(&self, states: &States, namespace: &str) -> Place {
        match states.of.get(namespace) {
            Some(State::Connected(socket)) if is_connected(socket) => Place::Here,
            Some(State::Deciding(Since::Left)) => Place::Left,
            Some(_) => Place::NotYet,
            None if self.served.contains(namespace) => Place::Elsewhere,
            None => Place::Here,
        }
    }

    /// The middleware takes a CONNECT up: what it says of the client. `None` if no client has asked: it was one that
    /// socketioxide was given twice.
    pub(in crate::transport::socketio) fn taken(&self, namespace: &str) -> Option<String> {
        let mut states = self.lock();
        let state = states.of.get_mut(namespace)?;
        let State::Asked(says) = state else {
            return None;
        };
        let says = std::mem::take(says);
        *state = State::Deciding(Since::Nothing);
        let reader = states.reader.take();
        drop(states);
        self.changed.notify_waiters();
        reader.into_iter().for_each(Waker::wake);
        Some(says)
    }

    /// Whether a CONNECT that is being decided about is not its client's last word any more.
    pub(in crate::transport::socketio) fn is_outdated(&self, namespace: &str) -> bool {
        let states = self.lock();
        match states.of.get(namespace) {
            Some(State::Deciding(since)) => !matches!(since, Since::Nothing),
            _ => true,
        }
    }

    /// The middleware has decided about a CONNECT; `socket` if it may connect.
    pub(in crate::transport::socketio) fn decided(
        &self,
        namespace: &str,
        socket: Option<Weak<Socket>>,
    ) -> Decided {
        let mut states = self.lock();
        if let Some(State::Deciding(since)) = states.of.get_mut(namespace) {
            match std::mem::replace(since, Since::Nothing) {
                Since::Nothing => {}
                Since::Asked(says) => return Decided::Again(says),
                Since::Left => {
                    states.of.remove(namespace);
                    return Decided::Left;
                }
            }
        }
        match socket {
            Some(socket) => {
                let connected = State::Connected(socket);
                states.of.insert(namespace.to_owned(), connected);
            }
            None => drop(states.of.remove(namespace)),
        }
        Decided::Over
    }

    /// socketioxide has let go of a socket.
    pub(in crate::transport::socketio) fn closed(&self, socket: &Arc<Socket>) {
        let mut states = self.lock();
        if let Some(State::Connected(of)) = states.of.get(socket.ns())
            && std::ptr::eq(of.as_ptr(), Arc::as_ptr(socket))
        {
            states.of.remove(socket.ns());
        }
    }

    /// Whether a CONNECT has been taken up; if not, the task of `context` is woken then.
    pub(super) fn is_taken(&self, namespace: &str, context: &Context<'_>) -> bool {
        let mut states = self.lock();
        let taken = !matches!(states.of.get(namespace), Some(State::Asked(_)));
        if !taken {
            states.reader = Some(context.waker().clone());
        }
        taken
    }

    /// Ready once a CONNECT has been taken up.
    pub(super) async fn wait_until_taken(&self, namespace: &str) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !matches!(self.lock().of.get(namespace), Some(State::Asked(_))) {
                return;
            }
            changed.await;
        }
    }

    /// Nobody takes a CONNECT up.
    pub(super) fn give_up(&self, namespace: &str) {
        let mut states = self.lock();
        if matches!(states.of.get(namespace), Some(State::Asked(_))) {
            states.of.remove(namespace);
        }
    }

    fn lock(&self) -> MutexGuard<'_, States> {
        lock(&self.states)
    }
}

fn is_connected(socket: &Weak<Socket>) -> bool {
    socket.upgrade().is_some_and(|socket| socket.connected())
}

#[cfg(test)]
mod tests;
