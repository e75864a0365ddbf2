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
