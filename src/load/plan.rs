//! What a load does: parsed once, at the edge; inside there are no wrong plans.

use std::{net::IpAddr, time::Duration};

use super::Address;

mod sizes;
mod template;

pub(crate) use sizes::Sizes;
pub(crate) use template::Template;

/// A whole load.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The servers, nodes of one cluster if there are several; at least one.
    pub(crate) addresses: Vec<Address>,
    pub(crate) transport: Transport,
    pub(crate) protocol: Protocol,
    /// Path of Socket.IO, with a slash at its end.
    pub(crate) path: String,
    /// Connections that receive.
    pub(crate) connections: usize,
    pub(crate) rooms: usize,
    /// Begin of the rooms' names.
    pub(crate) room_prefix: String,
    /// Connections that send; 0 only holds connections.
    pub(crate) senders: usize,
    pub(crate) pace: Pace,
    pub(crate) sizes: Sizes,
    pub(crate) ramp: Ramp,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// How long to wait at the end for messages that are on their way, while none arrives.
    pub(crate) drain: Duration,
    pub(crate) connect_timeout: Duration,
    /// How long a client that lost its connection waits before it comes back, at first and on average.
    pub(crate) reconnect_after: Duration,
    pub(crate) faults: Faults,
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) auth: Auth,
    /// Process of the server; `None`: the one that listens on the port.
    pub(crate) pid: Option<u32>,
    pub(crate) threads: usize,
}

/// How clients that receive are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    SocketIo,
    Polling,
    WebSocket,
    EventStream,
}

impl Transport {
    /// Its name on the command line and in reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SocketIo => "socket.io",
            Self::Polling => "polling",
            Self::WebSocket => "ws",
            Self::EventStream => "sse",
        }
    }

    /// TCP connections that a client needs.
    fn sockets(self) -> usize {
        if self == Self::Polling { 2 } else { 1 }
    }
}

/// What the server understands.
#[derive(Clone, Debug)]
pub(crate) enum Protocol {
    /// Switchboard's contract: everything is acknowledged and numbered.
    Switchboard {
        /// Messages have ids, so that those without an ack are sent again after a loss of the connection.
        ids: bool,
        /// A sender gets its own messages, too.
        echo: bool,
    },
    /// Any Socket.IO server, with events of these names.
    Plain(Events),
}

/// Events of a plain Socket.IO server.
#[derive(Clone, Debug)]
pub(crate) struct Events {
    /// Sent to join a room; `None`: the server puts everybody into one room by itself.
    pub(crate) join: Option<Template>,
    pub(crate) send: Template,
    /// Name of the event that delivers what was sent.
    pub(crate) receive: String,
    /// The server acknowledges `join` and `send`.
    pub(crate) acks: bool,
    pub(crate) echo: bool,
}

/// When messages are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// So many at a time for each sender; the next one once one of them is through.
    Closed { window: usize, until: InFlight },
    /// So many a second by all senders together, whatever the server does.
    Open { rate: f64 },
}

/// Until when a message is in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InFlight {
    /// The server has acknowledged it.
    Acked,
    /// All members of its room have received it.
    Delivered,
}

/// How fast clients connect.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ramp {
    /// New ones a second.
    PerSecond(f64),
    /// On their way at once.
    AtOnce(usize),
}

/// What goes wrong on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// TCP connections dropped a second, at random.
    pub(crate) cuts_per_second: f64,
    /// Time between two moments at which all clients disconnect and reconnect.
    pub(crate) storm_every: Option<Duration>,
}

/// Who the clients are.
#[derive(Clone, Debug)]
pub(crate) enum Auth {
    /// A user each, named by this and a number.
    Named(String),
    /// A token for all of them, or one each, in turns.
    Tokens(Vec<String>),
}

/// Why a plan makes no sense.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PlanError {
    #[error(
        "--rooms {rooms} are more than --connections {connections}: a room has at least one member"
    )]
    EmptyRooms { rooms: usize, connections: usize },
    #[error(
        "--senders {senders} are more than --connections {connections}: ask for more connections, or for fewer senders with more \
         --in-flight"
    )]
    TooManySenders { senders: usize, connections: usize },
    #[error("a plain Socket.IO server is loaded with --transport socket.io or polling, not {0}")]
    TransportOfPlain(&'static str),
    #[error(
        "messages on {0} are always sent with ids, and always come back: leave --no-ids and --no-echo out"
    )]
    OnlySocketIo(&'static str),
    #[error(
        "--in-flight until an ack needs acks: add --acks if the server acknowledges, else --until delivered or --rate"
    )]
    NoAcks,
    #[error(
        "a sender that is alone in its room, without an echo, has nobody to deliver to: ask for larger rooms"
    )]
    NobodyReceives,
    #[error(
        "{connections} connections need {needed} open files, and the system allows {allowed}: raise the limit (ulimit -n {needed})"
    )]
    OpenFiles {
        connections: usize,
        needed: u64,
        allowed: u64,
    },
    #[error(
        "{connections} connections do not fit: one source address has ports for about {each}: name more with --source"
    )]
    Ports { connections: usize, each: usize },
}

impl Plan {
    /// Checks what the options mean together.
    ///
    /// # Errors
    /// The first thing that makes no sense, with what to do.
    pub(crate) fn check(&self, open_files: u64) -> Result<(), PlanError> {
        let (connections, rooms, senders) = (self.connections, self.rooms, self.senders);
        if rooms > connections {
            return Err(PlanError::EmptyRooms { rooms, connections });
        }
        if !self.has_extra_senders() && senders > connections {
            return Err(PlanError::TooManySenders {
                senders,
                connections,
            });
        }
        self.check_protocol()?;
        let sockets = connections * self.transport.sockets() + self.extra_senders();
        let needed = sockets as u64 + 64;
        if needed > open_files {
            return Err(PlanError::OpenFiles {
                connections,
                needed,
                allowed: open_files,
            });
        }
        let sources = self.sources().len().max(1);
        let each = Address::connections_per_source();
        if self.is_local() && sockets > sources * (each + 3000) {
            return Err(PlanError::Ports { connections, each });
        }
        Ok(())
    }

    fn check_protocol(&self) -> Result<(), PlanError> {
        let name = self.transport.name();
        let is_socketio = matches!(self.transport, Transport::SocketIo | Transport::Polling);
        match &self.protocol {
            Protocol::Plain(_) if !is_socketio => return Err(PlanError::TransportOfPlain(name)),
            Protocol::Switchboard { ids, echo }
                if self.transport == Transport::WebSocket && !(*ids && *echo) =>
            {
                return Err(PlanError::OnlySocketIo(name));
            }
            _ => {}
        }
        let waits_for_acks = matches!(
            self.pace,
            Pace::Closed {
                until: InFlight::Acked,
                ..
            }
        );
        if self.senders > 0 && waits_for_acks && !self.acks() {
            return Err(PlanError::NoAcks);
        }
        let is_alone = self.connections < 2 * self.rooms && !self.has_extra_senders();
        if self.senders > 0 && is_alone && !self.echo() {
            return Err(PlanError::NobodyReceives);
        }
        Ok(())
    }

    /// Whether senders are clients beside those that receive: event streams cannot send.
    pub(super) fn has_extra_senders(&self) -> bool {
        self.transport == Transport::EventStream
    }

    fn extra_senders(&self) -> usize {
        if self.has_extra_senders() {
            self.senders
        } else {
            0
        }
    }

    /// All clients: those that receive first.
    pub(super) fn clients(&self) -> usize {
        self.connections + self.extra_senders()
    }

    /// The client that is the first sender.
    fn first_sender(&self) -> usize {
        match self.has_extra_senders() {
            true => self.connections,
            false => 0,
        }
    }

    /// Which sender a client is.
    pub(super) fn sender_of(&self, client: usize) -> Option<usize> {
        let sender = client.checked_sub(self.first_sender());
        sender.filter(|sender| *sender < self.senders)
    }

    /// Which client a sender is.
    pub(super) fn client_of(&self, sender: usize) -> usize {
        self.first_sender() + sender
    }

    /// The room of a client, and of a sender: both are spread evenly.
    pub(super) fn room_of(&self, client: usize) -> usize {
        self.sender_of(client).unwrap_or(client) % self.rooms
    }

    /// The server of a client: each room is spread evenly over all of them.
    pub(super) fn address_of(&self, client: usize) -> &Address {
        let nth = self.sender_of(client).unwrap_or(client) / self.rooms;
        &self.addresses[nth % self.addresses.len()]
    }

    /// Whether the servers run on this machine, so that their processes can be looked at.
    pub(super) fn is_local(&self) -> bool {
        self.addresses.iter().all(Address::is_local)
    }

    /// The addresses that clients connect from, in turns; none: the system chooses.
    pub(super) fn sources(&self) -> Vec<IpAddr> {
        let sockets = self.connections * self.transport.sockets() + self.extra_senders();
        self.addresses[0].sources(&self.sources, sockets)
    }

    /// Whether a client is a member of its room.
    pub(super) fn is_member(&self, client: usize) -> bool {
        client < self.connections
    }

    /// How many senders send to a room; they are numbered in the order of their numbers in all.
    pub(super) fn senders_in(&self, room: usize) -> usize {
        (self.senders + self.rooms - 1 - room) / self.rooms
    }

    /// How a client is connected.
    pub(super) fn transport_of(&self, client: usize) -> Transport {
        match self.is_member(client) {
            true => self.transport,
            false => Transport::SocketIo,
        }
    }

    /// Whether the server acknowledges messages.
    pub(super) fn acks(&self) -> bool {
        match &self.protocol {
            Protocol::Switchboard { .. } => true,
            Protocol::Plain(events) => events.acks,
        }
    }

    /// Whether a sender that is a member receives its own messages.
    pub(super) fn echo(&self) -> bool {
        match &self.protocol {
            Protocol::Switchboard { echo, .. } => *echo,
            Protocol::Plain(events) => events.echo,
        }
    }

    /// Whether messages without an ack are sent again: they have ids, and so are stored once.
    pub(super) fn resends(&self) -> bool {
        matches!(self.protocol, Protocol::Switchboard { ids: true, .. })
    }

    /// Whether messages are to be counted down until all members have received them.
    pub(super) fn window_until_delivered(&self) -> Option<usize> {
        match self.pace {
            Pace::Closed {
                window,
                until: InFlight::Delivered,
            } => Some(window),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
