//! Errors of refused CONNECTs, as clients expect them.
//!
//! socketioxide can send a text with a refusal and nothing else: `44{"message":"…"}`. So the connect middleware writes the
//! client's message and data into that text, behind a prefix of ours, and here it is turned into `44{"message":…,"data":…}`.
//!
//! A CONNECT that socketioxide was given twice is refused the second time. Its client already has a reply, and would take a
//! second one for the reply to its next CONNECT, so that refusal is suppressed.

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{document_namespace::parse_document, engine_frame::split_namespace};
use crate::error::Error;

/// Prefix of the text of our refusals.
const REFUSAL_PREFIX: &str = "switchboard:refused ";

/// Text of a refusal that is not sent to the client.
pub(in crate::transport) const SUPPRESSED_REFUSAL: &str = "switchboard:refused nobody";

/// Prefixes of the namespaces of CONNECTs that do not reach the connect middleware; the client's own namespace follows.
const UNIDENTIFIED_PREFIX: &str = "/switchboard:unidentified";
const DOCUMENT_PREFIX: &str = "/switchboard:document";

/// How the names of namespaces begin that only the server may address.
pub(in crate::transport) const RESERVED_PREFIX: &str = "/switchboard:";

/// Sent in its place: Engine.IO's no-op packet.
pub(super) const NOOP: &str = "6";

/// How the body of each of our refusals starts.
const REFUSAL_START: &[u8] = b"{\"message\":\"switchboard:refused ";

/// What a client is told.
#[derive(Serialize, Deserialize)]
struct Refusal<M, D> {
    message: M,
    #[serde(skip_serializing_if = "Option::is_none", default = "Option::default")]
    data: Option<D>,
}

/// Encodes the message and the data of a refusal as the text of one.
pub(in crate::transport) fn encode_refusal<D: Serialize>(message: &str, data: Option<D>) -> String {
    let refusal = serde_json::to_string(&Refusal { message, data });
    let refusal = refusal.expect("refusals are strings, numbers and JSON");
    format!("{REFUSAL_PREFIX}{refusal}")
}

/// The error of a client that nobody knows.
pub(in crate::transport) fn unidentified() -> Error {
    Error::unauthorized(
        "a token is needed: in the HTTP request, or connect to one of socketio.namespaces first",
    )
}

/// The error of a client that connects to the namespace of a document which is none, or not that of its session.
pub(in crate::transport) fn document_error(namespace: &str) -> Error {
    let invalid = parse_document(namespace).err();
    invalid.unwrap_or_else(|| {
        Error::bad_request(
            "a connection is of one document: connect with forceNew, as y-socket.io does",
        )
    })
}

/// The CONNECT to pass to socketioxide in place of one to a namespace that its client must not reach. There is no such namespace, so it
/// is refused over whichever transport.
pub(in crate::transport) fn unidentified_connect(namespace: &str) -> String {
    format!("40{UNIDENTIFIED_PREFIX}{namespace},")
}

/// The same, for a namespace of a document.
pub(in crate::transport) fn refused_document_connect(namespace: &str) -> String {
    format!("40{DOCUMENT_PREFIX}{namespace},")
}

/// Rewrites socketioxide's reply to such a CONNECT for its client, whatever it is; `None` if it is another packet.
pub(super) fn rewrite_unreached(packet: &str) -> Option<String> {
    let reply = packet
        .strip_prefix("44")
        .or_else(|| packet.strip_prefix("40"))?;
    let name = split_namespace(reply).0;
    let (namespace, error) = match name.strip_prefix(UNIDENTIFIED_PREFIX) {
        Some(namespace) => (namespace, unidentified()),
        None => {
            let namespace = name.strip_prefix(DOCUMENT_PREFIX)?;
            (namespace, document_error(namespace))
        }
    };
    let refusal = Refusal {
        message: error.code().as_str(),
        data: Some(&error),
    };
    let refusal = serde_json::to_string(&refusal).ok()?;
    Some(match namespace {
        "/" => format!("44{refusal}"),
        namespace => format!("44{namespace},{refusal}"),
    })
}

/// Whether a packet comes from a namespace that only the server may address.
pub(super) fn is_reserved(packet: &str) -> bool {
    let namespace = packet.get(2..).unwrap_or_default();
    namespace.starts_with(RESERVED_PREFIX)
}

/// Rewrites a packet that refuses a CONNECT for its client; `None` if it is not one of our refusals.
pub(super) fn rewrite_refusal(packet: &str) -> Option<String> {
    let rest = packet.strip_prefix("44")?;
    let (_, body) = split_namespace(rest);
    if !body.as_bytes().starts_with(REFUSAL_START) {
        return None;
    }
    let encoded: Refusal<String, IgnoredAny> = serde_json::from_str(body).ok()?;
    if encoded.message == SUPPRESSED_REFUSAL {
        return Some(NOOP.to_owned());
    }
    let refusal = encoded.message.strip_prefix(REFUSAL_PREFIX)?;
    serde_json::from_str::<Refusal<String, IgnoredAny>>(refusal).ok()?;
    let head = &packet[..packet.len() - body.len()];
    Some(format!("{head}{refusal}"))
}

#[cfg(test)]
mod tests;
