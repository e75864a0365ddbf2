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
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::error::Code;

    /// As socketioxide writes it.
    fn packet(namespace: &str, text: &str) -> String {
        format!("44{namespace}{}", json!({ "message": text }))
    }

    #[test]
    fn a_refusal_tells_its_code_and_the_whole_error_in_every_namespace() {
        let error = Error::new(Code::LimitReached, "\"ä\" has\n2 \\ places")
            .retry_after(Duration::from_secs(5));
        for namespace in ["", "/chat,"] {
            let told = told(&packet(namespace, &refusal(&error))).unwrap();
            let body = told.strip_prefix(&format!("44{namespace}")).unwrap();
            let body: Value = serde_json::from_str(body).unwrap();
            let data = json!({
                "code": "limit_reached",
                "message": "\"ä\" has\n2 \\ places",
                "retry_after_ms": 5000,
            });
            assert_eq!(body, json!({ "message": "limit_reached", "data": data }));
        }
    }

    #[test]
    fn of_a_connect_that_nobody_waits_for_no_answer_is_told() {
        for namespace in ["", "/chat,"] {
            assert_eq!(told(&packet(namespace, NOBODY)).as_deref(), Some(NOTHING));
        }
    }

    #[test]
    fn refusals_of_others_and_other_packets_stay_as_they_are() {
        for other in [
            packet("", "Invalid namespace"),
            packet("/chat,", "not today"),
            packet("", "switchboard:refused "),
            packet("", "switchboard:refused {}"),
            packet("", &format!("x{}", refusal(&Error::unauthorized("no")))),
            "44".to_owned(),
            "44/chat".to_owned(),
            "40{\"sid\":\"x\"}".to_owned(),
            format!("42[\"{REFUSED}\"]"),
        ] {
            assert_eq!(told(&other), None, "{other}");
        }
    }
}
