//! Errors of refused CONNECTs, as clients expect them.
//!
//! socketioxide can send a text with a refusal and nothing else: `44{"message":"…"}`. So the connect middleware writes the
//! whole error into that text, behind a prefix of ours, and here it is turned into `44{"message":<code>,"data":<error>}`.
//!
//! A CONNECT that socketioxide was given twice is refused the second time. Its client already has a reply, and would take a
//! second one for the reply to its next CONNECT, so that refusal is suppressed.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::engine_frame::split_namespace;
use crate::error::Error;

/// Prefix of the text of our refusals.
const REFUSAL_PREFIX: &str = "switchboard:refused ";

/// Text of a refusal that is not sent to the client.
pub(in crate::transport) const SUPPRESSED_REFUSAL: &str = "switchboard:refused nobody";

/// Sent in its place: Engine.IO's no-op packet.
const NOOP: &str = "6";

/// How the body of each of our refusals starts.
const REFUSAL_START: &[u8] = b"{\"message\":\"switchboard:refused ";

/// Encodes an error as the text of a refusal.
pub(in crate::transport) fn encode_refusal(error: &Error) -> String {
    let error = serde_json::to_string(error).expect("an error is strings and numbers");
    format!("{REFUSAL_PREFIX}{error}")
}

/// Rewrites a packet that refuses a CONNECT for its client; `None` if it is not one of our refusals.
pub(super) fn rewrite_refusal(packet: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct EncodedRefusal {
        message: String,
    }
    #[derive(Deserialize)]
    struct ErrorCode {
        code: String,
    }
    #[derive(Serialize)]
    struct ConnectErrorBody<'a> {
        message: &'a str,
        data: &'a RawValue,
    }
    let rest = packet.strip_prefix("44")?;
    let (_, body) = split_namespace(rest);
    if !body.as_bytes().starts_with(REFUSAL_START) {
        return None;
    }
    let refusal: EncodedRefusal = serde_json::from_str(body).ok()?;
    if refusal.message == SUPPRESSED_REFUSAL {
        return Some(NOOP.to_owned());
    }
    let error = refusal.message.strip_prefix(REFUSAL_PREFIX)?;
    let (code, data) = (
        serde_json::from_str::<ErrorCode>(error).ok()?.code,
        serde_json::from_str::<&RawValue>(error).ok()?,
    );
    let message = code.as_str();
    let rewritten = serde_json::to_string(&ConnectErrorBody { message, data }).ok()?;
    let head = &packet[..packet.len() - body.len()];
    Some(format!("{head}{rewritten}"))
}

#[cfg(test)]
mod tests;
