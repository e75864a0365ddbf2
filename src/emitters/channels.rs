//! The channels of emitters and servers, and who speaks on them.
//!
//! Servers count those who are subscribed to their request channel by its name, and wait for the answer of each. A node subscribes to it
//! by name once, and answers once.

use crate::{
    backend::{Channel, EmitterSystem},
    model::Namespace,
};

/// The channel of python-socketio.
const PYTHON: &str = "socketio";

/// The channels that a node subscribes to.
pub(super) struct Channels {
    python: bool,
    /// Those of Socket.IO for Node, by namespace.
    namespaces: Vec<NamespaceChannels>,
}

/// The channels of Socket.IO for Node for one namespace.
pub(super) struct NamespaceChannels {
    pub(super) namespace: Namespace,
    /// What the names of the channels of broadcasts begin with; the only room and `#` may follow.
    broadcasts: String,
    requests: String,
    pub(super) responses: String,
}

/// Who has published a message, and what it may be.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    /// A broadcast, to one room if it is given.
    Broadcast(&'a NamespaceChannels, Option<&'a str>),
    /// A request to all servers.
    Request(&'a NamespaceChannels),
    /// A message of python-socketio.
    Python,
}

impl Source<'_> {
    pub(super) const fn system(self) -> EmitterSystem {
        match self {
            Self::Broadcast(..) | Self::Request(_) => EmitterSystem::SocketIo,
            Self::Python => EmitterSystem::Python,
        }
    }
}

/// The channel of broadcasts to a namespace, or to one room of it.
pub(super) fn broadcast_channel(key: &str, namespace: &Namespace, room: Option<&str>) -> String {
    match room {
        None => format!("{key}#{namespace}#"),
        Some(room) => format!("{key}#{namespace}#{room}#"),
    }
}

impl Channels {
    pub(super) fn new(systems: &[EmitterSystem], key: &str, namespaces: &[Namespace]) -> Self {
        let channels = |namespace: &Namespace| NamespaceChannels {
            namespace: namespace.clone(),
            broadcasts: broadcast_channel(key, namespace, None),
            requests: format!("{key}-request#{namespace}#"),
            responses: format!("{key}-response#{namespace}#"),
        };
        let namespaces = match systems.contains(&EmitterSystem::SocketIo) {
            true => namespaces.iter().map(channels).collect(),
            false => Vec::new(),
        };
        Self {
            python: systems.contains(&EmitterSystem::Python),
            namespaces,
        }
    }

    /// What to subscribe to, in this order: a server that is counted by its subscription to requests receives everything else.
    pub(super) fn subscriptions(&self) -> Vec<Channel> {
        let of_all = self.namespaces.iter();
        let broadcasts = of_all
            .clone()
            .map(|channels| Channel::Beginning(channels.broadcasts.clone()));
        let requests = of_all.map(|channels| Channel::Named(channels.requests.clone()));
        let python = self.python.then(|| Channel::Named(PYTHON.to_owned()));
        broadcasts.chain(python).chain(requests).collect()
    }

    /// Who speaks on a channel.
    pub(super) fn source<'a>(&'a self, channel: &'a str) -> Option<Source<'a>> {
        if self.python && channel == PYTHON {
            return Some(Source::Python);
        }
        self.namespaces.iter().find_map(|channels| {
            if channel == channels.requests {
                return Some(Source::Request(channels));
            }
            let room = channel.strip_prefix(&*channels.broadcasts)?;
            let room = room.strip_suffix('#').filter(|room| !room.is_empty());
            Some(Source::Broadcast(channels, room))
        })
    }
}

#[cfg(test)]
mod tests;
