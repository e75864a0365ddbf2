//! The way out of one Socket.IO connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, Serializer, ser::SerializeTuple};
use serde_json::{json, value::RawValue};
use socketioxide::{AckError, SendError, SocketError};

use super::{SocketRef, acknowledgement::Acknowledgement, link::Link, rooms::SocketRooms};
use crate::{
    error::Error,
    hub::{
        CloseReason, ConnectionRates, Drained, EventSink, Format, Keep, Outgoing, PendingReply,
        memory_exhausted,
    },
    model::{Namespace, RoomName},
    transport::wire::{Frame, Outbox, Session},
};

/// Sends to one connection, and closes it when it takes no more.
pub(super) struct SocketOutlet {
    namespace: Namespace,
    socket: SocketRef,
    rooms: Arc<SocketRooms>,
    link: Arc<Link>,
    outbox: Arc<Outbox>,
    closing: AtomicBool,
}

impl SocketOutlet {
    pub(super) fn new(
        namespace: Namespace,
        (socket, rooms): (SocketRef, Arc<SocketRooms>),
        link: Arc<Link>,
    ) -> Self {
        Self {
            namespace,
            socket,
            rooms,
            outbox: link.outbox().clone(),
            link,
            closing: AtomicBool::new(false),
        }
    }

    /// The connection has joined a room of the hub, which is mirrored for relaying and for what an application emits by room.
    pub(super) fn entered(&self, room: &RoomName) {
        self.rooms.enter(&self.socket, room);
    }

    /// Answers the client's packet `id`, in order with what is pushed.
    pub(super) fn answer(&self, id: i64, value: &(impl Serialize + ?Sized)) {
        let frame = Frame::ack(&self.namespace, id, value).charged(self.link.account());
        let frame = frame.unwrap_or_else(|why| {
            let error = memory_exhausted(why);
            self.link.count_error(&error);
            Frame::ack(&self.namespace, id, &json!({ "ok": false, "error": error }))
        });
        self.outbox.push(frame, &Keep::Always);
    }
}

impl EventSink for SocketOutlet {
    fn push(&self, event: &Outgoing) {
        let encoded = event.encoded(Format::Packet, &self.namespace, |event| {
            let arguments = event.arguments();
            let frame = Frame::event(&self.namespace, &arguments.name, &arguments.values);
            frame.bytes().clone()
        });
        let frame = Frame::of(encoded).at(event.offset());
        self.outbox.push(frame, event.keep());
    }

    fn ask(&self, event: &Outgoing, within: Duration) -> Option<PendingReply> {
        let arguments = event.arguments();
        let asked = self
            .socket
            .timeout(within)
            .emit_with_ack::<_, Acknowledgement>(&*arguments.name, &Spread(&arguments.values));
        Some(match asked {
            Ok(answer) => Box::pin(async move {
                match answer.await {
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

    fn expelled(&self, room: &RoomName) {
        self.rooms.leave(&self.socket, room);
    }

    fn rooms(&self) -> Vec<String> {
        self.rooms.of_application(&self.socket)
    }

    fn rejoin(&self, rooms: &[String]) {
        self.rooms.rejoin(&self.socket, rooms);
    }

    fn rates(&self) -> ConnectionRates {
        self.link.rates(&self.namespace)
    }

    fn dropped(&self, events: u64) {
        self.outbox.count_dropped(events);
    }

    fn is_behind(&self) -> bool {
        self.outbox.is_behind()
    }

    fn drained(&self) -> Drained {
        Box::pin(self.outbox.clone().drained())
    }

    fn close(&self, why: CloseReason) {
        if self.closing.swap(true, Ordering::Relaxed) {
            return;
        }
        if why == CloseReason::Replaced && !self.socket.connected() {
            return; // it had left the namespace, and may have come back by the same transport
        }
        // A stock client that the server disconnects from the namespace stays away. One whose transport is closed comes
        // back by itself, and asks its `auth` callback for a token then.
        if why.is_for_good() && self.socket.clone().disconnect().is_ok() {
            self.link.note(why);
        } else {
            self.link.close(why);
        }
    }
}

/// Arguments that are JSON text already, as the separate arguments of one event.
pub(super) struct Spread<'a>(pub(super) &'a [Box<RawValue>]);

impl Serialize for Spread<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut arguments = serializer.serialize_tuple(self.0.len())?;
        for value in self.0 {
            arguments.serialize_element(value)?;
        }
        arguments.end()
    }
}
