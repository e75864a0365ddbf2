//! Sends the hub's events to one Socket.IO connection.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde::Serialize;
use socketioxide::{AckError, SendError, SocketError};

use super::{
    SocketRef, acknowledgement::Acknowledgement, engine_session::EngineSession,
    raw_arguments::RawArguments, rooms::SocketRooms,
};
use crate::{
    error::{Error, Result},
    events::NamespaceOwners,
    hub::{
        ClientState, CloseReason, ConnectionRates, DeliveryPolicy, Drained, Event, EventSink,
        Format, OutgoingEvent, PendingReply,
    },
    limits::{Account, Exhausted},
    model::{EventPayload, Namespace, RoomName},
    transport::wire::{EngineProtocol, Frame, Outbox, OutboxOwner, document_of},
};

/// The event sink of one connection.
pub(super) struct SocketEventSink {
    namespace: Namespace,
    socket: SocketRef,
    /// Its rooms of socketioxide's, if there may be an application that uses them.
    rooms: Option<Arc<SocketRooms>>,
    owners: Arc<NamespaceOwners>,
    /// The connection is of a document: of the hub's events it is sent errors alone. Others could be named as those of the document.
    of_document: bool,
    session: Arc<EngineSession>,
    outbox: Arc<Outbox>,
    close_reason: OnceLock<CloseReason>,
}

impl SocketEventSink {
    pub(super) fn new(
        namespace: Namespace,
        (socket, rooms): (SocketRef, Option<Arc<SocketRooms>>),
        owners: Arc<NamespaceOwners>,
        session: Arc<EngineSession>,
    ) -> Self {
        Self {
            of_document: document_of(namespace.as_str()).is_some(),
            namespace,
            socket,
            rooms,
            owners,
            outbox: session.outbox().clone(),
            session,
            close_reason: OnceLock::new(),
        }
    }

    /// Why the server has closed the connection, if it has.
    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        let own = self.close_reason.get().copied();
        own.or_else(|| self.session.close_reason())
    }

    /// What the memory is charged to that the client makes the node hold.
    pub(super) fn account(&self) -> &Account {
        self.session.account()
    }

    /// The version of Engine.IO that the client speaks.
    pub(super) fn protocol(&self) -> EngineProtocol {
        self.session.inbound().protocol()
    }

    /// An event that only this connection is sent.
    pub(super) fn payload_frame(&self, event: &EventPayload) -> Frame {
        Frame::payload(&self.namespace, event, self.protocol())
    }

    /// The ack of the client's packet `id`.
    pub(super) fn ack_frame(&self, id: i64, arguments: &EventPayload) -> Frame {
        Frame::ack_payload(&self.namespace, id, arguments, self.protocol())
    }

    /// Queues a frame.
    pub(super) fn push_frame(&self, frame: Frame) {
        self.outbox.push(frame, &DeliveryPolicy::Always);
    }

    /// Queues a frame that may be large.
    ///
    /// # Errors
    /// `unavailable`: there is no memory for it.
    pub(super) fn push_charged(&self, frame: Frame) -> Result<()> {
        let frame = frame.charged(self.session.account());
        self.push_frame(frame.map_err(Exhausted::into_memory_error)?);
        Ok(())
    }

    /// Counts an error that is sent to the client.
    pub(super) fn count_error(&self, error: &Error) {
        self.session.count_error(error);
    }

    /// Sends the ack of the client's packet `id` with any arguments.
    pub(super) fn acknowledge_payload(&self, id: i64, arguments: &EventPayload) {
        self.push_ack(id, self.ack_frame(id, arguments));
    }

    /// Queues an application's event.
    fn push_payload(&self, event: &OutgoingEvent, payload: &EventPayload) {
        let format = match self.protocol() {
            EngineProtocol::V3 if !payload.attachments.is_empty() => Format::LegacyPacket,
            _ => Format::Packet,
        };
        let frame = Frame::of(event.encoded(format, &self.namespace, |_| {
            let protocol = match format {
                Format::LegacyPacket => EngineProtocol::V3,
                _ => EngineProtocol::V4,
            };
            let frame = Frame::payload(&self.namespace, payload, protocol);
            frame.bytes().clone()
        }));
        let frame = frame.ending_in_string(payload.ends_in_string());
        self.outbox.push(frame, event.delivery_policy());
    }

    /// Sends the ack of the client's packet `id`, which has failed.
    pub(super) fn acknowledge_failure(&self, id: i64, error: &Error) {
        self.acknowledge(id, &FailedAck { ok: false, error });
    }

    /// Sends an `error` event: an event that asked for no ack has failed.
    pub(super) fn send_error(&self, event: &str, room: Option<&RoomName>, error: &impl Serialize) {
        let error = ErrorEvent { event, room, error };
        self.push(&OutgoingEvent::notice("error", &error));
    }

    /// Sends the ack of the client's packet `id`, in order with the events that are pushed.
    pub(super) fn acknowledge(&self, id: i64, value: &(impl Serialize + ?Sized)) {
        self.push_ack(id, Frame::ack(&self.namespace, id, value));
    }

    fn push_ack(&self, id: i64, frame: Frame) {
        let frame = frame.charged(self.session.account());
        let frame = frame.unwrap_or_else(|limit| {
            let error = limit.into_memory_error();
            self.session.count_error(&error);
            let failed = FailedAck {
                ok: false,
                error: &error,
            };
            Frame::ack(&self.namespace, id, &failed)
        });
        self.outbox.push(frame, &DeliveryPolicy::Always);
    }
}

/// What the ack of an event says that has failed.
#[derive(Serialize)]
struct FailedAck<'a> {
    ok: bool,
    error: &'a Error,
}

/// What an `error` event says.
#[derive(Serialize)]
pub(super) struct ErrorEvent<'a, E> {
    pub(super) event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<&'a RoomName>,
    #[serde(flatten)]
    pub(super) error: &'a E,
}

impl EventSink for SocketEventSink {
    fn push(&self, event: &OutgoingEvent) {
        match event.event() {
            Event::Notice("error", ..) if self.of_document => {}
            _ if self.of_document => return,
            Event::Broadcast(broadcast) => return self.push_payload(event, &broadcast.event),
            Event::Notice(name, ..) if !self.owners.sends_notice(name) => return,
            _ => {}
        }
        let encoded = event.encoded(Format::Packet, &self.namespace, |event| {
            let arguments = event.arguments();
            let frame = Frame::event(&self.namespace, &arguments.name, &arguments.values);
            frame.bytes().clone()
        });
        let frame = Frame::of(encoded).with_offset(event.offset());
        self.outbox.push(frame, event.delivery_policy());
    }

    fn push_with_reply(&self, event: &OutgoingEvent, within: Duration) -> Option<PendingReply> {
        if let Event::Notice(name, ..) = event.event()
            && !self.owners.sends_notice(name)
        {
            return None;
        }
        if self.of_document {
            return None;
        }
        let arguments = event.arguments();
        let sent = self
            .socket
            .timeout(within)
            .emit_with_ack::<_, Acknowledgement>(
                &*arguments.name,
                &RawArguments(&arguments.values),
            );
        Some(match sent {
            Ok(ack) => Box::pin(async move {
                match ack.await {
                    Ok(acknowledgement) => Some(acknowledgement.values()),
                    Err(AckError::Decode(_)) => {
                        Some(Err(Error::bad_request("an ack is a JSON array")))
                    }
                    Err(_) => None,
                }
            }),
            Err(error) => {
                if matches!(error, SendError::Socket(SocketError::InternalChannelFull)) {
                    self.close(CloseReason::Slow);
                }
                Box::pin(std::future::ready(None))
            }
        })
    }

    // Rooms of the hub are mirrored in socketioxide, for what an application emits to a room by `io`.

    fn room_joined(&self, room: &RoomName) {
        if let Some(rooms) = &self.rooms {
            rooms.mirror_join(&self.socket, room);
        }
    }

    fn room_left(&self, room: &RoomName) {
        if let Some(rooms) = &self.rooms {
            rooms.mirror_leave(&self.socket, room);
        }
    }

    fn rooms(&self) -> Vec<String> {
        let rooms = self.rooms.as_ref();
        rooms.map_or_else(Vec::new, |rooms| rooms.of_application(&self.socket))
    }

    fn rejoin_rooms(&self, rooms: &[String]) {
        if let Some(own) = &self.rooms {
            own.rejoin_rooms(&self.socket, rooms);
        }
    }

    fn rates(&self) -> ConnectionRates {
        self.session.rates(&self.namespace)
    }

    fn dropped(&self, events: u64) {
        self.outbox.count_dropped(events);
    }

    fn client(&self) -> ClientState {
        ClientState {
            address: Some(self.session.address()),
            ..self.outbox.client_state("socketio")
        }
    }

    fn polls(&self) -> bool {
        self.outbox.is_polling()
    }

    fn is_behind(&self) -> bool {
        self.outbox.is_behind()
    }

    fn drained(&self) -> Drained {
        Box::pin(self.outbox.clone().drained())
    }

    fn close(&self, why: CloseReason) {
        if self.close_reason.set(why).is_err() {
            return;
        }
        if why == CloseReason::Replaced && !self.socket.connected() {
            return; // it had left the namespace, and may have reconnected over the same transport
        }
        // A stock client that the server disconnects from the namespace stays away. One whose transport is closed reconnects
        // by itself, and calls its `auth` callback for a token then.
        if why.ends_session() && self.socket.clone().disconnect().is_ok() {
            self.session.record_close(why);
        } else {
            self.session.close(why);
        }
    }
}
