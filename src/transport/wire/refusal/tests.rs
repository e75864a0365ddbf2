//! Errors of refused CONNECTs.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::error::Code;

/// As socketioxide writes it.
fn packet(namespace: &str, text: &str) -> String {
    format!("44{namespace}{}", json!({ "message": text }))
}

fn encode(error: &Error) -> String {
    encode_refusal(error.code().as_str(), Some(error))
}

#[test]
fn a_refusal_has_its_code_and_the_whole_error_in_every_namespace() {
    let error = Error::new(Code::LimitReached, "\"ä\" has\n2 \\ places")
        .retry_after(Duration::from_secs(5));
    for namespace in ["", "/chat,"] {
        let told = rewrite_refusal(&packet(namespace, &encode(&error))).unwrap();
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
fn a_refusal_of_an_application_has_its_message_and_its_data_if_there_are_any() {
    for (data, told) in [
        (
            Some(json!({ "plan": "free" })),
            r#"44{"message":"no \"chat\"","data":{"plan":"free"}}"#,
        ),
        (None, r#"44{"message":"no \"chat\""}"#),
    ] {
        let text = encode_refusal("no \"chat\"", data);
        assert_eq!(rewrite_refusal(&packet("", &text)).as_deref(), Some(told));
    }
}

#[test]
fn a_client_that_nobody_knows_is_refused_whatever_socketioxide_replies() {
    for (namespace, head) in [("/", "44{"), ("/own", "44/own,{")] {
        let connect = unidentified_connect(namespace);
        let name = connect.strip_prefix("40").unwrap();
        for reply in [
            format!(r#"44{name}{{"message":"Invalid namespace"}}"#),
            format!(r#"40{name}{{"sid":"x"}}"#),
        ] {
            let told = rewrite_unreached(&reply).unwrap();
            assert!(told.starts_with(head), "{told}");
            assert!(told.contains(r#""message":"unauthorized""#), "{told}");
        }
    }
    assert_eq!(rewrite_unreached(r#"44/own,{"message":"x"}"#), None);
}

#[test]
fn a_suppressed_refusal_becomes_a_noop() {
    for namespace in ["", "/chat,"] {
        assert_eq!(
            rewrite_refusal(&packet(namespace, SUPPRESSED_REFUSAL)).as_deref(),
            Some(NOOP)
        );
    }
}

#[test]
fn other_refusals_and_packets_pass_unchanged() {
    for other in [
        packet("", "Invalid namespace"),
        packet("/chat,", "not today"),
        packet("", "switchboard:refused "),
        packet("", "switchboard:refused {}"),
        packet("", &format!("x{}", encode(&Error::unauthorized("no")))),
        "44".to_owned(),
        "44/chat".to_owned(),
        "40{\"sid\":\"x\"}".to_owned(),
        format!("42[\"{REFUSAL_PREFIX}\"]"),
    ] {
        assert_eq!(rewrite_refusal(&other), None, "{other}");
    }
}
