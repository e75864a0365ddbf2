//! Why a CONNECT was refused, put into its answer.
//!
//! socketioxide lets a refusal be a text and nothing else: `44{"message":"…"}`. The door writes the whole error into that
//! text, behind a word of ours, and here it becomes what clients are to get: `44{"message":<code>,"data":<error>}`.
//!
//! A CONNECT that socketioxide was given twice is refused the second time. Its client has its answer, and would take another one
//! for that to its next CONNECT.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::frame::namespace_and_rest;
use crate::error::Error;

/// What the text of a refusal of ours begins with.
const REFUSED: &str = "switchboard:refused ";

/// The text of a refusal that no client is to get.
pub(in crate::transport) const NOBODY: &str = "switchboard:refused nobody";

/// What a client gets instead: Engine.IO's packet that means nothing.
const NOTHING: &str = "6";

/// What every refusal of ours has.
const SIGN: &[u8] = b"{\"message\":\"switchboard:refused ";

/// The text of a refusal.
pub(in crate::transport) fn refusal(error: &Error) -> String {
    let error = serde_json::to_string(error).expect("texts and numbers");
    format!("{REFUSED}{error}")
}

/// A packet that refuses a CONNECT as its client is to get it; `None` if it is none of ours.
pub(super) fn told(packet: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    #[derive(Deserialize)]
    struct Coded {
        code: String,
    }
    #[derive(Serialize)]
    struct Told<'a> {
        message: &'a str,
        data: &'a RawValue,
    }
    let rest = packet.strip_prefix("44")?;
    let (_, body) = namespace_and_rest(rest);
    if !body.as_bytes().starts_with(SIGN) {
        return None;
    }
    let refusal: Refusal = serde_json::from_str(body).ok()?;
    if refusal.message == NOBODY {
        return Some(NOTHING.to_owned());
    }
    let error = refusal.message.strip_prefix(REFUSED)?;
    let (code, data) = (
        serde_json::from_str::<Coded>(error).ok()?.code,
        serde_json::from_str::<&RawValue>(error).ok()?,
    );
    let message = code.as_str();
    let told = serde_json::to_string(&Told { message, data }).ok()?;
    let head = &packet[..packet.len() - body.len()];
    Some(format!("{head}{told}"))
}

#[cfg(test)]
mod tests;
