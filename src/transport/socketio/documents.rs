//! Documents over the protocol of y-socket.io: the namespace `/yjs|{document}`, events with one binary argument.
//!
//! Server and client begin alike: each sends `sync-step-1` with its state vector, and the other acknowledges it with the update that is
//! lacking. From then on both send each update as `sync-update`; what clients show of themselves goes as `awareness-update`.

use std::sync::Arc;

use bytes::Bytes;
use socketioxide::handler::ConnectHandler;
use tokio::sync::Notify;

mod worker;

use super::{
    SocketIo, SocketIoTransport, SocketRef,
    authorize::ConnectError,
    connect::{ConnectTarget, ConnectingSocket, PendingConnection, session_of, take_pending},
    event_sink::SocketEventSink,
};
use crate::{
    documents::{DocumentEvent, DocumentProtocol, DocumentSink},
    hub::{Connection, EventSink},
    model::EventPayload,
    transport::{
        document_session::DocumentSession,
        wire::{EngineProtocol, Frame, SHARED_NAMESPACE},
    },
};
use worker::DocumentWorker;

/// What the events of the protocol are called.
const SYNC_STEP_1: &str = "sync-step-1";
const SYNC_UPDATE: &str = "sync-update";
const AWARENESS_UPDATE: &str = "awareness-update";

/// Registers the namespace that all documents share.
pub(super) async fn serve(io: &SocketIo, transport: Arc<SocketIoTransport>) {
    let in_middleware = transport.clone();
    let middleware = async move |socket: SocketRef, connecting: ConnectingSocket| {
        let (namespace, document) = session_of(&socket)?
            .inbound()
            .document()
            .cloned()
            .ok_or_else(ConnectError::suppressed)?; // the inbound filter passes no CONNECT without one
        let target = ConnectTarget {
            namespace,
            document: Some(document),
        };
        in_middleware
            .handle_connect(&socket, connecting, target)
            .await
    };
    let connected = async move |socket: SocketRef| transport.run_document(socket).await;
    let served = io.ns(SHARED_NAMESPACE, connected.with(middleware)).await;
    served.expect("the driver never fails, and the namespace has no #");
}

impl SocketIoTransport {
    /// The connect handler of documents: socketioxide has replied to CONNECT.
    async fn run_document(self: Arc<Self>, socket: SocketRef) {
        let Some((pending, engine_session)) = take_pending::<PendingConnection>(&socket) else {
            return;
        };
        let Some(document) = pending.target.document else {
            return;
        };
        let namespace = pending.target.namespace;
        let owners = self.namespace(&namespace).owners;
        let sink = SocketEventSink::new(namespace, (socket.clone(), None), owners, engine_session);
        let sink = Arc::new(sink);
        let connecting = (self.hub).connect(pending.prepared, sink.clone(), |_: &Connection| {});
        let connection = connecting.await;
        let wake = Arc::<Notify>::default();
        let waking = (sink.clone() as _, wake.clone());
        let opened = DocumentSession::open(&self.hub, connection, &document, waking).await;
        match opened {
            Ok(session) => {
                let inbox = (pending.inbox, pending.end);
                let worker =
                    DocumentWorker::new(session, (socket, sink), inbox, wake, self.nesting);
                worker.run().await;
            }
            Err(error) => sink.fail(&error),
        }
    }
}

impl DocumentSink for SocketEventSink {
    fn is_behind(&self) -> bool {
        EventSink::is_behind(self)
    }

    fn send(&self, event: &DocumentEvent) {
        let name = match event.is_update() {
            true => SYNC_UPDATE,
            false => AWARENESS_UPDATE,
        };
        let frame = || self.payload_frame(&named(name, event.content().clone()));
        self.push_frame(match self.protocol() {
            EngineProtocol::V4 => {
                Frame::of(event.encoded(DocumentProtocol::YSocketIo, |_| frame().bytes().clone()))
            }
            // Attachments are framed otherwise, and hardly a client speaks it.
            EngineProtocol::V3 => frame(),
        });
    }
}

/// An event with its binary argument.
fn named(event: &str, argument: Bytes) -> EventPayload {
    EventPayload {
        text: format!(r#"["{event}",{{"_placeholder":true,"num":0}}]"#).into(),
        attachments: vec![argument],
    }
}

/// The arguments of an ack: one, binary.
fn unnamed(argument: Bytes) -> EventPayload {
    EventPayload {
        text: r#"[{"_placeholder":true,"num":0}]"#.into(),
        attachments: vec![argument],
    }
}
