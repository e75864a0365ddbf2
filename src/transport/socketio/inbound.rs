//! Inbound side of a session: every packet of a client is filtered here before socketioxide sees it.
//!
//! [`packet`] parses one packet. The [`InboundFilter`] keeps the session state that is needed for it: the namespaces it is in
//! ([`namespaces`]), and a binary packet with attachments missing ([`attachments`]). Packets arrive in WebSocket frames
//! ([`websocket`]) or in the body of a POST ([`post`], [`payload`]). A client whose packets cannot be parsed is closed with a
//! code and one log line. In every other case the transport goes on: a packet is passed on, answered, or dropped.

use std::{
    borrow::Cow,
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::json;

mod attachments;
mod client_frame;
mod documents;
mod event_name;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod namespaces;
mod packet;
mod payload;
mod post;
mod protocol_error;
mod verdict;
mod websocket;

pub(super) use crate::transport::wire::EngineProtocol;
pub(super) use namespaces::{ConnectDecision, Namespaces};
pub(super) use packet::RAW_EVENT;
pub(super) use payload::PostEncoding;
pub(super) use post::forward_post;
pub(super) use protocol_error::ProtocolError;
pub(super) use websocket::WebSocketReader;

use super::MAX_ATTACHMENTS;
use crate::{
    error::{Code, Error},
    hub::{DeliveryPolicy, OutgoingEvent},
    limits::Account,
    model::Namespace,
    retry::log_in_bursts,
    sync::lock,
    telemetry::Metrics,
    transport::{
        packet_rate::PacketRate,
        wire::{self, Frame, Outbox, document_of, other_parser},
    },
};
use attachments::PartialPacket;
use documents::SessionDocument;
use namespaces::{ConnectStep, NamespaceStatus};
use packet::{ClientPacket, PacketKind, SocketIoPacket};
use verdict::{BinaryPacket, IgnoredPacket, Incoming, PacketVerdict, PendingConnect};

/// Configuration of a session's inbound filter.
pub(super) struct InboundConfig {
    pub(super) protocol: EngineProtocol,
    /// The namespaces whose connect middleware is ours.
    pub(super) served_namespaces: Arc<HashSet<String>>,
    /// Who the client is is known, or need not be.
    pub(super) identified: bool,
    /// Maximum bytes of a packet, and of its attachments together.
    pub(super) max_packet: usize,
    /// Rate limiter of packets that carry no event.
    pub(super) rate: Arc<PacketRate>,
    /// Account that partial packets are charged to.
    pub(super) account: Arc<Account>,
}

/// The inbound filter of one session.
pub(super) struct InboundFilter {
    protocol: EngineProtocol,
    max_packet: usize,
    rate: Arc<PacketRate>,
    account: Arc<Account>,
    outbox: Arc<Outbox>,
    metrics: Arc<Metrics>,
    state: Mutex<FilterState>,
    namespaces: Namespaces,
    document: SessionDocument,
}

#[derive(Default)]
struct FilterState {
    partial: Option<Box<PartialPacket>>,
    /// Attachments still to come of a packet that was refused.
    skipped_attachments: usize,
    /// Bit set of the kinds of [`IgnoredPacket`] that were logged.
    ignored_kinds: u8,
    /// It was logged that the client uses another parser.
    other_parser_logged: bool,
}

impl InboundFilter {
    pub(super) fn new(
        config: &InboundConfig,
        outbox: Arc<Outbox>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let InboundConfig {
            protocol,
            ref served_namespaces,
            identified,
            max_packet,
            ref rate,
            ref account,
        } = *config;
        Arc::new(Self {
            protocol,
            max_packet,
            rate: rate.clone(),
            account: account.clone(),
            outbox,
            metrics,
            state: Mutex::default(),
            namespaces: Namespaces::new(served_namespaces.clone(), protocol, identified),
            document: SessionDocument::default(),
        })
    }

    pub(super) fn protocol(&self) -> EngineProtocol {
        self.protocol
    }

    /// Rate limiter of packets that carry no event.
    pub(super) fn rate(&self) -> &Arc<PacketRate> {
        &self.rate
    }

    /// Maximum bytes of a packet.
    pub(super) fn max_packet(&self) -> usize {
        self.max_packet
    }

    pub(super) fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// How often reading from the client was resumed after backpressure.
    fn resume_count(&self) -> usize {
        self.outbox.resume_count()
    }

    /// Filters the client's next packet.
    fn filter<'a>(&self, incoming: Incoming<'a>) -> PacketVerdict<'a> {
        let packet = match incoming {
            Incoming::Text(text) => packet::parse_text(self.protocol, text),
            Incoming::Binary(bytes) => Ok(packet::parse_binary(self.protocol, bytes)),
        };
        match packet {
            Ok(ClientPacket::SocketIo(packet)) => self.filter_socketio(packet),
            Ok(ClientPacket::Engine(text)) => {
                self.rate.note();
                PacketVerdict::Pass(Cow::Borrowed(text))
            }
            Ok(ClientPacket::Attachment(bytes)) => self.filter_attachment(&bytes),
            Ok(ClientPacket::Ignored(kind)) => self.ignore(kind),
            Err(error) => match incoming {
                Incoming::Text(text) => {
                    self.refuse_other_parser(other_parser::connect_of_text(text), error)
                }
                Incoming::Binary(_) => PacketVerdict::Close(error),
            },
        }
    }

    /// Passes the `connect` on by which a client with another parser is refused; closes a client that has sent none.
    fn refuse_other_parser<'a>(
        &self,
        connect: Option<String>,
        error: ProtocolError,
    ) -> PacketVerdict<'a> {
        let Some(connect) = connect.filter(|_| self.protocol == EngineProtocol::V4) else {
            return PacketVerdict::Close(error);
        };
        if !std::mem::replace(&mut self.lock().other_parser_logged, true) {
            let error = other_parser::error();
            self.metrics.error(&error);
            log_in_bursts!(info, %error, "CONNECT refused: the client uses another parser");
        }
        PacketVerdict::Pass(Cow::Owned(connect))
    }

    fn filter_socketio<'a>(&self, packet: SocketIoPacket<'a>) -> PacketVerdict<'a> {
        {
            let state = self.lock();
            if state.partial.is_some() || state.skipped_attachments > 0 {
                return PacketVerdict::Close(ProtocolError::new(
                    "attachments of a binary packet are missing",
                ));
            }
        }
        if packet.namespace.starts_with(wire::RESERVED_PREFIX) {
            if let PacketKind::Data { attachments, .. } = packet.kind {
                self.lock().skipped_attachments = attachments;
            }
            return self.ignore(IgnoredPacket::NotConnected);
        }
        let packet = match self.share_namespace(packet) {
            Ok(packet) => packet,
            Err(verdict) => return verdict,
        };
        // Events of other namespaces are an application's, and have no other rate limit.
        let is_event = matches!(packet.kind, PacketKind::Data { event: true, .. });
        if !is_event || !self.namespaces.serves(packet.namespace) {
            self.rate.note();
        }
        match packet.kind {
            PacketKind::Connect(auth) => self.filter_connect(packet, auth),
            PacketKind::Disconnect => match self.namespaces.disconnect(packet.namespace) {
                NamespaceStatus::Connected => PacketVerdict::Pass(packet.text),
                NamespaceStatus::Pending => PacketVerdict::Retry(packet.namespace),
                NamespaceStatus::Leaving => PacketVerdict::Drop,
                NamespaceStatus::NotConnected => self.ignore(IgnoredPacket::NotConnected),
            },
            PacketKind::Data {
                attachments,
                ack,
                event,
            } => self.filter_data(packet, attachments, ack, event),
        }
    }

    fn filter_connect<'a>(&self, packet: SocketIoPacket<'a>, auth: &str) -> PacketVerdict<'a> {
        match self.namespaces.connect(packet.namespace, auth) {
            ConnectStep::Pass => PacketVerdict::Pass(packet.text),
            ConnectStep::Refuse => self.refuse_foreign(packet.namespace),
            ConnectStep::PassAndWait => PacketVerdict::PassConnect(PendingConnect {
                namespace: packet.namespace.to_owned(),
                text: packet.text.into_owned(),
            }),
            ConnectStep::Retry => PacketVerdict::Retry(packet.namespace),
            ConnectStep::Stored => PacketVerdict::Drop,
            ConnectStep::Ignore => self.ignore(IgnoredPacket::AlreadyConnected),
        }
    }

    /// Refuses a CONNECT to a namespace that socketioxide serves alone.
    fn refuse_foreign<'a>(&self, namespace: &str) -> PacketVerdict<'a> {
        self.metrics.error(&wire::unidentified());
        PacketVerdict::Pass(Cow::Owned(wire::unidentified_connect(namespace)))
    }

    fn filter_data<'a>(
        &self,
        packet: SocketIoPacket<'a>,
        attachments: usize,
        ack: Option<i64>,
        event: bool,
    ) -> PacketVerdict<'a> {
        match self.namespaces.status(packet.namespace) {
            NamespaceStatus::Pending => PacketVerdict::Retry(packet.namespace),
            _ if attachments > MAX_ATTACHMENTS => {
                let message = format!(
                    "an event may have {MAX_ATTACHMENTS} binary attachments, this one has {attachments}"
                );
                self.refuse_data(&packet, attachments, (ack, event), message)
            }
            // Rewritten, it has become longer than socketioxide accepts.
            _ if packet.text.len() > self.max_packet => {
                let message = format!("an event may have {} bytes", self.max_packet);
                self.refuse_data(&packet, attachments, (ack, event), message)
            }
            NamespaceStatus::Connected if attachments == 0 => PacketVerdict::Pass(packet.text),
            NamespaceStatus::Connected => self.start_partial(packet, attachments, ack, event),
            NamespaceStatus::Leaving | NamespaceStatus::NotConnected => {
                self.lock().skipped_attachments = attachments;
                self.ignore(IgnoredPacket::NotConnected)
            }
        }
    }

    fn refuse_data<'a>(
        &self,
        packet: &SocketIoPacket<'_>,
        attachments: usize,
        (ack, event): (Option<i64>, bool),
        message: String,
    ) -> PacketVerdict<'a> {
        self.lock().skipped_attachments = attachments;
        self.send_error(packet.namespace, ack, event, &too_large(message));
        PacketVerdict::Drop
    }

    /// Responds to an event that is too large, or for which there is no memory, by its ack or an `error` event.
    fn send_error(&self, namespace: &str, ack: Option<i64>, event: bool, error: &Error) {
        self.metrics.error(error);
        let Ok(namespace) = Namespace::parse(self.client_namespace(namespace)) else {
            return; // no client is connected there
        };
        let frame = match ack {
            Some(id) => Frame::ack(&namespace, id, &json!({ "ok": false, "error": error })),
            // What clients of documents have is in their acks, too.
            None if event || document_of(namespace.as_str()).is_some() => {
                let notice = OutgoingEvent::notice("error", error);
                let arguments = notice.arguments();
                Frame::event(&namespace, &arguments.name, &arguments.values)
            }
            None => return,
        };
        self.outbox.push(frame, &DeliveryPolicy::Always);
    }

    fn ignore<'a>(&self, kind: IgnoredPacket) -> PacketVerdict<'a> {
        self.rate.note();
        let bit = 1 << kind as u8;
        let mut state = self.lock();
        if state.ignored_kinds & bit == 0 {
            state.ignored_kinds |= bit;
            drop(state);
            tracing::debug!(?kind, "dropped a packet that has no meaning to a server");
        }
        PacketVerdict::Drop
    }

    /// Counts and logs why the client is closed.
    pub(super) fn record_close(&self, error: ProtocolError) {
        let reason = error.close_reason().as_str();
        self.metrics.closed(reason);
        let ProtocolError { code, message } = error;
        log_in_bursts!(
            info,
            reason,
            code,
            why = message,
            "a connection is closed by the server"
        );
    }

    /// Closes the client's WebSocket.
    fn close_websocket(&self, error: ProtocolError) {
        self.record_close(error);
        self.outbox
            .close_with(Frame::close(error.code, error.message));
    }

    fn lock(&self) -> MutexGuard<'_, FilterState> {
        lock(&self.state)
    }
}

fn too_large(message: String) -> Error {
    Error::new(Code::TooLarge, message)
}
