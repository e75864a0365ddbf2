//! Errors of refused CONNECTs, as clients expect them.
//!
//! socketioxide can send a text with a refusal and nothing else: `44{"message":"…"}`. So the connect middleware writes the
//! client's message and data into that text, behind a prefix of ours, and here it is turned into `44{"message":…,"data":…}`.
//!
//! A CONNECT that socketioxide was given twice is refused the second time. Its client already has a reply, and would take a
//! second one for the reply to its next CONNECT, so that refusal is suppressed.

use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::engine_frame::split_namespace;

/// Prefix of the text of our refusals.
const REFUSAL_PREFIX: &str = "switchboard:refused ";

/// Text of a refusal that is not sent to the client.
pub(in crate::transport) const SUPPRESSED_REFUSAL: &str = "switchboard:refused nobody";

/// Sent in its place: Engine.IO's no-op packet.
const NOOP: &str = "6";

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
    let head = &packet[..packet.len() - body.len()];
    Some(format!("{head}{refusal}"))
}

#[cfg(test)]
mod tests;
