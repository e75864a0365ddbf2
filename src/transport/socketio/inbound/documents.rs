//! The namespaces of documents, which are one namespace to everything behind the filter.

use std::{borrow::Cow, sync::OnceLock};

use super::{IgnoredPacket, InboundFilter, PacketKind, PacketVerdict, SocketIoPacket};
use crate::{
    model::{Namespace, RoomName},
    transport::wire::{self, SHARED_NAMESPACE, document_of, parse_document, to_shared},
};

/// The one document of a session: the first that its client has connected to, whatever became of that.
///
/// It never changes, so that what is on its way to the client can be of no other.
#[derive(Default)]
pub(super) struct SessionDocument(OnceLock<(Namespace, RoomName)>);

impl InboundFilter {
    /// The document that the session is of, if it is of one, and its namespace.
    pub(in crate::transport::socketio) fn document(&self) -> Option<&(Namespace, RoomName)> {
        self.document.0.get()
    }

    /// A packet with the shared namespace in place of a document's. Returns what is to be done if the session is not of that document.
    pub(super) fn share_namespace<'a>(
        &self,
        packet: SocketIoPacket<'a>,
    ) -> Result<SocketIoPacket<'a>, PacketVerdict<'a>> {
        let is_of_document = document_of(packet.namespace).is_some();
        if !is_of_document || !self.namespaces.serves(SHARED_NAMESPACE) {
            return Ok(packet);
        }
        if matches!(packet.kind, PacketKind::Connect(_))
            && let Ok(document) = parse_document(packet.namespace)
        {
            self.document.0.get_or_init(|| document);
        }
        let own = self.document();
        if own.is_none_or(|(own, _)| own.as_str() != packet.namespace) {
            return Err(match packet.kind {
                PacketKind::Connect(_) => self.refuse_document(packet.namespace),
                PacketKind::Disconnect => self.ignore(IgnoredPacket::NotConnected),
                PacketKind::Data { attachments, .. } => {
                    self.lock().skipped_attachments = attachments;
                    self.ignore(IgnoredPacket::NotConnected)
                }
            });
        }
        Ok(SocketIoPacket {
            text: Cow::Owned(to_shared(&packet.text, packet.namespace)),
            namespace: SHARED_NAMESPACE,
            ..packet
        })
    }

    /// The namespace as the client calls it.
    pub(super) fn client_namespace<'a>(&'a self, namespace: &'a str) -> &'a str {
        match self.document() {
            Some((own, _)) if namespace == SHARED_NAMESPACE => own.as_str(),
            _ => namespace,
        }
    }

    /// Refuses a CONNECT to a document that is none, or not the session's.
    fn refuse_document<'a>(&self, namespace: &str) -> PacketVerdict<'a> {
        self.rate.note();
        self.metrics.error(&wire::document_error(namespace));
        PacketVerdict::Pass(Cow::Owned(wire::refused_document_connect(namespace)))
    }
}
