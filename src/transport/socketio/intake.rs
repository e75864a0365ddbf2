//! The way in of a session: every packet of a client passes here before socketioxide sees it.
//!
//! [`packet`] reads one packet; [`Intake`] keeps what has to be known of a session for that: which namespaces it is in
//! ([`namespaces`]), and a binary event whose attachments are still to come. What the packets come in is [`websocket`]'s and
//! [`payload`]'s. A client whose packets cannot be read is closed with a code and one log line; for everything else its
//! transport goes on: a packet is passed on, answered, or dropped.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::json;

mod frame;
mod name;
mod namespaces;
mod packet;
mod payload;
mod polling;
mod websocket;

pub(super) use namespaces::{Decided, Namespaces};
pub(super) use packet::{Protocol, RAW};
pub(super) use payload::Framing;
pub(super) use polling::post;
pub(super) use websocket::Reader;

use super::{ATTACHMENTS, Socket};
use crate::{
    error::{Code, Error},
    hub::{CloseReason, Keep, Outgoing, memory_exhausted},
    limits::{Account, Charge},
    model::Namespace,
    repeat::log_in_bursts,
    telemetry::Metrics,
    transport::{
        lock,
        packet_rate::PacketRate,
        wire::{Frame, Outbox, other_parser},
    },
};
use namespaces::{Place, Step};
use packet::{Kind, Message, Packet};

/// Why a client is closed: a WebSocket close code (RFC 6455, 7.4.1), and what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: u16,
    pub(super) why: &'static str,
}

impl Fault {
    /// What was sent is not the protocol.
    pub(super) const fn protocol(why: &'static str) -> Self {
        Self { code: 1002, why }
    }

    /// More than `socketio.max_payload` bytes.
    pub(super) const TOO_LARGE: Self = Self {
        code: 1009,
        why: "larger than socketio.max_payload",
    };

    /// Socket.IO's own server ends such a session, too.
    pub(super) const OVERLAP: Self = Self::protocol("a POST while another one is under way");

    const NOT_UTF8: Self = Self {
        code: 1007,
        why: "text is not UTF-8",
    };

    /// A defect: socketioxide goes on ignoring a CONNECT.
    const NOT_TAKEN: Self = Self {
        code: 1013,
        why: "a CONNECT could not be answered",
    };

    fn reason(self) -> CloseReason {
        match self.code {
            1009 => CloseReason::TooLarge,
            1013 => CloseReason::Failed,
            _ => CloseReason::Malformed,
        }
    }
}

/// Packets that mean nothing to a server, by why; each is logged once a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ignored {
    /// Of Engine.IO: a server's own, or one of an upgrade.
    EnginePacket,
    /// CONNECT_ERROR is a server's.
    ConnectError,
    /// To no event that was sent.
    Ack,
    /// For a namespace that the client is not connected to.
    NotConnected,
    /// A CONNECT to a namespace that it is connected to.
    Connected,
}

/// What a client sent in one piece.
#[derive(Clone, Copy, Debug)]
pub(super) enum Incoming<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// What is to be done about it.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict<'a> {
    /// socketioxide is given this text.
    Pass(Cow<'a, str>),
    /// socketioxide is given this packet and its attachments.
    Binary(Assembled),
    /// socketioxide is given this CONNECT, and nothing more before it has been taken up.
    Connect(Waiting),
    /// The same packet is to be offered again once its namespace is [ready](Namespaces::is_ready): its client's CONNECT has
    /// not been decided about, or socketioxide is not ready for it yet.
    Later(&'a str),
    /// There is nothing to be done.
    Done,
    /// The client is closed.
    End(Fault),
}

/// A CONNECT that socketioxide has been given and may have ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) namespace: String,
    /// The packet.
    pub(super) text: String,
}

/// A packet whose attachments have all come.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assembled {
    pub(super) text: String,
    pub(super) attachments: Vec<Vec<u8>>,
}

/// What the way in of a session needs to know.
pub(super) struct IntakeConfig {
    pub(super) protocol: Protocol,
    /// The namespaces whose connect middleware is ours.
    pub(super) served: Arc<HashSet<String>>,
    /// Bytes that a packet may have, attachments included.
    pub(super) most: usize,
    /// How fast packets without an event may come.
    pub(super) rate: Arc<PacketRate>,
    /// Whom what it holds is charged to.
    pub(super) account: Arc<Account>,
}

/// The state of one session's way in.
pub(super) struct Intake {
    protocol: Protocol,
    most: usize,
    rate: Arc<PacketRate>,
    account: Arc<Account>,
    outbox: Arc<Outbox>,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    namespaces: Namespaces,
}

#[derive(Default)]
struct State {
    assembling: Option<Assembling>,
    /// Attachments to come of a packet that was refused.
    skipping: usize,
    /// Kinds of packets that were ignored.
    ignored: u8,
    /// The client has another parser, which has been logged.
    other_parser: bool,
}

/// A packet of which attachments are still to come.
struct Assembling {
    packet: Assembled,
    missing: usize,
    bytes: usize,
    namespace: String,
    ack: Option<i64>,
    event: bool,
    charge: Charge,
}

/// Bytes of a packet whose attachments have not all come that cost nothing.
const FREE: usize = 16 << 10;

impl Intake {
    /// How often the client was not read for a while because it is held back.
    fn held_back(&self) -> usize {
        self.outbox.eases()
    }

    pub(super) fn new(
        config: &IntakeConfig,
        outbox: Arc<Outbox>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let IntakeConfig {
            protocol,
            ref served,
            most,
            ref rate,
            ref account,
        } = *config;
        Arc::new(Self {
            protocol,
            most,
            rate: rate.clone(),
            account: account.clone(),
            outbox,
            metrics,
            state: Mutex::default(),
            namespaces: Namespaces::new(served.clone(), protocol),
        })
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// How fast packets without an event come.
    pub(super) fn rate(&self) -> &Arc<PacketRate> {
        &self.rate
    }

    /// Bytes that a packet may have.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    pub(super) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Reads the next packet of the client.
    pub(super) fn take<'a>(&self, incoming: Incoming<'a>) -> Verdict<'a> {
        let packet = match incoming {
            Incoming::Text(text) => packet::text(self.protocol, text),
            Incoming::Binary(bytes) => Ok(packet::binary(self.protocol, bytes)),
        };
        match packet {
            Ok(Packet::Message(message)) => self.message(message),
            Ok(Packet::Engine(text)) => {
                self.rate.note();
                Verdict::Pass(Cow::Borrowed(text))
            }
            Ok(Packet::Attachment(bytes)) => self.attachment(&bytes),
            Ok(Packet::Ignored(why)) => self.ignore(why),
            Err(fault) => match incoming {
                Incoming::Text(text) => {
                    self.other_parser(other_parser::connect_of_text(text), fault)
                }
                Incoming::Binary(_) => Verdict::End(fault),
            },
        }
    }

    /// Has the `connect` of a client with another parser refused; ends a client that has sent none.
    fn other_parser<'a>(&self, connect: Option<String>, fault: Fault) -> Verdict<'a> {
        let Some(connect) = connect.filter(|_| self.protocol == Protocol::V4) else {
            return Verdict::End(fault);
        };
        if !std::mem::replace(&mut self.lock().other_parser, true) {
            let error = other_parser::error();
            self.metrics.error(&error);
            log_in_bursts!(info, %error, "a CONNECT was refused: the client has another parser");
        }
        Verdict::Pass(Cow::Owned(connect))
    }

    fn message<'a>(&self, message: Message<'a>) -> Verdict<'a> {
        {
            let state = self.lock();
            if state.assembling.is_some() || state.skipping > 0 {
                return Verdict::End(Fault::protocol(
                    "attachments of a binary packet are missing",
                ));
            }
        }
        // Events of other namespaces are an application's, and have no other rate.
        let is_event = matches!(message.kind, Kind::Data { event: true, .. });
        if !is_event || !self.namespaces.serves(message.namespace) {
            self.rate.note();
        }
        match message.kind {
            Kind::Connect(says) => match self.namespaces.connect(message.namespace, says) {
                Step::Pass => Verdict::Pass(message.text),
                Step::PassAndWait => Verdict::Connect(Waiting {
                    namespace: message.namespace.to_owned(),
                    text: message.text.into_owned(),
                }),
                Step::Wait => Verdict::Later(message.namespace),
                Step::Noted => Verdict::Done,
                Step::Ignore => self.ignore(Ignored::Connected),
            },
            Kind::Disconnect => match self.namespaces.disconnect(message.namespace) {
                Place::Here => Verdict::Pass(message.text),
                Place::NotYet => Verdict::Later(message.namespace),
                Place::Left => Verdict::Done,
                Place::Elsewhere => self.ignore(Ignored::NotConnected),
            },
            Kind::Data {
                attachments,
                ack,
                event,
            } => match self.namespaces.place(message.namespace) {
                Place::NotYet => Verdict::Later(message.namespace),
                _ if attachments > ATTACHMENTS => {
                    let what = format!(
                        "an event may have {ATTACHMENTS} binary attachments, this one has {attachments}"
                    );
                    self.leave_out(&message, attachments, (ack, event), what)
                }
                // Written again it has become longer than socketioxide takes.
                _ if message.text.len() > self.most => {
                    let what = format!("an event may have {} bytes", self.most);
                    self.leave_out(&message, attachments, (ack, event), what)
                }
                Place::Here if attachments == 0 => Verdict::Pass(message.text),
                Place::Here => self.assemble(message, attachments, ack, event),
                Place::Left | Place::Elsewhere => {
                    self.lock().skipping = attachments;
                    self.ignore(Ignored::NotConnected)
                }
            },
        }
    }

    fn assemble<'a>(
        &self,
        message: Message<'_>,
        missing: usize,
        ack: Option<i64>,
        event: bool,
    ) -> Verdict<'a> {
        self.lock().assembling = Some(Assembling {
            bytes: 0,
            namespace: message.namespace.to_owned(),
            packet: Assembled {
                text: message.text.into_owned(),
                attachments: Vec::new(),
            },
            missing,
            ack,
            event,
            charge: self.account.charge(FREE),
        });
        Verdict::Done
    }

    fn attachment<'a>(&self, bytes: &[u8]) -> Verdict<'a> {
        let mut state = self.lock();
        if state.skipping > 0 {
            state.skipping -= 1;
            self.rate.note();
            return Verdict::Done;
        }
        let Some(mut packet) = state.assembling.take() else {
            drop(state);
            let fault = Fault::protocol("binary data that belongs to no packet");
            return self.other_parser(other_parser::connect_of_bytes(bytes), fault);
        };
        packet.missing -= 1;
        packet.bytes += bytes.len();
        let held = packet.packet.text.len() + packet.bytes;
        let refused = match packet.bytes > self.most {
            true => Some(too_large(format!(
                "the attachments of one event may have {} bytes",
                self.most
            ))),
            false => packet.charge.cover(held).map_err(memory_exhausted).err(),
        };
        if let Some(error) = refused {
            state.skipping = packet.missing;
            drop(state);
            self.refuse(&packet.namespace, packet.ack, packet.event, &error);
            return Verdict::Done;
        }
        packet.packet.attachments.push(bytes.to_vec());
        if packet.missing == 0 {
            return Verdict::Binary(packet.packet);
        }
        state.assembling = Some(packet);
        Verdict::Done
    }

    fn leave_out<'a>(
        &self,
        message: &Message<'_>,
        attachments: usize,
        (ack, event): (Option<i64>, bool),
        what: String,
    ) -> Verdict<'a> {
        self.lock().skipping = attachments;
        self.refuse(message.namespace, ack, event, &too_large(what));
        Verdict::Done
    }

    /// Answers an event that is too large, or for which there is no memory, by its ack or an `error`.
    fn refuse(&self, namespace: &str, ack: Option<i64>, event: bool, error: &Error) {
        self.metrics.error(error);
        let Ok(namespace) = Namespace::parse(namespace) else {
            return; // nobody is connected there
        };
        let frame = match ack {
            Some(id) => Frame::ack(&namespace, id, &json!({ "ok": false, "error": error })),
            None if event => {
                let notice = Outgoing::notice("error", error);
                let arguments = notice.arguments();
                Frame::event(&namespace, &arguments.name, &arguments.values)
            }
            None => return,
        };
        self.outbox.push(frame, &Keep::Always);
    }

    fn ignore<'a>(&self, why: Ignored) -> Verdict<'a> {
        self.rate.note();
        let kind = 1 << why as u8;
        let mut state = self.lock();
        if state.ignored & kind == 0 {
            state.ignored |= kind;
            drop(state);
            tracing::debug!(?why, "dropped a packet that a server has no use for");
        }
        Verdict::Done
    }

    /// Says why the client is closed.
    pub(super) fn note(&self, fault: Fault) {
        let reason = fault.reason().as_str();
        self.metrics.closed(reason);
        let Fault { code, why } = fault;
        log_in_bursts!(
            info,
            reason,
            code,
            why,
            "a connection is closed by the server"
        );
    }

    /// Closes the client's WebSocket.
    fn end_websocket(&self, fault: Fault) {
        self.note(fault);
        self.outbox.close(Frame::close(fault.code, fault.why));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn too_large(what: String) -> Error {
    Error::new(Code::TooLarge, what)
}
