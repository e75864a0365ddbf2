//! The namespaces of documents, `/yjs|name`: one namespace to socketioxide.
//!
//! socketioxide looks through all of its namespaces whenever a session ends, and clients choose the names of documents. So all documents
//! share one there. A session is of one document; its name is taken out of what its client sends, and put into what socketioxide
//! sends the client.

use crate::{
    error::Result,
    model::{Namespace, RoomName},
};

/// What socketioxide is told instead of the namespace of a document. The document's name follows in the namespace itself.
pub(in crate::transport) const SHARED_NAMESPACE: &str = "/yjs|";

/// The document that a namespace is of, if it is of one. Its name has not been checked.
pub(in crate::transport) fn document_of(namespace: &str) -> Option<&str> {
    namespace.strip_prefix(SHARED_NAMESPACE)
}

/// The namespace of a document, and the document.
///
/// # Errors
/// `bad_request`: no document can have this name.
pub(in crate::transport) fn parse_document(namespace: &str) -> Result<(Namespace, RoomName)> {
    let document = RoomName::parse(document_of(namespace).unwrap_or_default())?;
    Ok((Namespace::parse(namespace)?, document))
}

/// A client's packet to a document's namespace, with the shared namespace in its place.
pub(in crate::transport) fn to_shared(packet: &str, namespace: &str) -> String {
    packet.replacen(namespace, SHARED_NAMESPACE, 1)
}

/// Where the name of a document belongs in a packet of the shared namespace; `None` if it is of another one.
pub(super) fn place_of_document(packet: &str) -> Option<usize> {
    let from = packet.find(|c: char| !c.is_ascii_digit() && c != '-')?;
    let rest = packet[from..].strip_prefix(SHARED_NAMESPACE)?;
    let at = from + SHARED_NAMESPACE.len();
    (rest.is_empty() || rest.starts_with(',')).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_namespace_of_a_packet_is_replaced() {
        let sent = [
            ("40/yjs|plan", "40/yjs|"),
            (
                "40/yjs|plan,{\"token\":\"/yjs|plan\"}",
                "40/yjs|,{\"token\":\"/yjs|plan\"}",
            ),
            (
                "451-/yjs|plan,7[\"sync-update\",0]",
                "451-/yjs|,7[\"sync-update\",0]",
            ),
            ("41/yjs|plan,", "41/yjs|,"),
        ];
        for (packet, shared) in sent {
            assert_eq!(to_shared(packet, "/yjs|plan"), shared);
        }
    }

    #[test]
    fn a_document_is_named_in_the_packets_of_the_shared_namespace_alone() {
        let named = |packet: &str| {
            let at = place_of_document(packet)?;
            Some(format!("{}plan{}", &packet[..at], &packet[at..]))
        };
        let renamed = [
            ("40/yjs|,{\"sid\":\"1\"}", "40/yjs|plan,{\"sid\":\"1\"}"),
            ("41/yjs|,", "41/yjs|plan,"),
            (
                "451-/yjs|,0[\"sync-step-1\",0]",
                "451-/yjs|plan,0[\"sync-step-1\",0]",
            ),
        ];
        for (packet, expected) in renamed {
            assert_eq!(named(packet).as_deref(), Some(expected));
        }
        for other in [
            "42[\"/yjs|,\"]",
            "42/chat,[\"/yjs|,\"]",
            "40/yjs|plan,",
            "2",
            "",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
